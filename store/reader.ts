/** Values that are not in memory, read back from the log and checked against what memory knows. */
import type { Bytes } from "../backends/mod.ts";
import { equalBytes, toBinaryString } from "./bytes.ts";
import { decodeEntry } from "./entry.ts";
import { StoreError } from "./errors.ts";
import type { Index } from "./index.ts";
import type { DurableLog } from "./log.ts";
import {
  HEADER_BYTES,
  RECORD_KIND,
  type RecordHeader,
  recordName,
  recordTag,
  writeHeader,
} from "./record.ts";
import type { RecordSealer } from "./record_sealer.ts";

interface Waiting {
  readonly resolve: (record: Bytes | undefined) => void;
  readonly reject: (error: unknown) => void;
}

export class Reader {
  readonly #index: Index;
  readonly #log: DurableLog;
  readonly #sealer: RecordSealer;
  /** Called with what was found wrong with the disk; the store stops. */
  readonly #onLie: (error: unknown) => void;
  #batch: Map<number, Waiting[]> | undefined;

  constructor(options: {
    readonly index: Index;
    readonly log: DurableLog;
    readonly sealer: RecordSealer;
    readonly onLie: (error: unknown) => void;
  }) {
    this.#index = options.index;
    this.#log = options.log;
    this.#sealer = options.sealer;
    this.#onLie = options.onLie;
  }

  /**
   * The value of a durable version. Undefined: the version went away while it was read (overwritten,
   * compacted, sealed anew elsewhere), so ask the index again.
   * @throws {StoreError} `record_missing`, `record_altered`: the disk lies, and the store stops.
   */
  async load(slot: number): Promise<Bytes | undefined> {
    const { versions, cache } = this.#index;
    const position = versions.position(slot);
    if (position < 0) return undefined;
    const header = this.headerOf(slot);
    const tag = versions.tag(slot).slice();
    const key = versions.key(slot);
    const record = await this.#read(position);
    if (versions.position(slot) !== position) return undefined;
    if (record === undefined && this.#index.dying.has(position)) return undefined;
    try {
      const value = await this.#check(record, position, header, tag, key);
      // The slot may have changed hands while the record was decrypted.
      if (versions.position(slot) === position) cache.set(slot, value);
      return value;
    } catch (error) {
      this.#onLie(error);
      throw error;
    }
  }

  /** The header that the version's record was sealed with. */
  headerOf(slot: number): RecordHeader {
    const versions = this.#index.versions;
    const origin = this.#sealer.originOf(versions.origin(slot));
    return {
      kind: RECORD_KIND.entry,
      keyId: origin.keyId,
      storeId: this.#sealer.storeId,
      incarnation: origin.incarnation,
      sequence: versions.sequence(slot),
      index: versions.index(slot),
      count: versions.count(slot),
    };
  }

  async #check(
    record: Bytes | undefined,
    position: number,
    header: RecordHeader,
    tag: Bytes,
    key: string,
  ): Promise<Bytes> {
    const where = recordName(position, header);
    const hint = "the disk changed under the running master; restore a backup";
    if (record === undefined) {
      throw new StoreError("record_missing", `${where} is gone from the log`, { hint });
    }
    const expected = new Uint8Array(HEADER_BYTES);
    writeHeader(header, expected);
    const same = record.length >= HEADER_BYTES + tag.length &&
      equalBytes(record.subarray(0, HEADER_BYTES), expected) && equalBytes(recordTag(record), tag);
    if (!same) {
      throw new StoreError("record_altered", `${where} is not the one that was written`, { hint });
    }
    const entry = decodeEntry(await this.#sealer.open(record, header, position), position);
    if (toBinaryString(entry.key) !== key) {
      throw new StoreError("record_altered", `${where} holds another key than the index says`);
    }
    return entry.value;
  }

  /** Reads of one turn of the event loop go to the log together. */
  #read(position: number): Promise<Bytes | undefined> {
    return new Promise((resolve, reject) => {
      if (this.#batch === undefined) {
        this.#batch = new Map();
        queueMicrotask(() => this.#flush());
      }
      const waiting = this.#batch.get(position);
      if (waiting === undefined) this.#batch.set(position, [{ resolve, reject }]);
      else waiting.push({ resolve, reject });
    });
  }

  async #flush(): Promise<void> {
    const batch = this.#batch;
    this.#batch = undefined;
    if (batch === undefined) return;
    const waiters = [...batch.values()];
    try {
      const records = await this.#log.read([...batch.keys()]);
      waiters.forEach((list, i) => list.forEach(({ resolve }) => resolve(records[i])));
    } catch (error) {
      for (const list of waiters) list.forEach(({ reject }) => reject(error));
    }
  }
}
