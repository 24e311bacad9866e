/** Values that are not in memory, read back from the log and checked against what memory knows. */
import type { Bytes } from "../backends/mod.ts";
import { equalBytes, toBinaryString } from "./bytes.ts";
import { decodeEntry } from "./entry.ts";
import { StoreError } from "./errors.ts";
import { headerBytes } from "./group.ts";
import type { Index } from "./index.ts";
import type { DurableLog } from "./log.ts";
import { HEADER_BYTES, RECORD_KIND, type RecordHeader, recordName, recordTag } from "./record.ts";
import type { RecordSealer } from "./record_sealer.ts";

/** A record's header and tag: with them every byte of it is pinned. */
interface Standing {
  readonly header: RecordHeader;
  readonly tag: Bytes;
}

function isRecord(record: Bytes | undefined, { header, tag }: Standing): boolean {
  return record !== undefined && record.length >= HEADER_BYTES + tag.length &&
    equalBytes(record.subarray(0, HEADER_BYTES), headerBytes(header)) &&
    equalBytes(recordTag(record), tag);
}

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
   * compacted), so ask the index again.
   * @param keep false leaves the cache to others
   * @throws {StoreError} `record_missing`, `record_altered`: the disk lies, and the store stops.
   */
  async load(slot: number, keep = true): Promise<Bytes | undefined> {
    const { versions, cache, dying } = this.#index;
    const position = versions.position(slot);
    const key = versions.key(slot);
    while (position >= 0 && versions.position(slot) === position) {
      const before = this.#standings(slot, position);
      const record = await this.#read(position);
      if (versions.position(slot) !== position) break;
      if (record === undefined && dying.has(position)) break;
      // Rotation may have sealed it anew meanwhile: either is what was written.
      const now = this.#standings(slot, position);
      const standing = [...now, ...before].find((one) => isRecord(record, one));
      const isStale = !equalBytes(now[0]!.tag, before[0]!.tag);
      if (isStale && (standing === undefined || !this.#sealer.opens(standing.header))) continue;
      try {
        const value = await this.#check(record, position, standing, now[0]!.header, key);
        // The slot may have changed hands while the record was decrypted.
        if (keep && versions.position(slot) === position) cache.set(slot, value);
        return value;
      } catch (error) {
        this.#onLie(error);
        throw error;
      }
    }
    return undefined;
  }

  /** How the record stands in the log: as the index says, and as it was before a sealing on its way. */
  #standings(slot: number, position: number): Standing[] {
    const standing = { header: this.headerOf(slot), tag: this.#index.versions.tag(slot).slice() };
    const former = this.#index.resealing.get(position);
    return former === undefined ? [standing] : [standing, former];
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
    standing: Standing | undefined,
    expected: RecordHeader,
    key: string,
  ): Promise<Bytes> {
    const where = recordName(position, expected);
    const hint = "the disk changed under the running master; restore a backup";
    if (record === undefined) {
      throw new StoreError("record_missing", `${where} is gone from the log`, { hint });
    }
    if (standing === undefined) {
      throw new StoreError("record_altered", `${where} is not the one that was written`, { hint });
    }
    const entry = decodeEntry(await this.#sealer.open(record, standing.header, position), position);
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
