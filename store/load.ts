/**
 * Reads a log back into memory and refuses whatever is not exactly what was written: what, where,
 * and nothing on the medium touched.
 */
import type { Bytes } from "../backends/mod.ts";
import { equalBytes } from "./bytes.ts";
import type { Chunk } from "./checkpointer.ts";
import { StoreError } from "./errors.ts";
import { FactReader } from "./fact_reader.ts";
import { decodeHead, type Head } from "./head.ts";
import type { Index } from "./index.ts";
import { type LiveIncarnation, Loader } from "./loader.ts";
import type { DurableLog } from "./log.ts";
import { type MultisetHash } from "./multiset.ts";
import { HEAD_INDEX, HEAD_POSITION, RECORD_KIND, RESTORE_HINT, TAG_BYTES } from "./record.ts";
import type { RecordSealer } from "./record_sealer.ts";
import { NO_SLOT } from "./versions.ts";

/** Records read at once where the checkpoint does not know them. */
const MAX_READ_AHEAD = 64;

export interface LoadedLog {
  readonly incarnations: readonly LiveIncarnation[];
  readonly chunks: readonly Chunk[];
  /** Versions behind the last chunk, in position order. */
  readonly tail: readonly number[];
  /** Versions below the compaction that were still in the log: to be removed. */
  readonly garbage: readonly number[];
}

/** @throws {StoreError} `head_mismatch`, `record_altered`, `foreign_record`, `format` */
export async function openHead(sealer: RecordSealer, record: Bytes): Promise<Head> {
  const header = sealer.readHeader(record, HEAD_POSITION);
  if (header.kind !== RECORD_KIND.head || header.index !== HEAD_INDEX) {
    throw new StoreError("head_mismatch", "the head's place holds a record that is no head", {
      hint: RESTORE_HINT,
    });
  }
  const head = decodeHead(await sealer.open(record, header, HEAD_POSITION));
  if (head.sequence !== header.sequence || !equalBytes(head.incarnation, header.incarnation)) {
    throw new StoreError("head_mismatch", "the head contradicts its own header", {
      hint: RESTORE_HINT,
    });
  }
  return head;
}

/**
 * Reads the whole log: facts of the index checkpoint where it has them for a record with that
 * very tag, and the record itself where not. The sum over all of it must be the head's.
 * @throws {StoreError} see above
 */
export async function loadLog(options: {
  readonly log: DurableLog;
  readonly sealer: RecordSealer;
  readonly multiset: MultisetHash;
  readonly index: Index;
  readonly head: Head;
}): Promise<LoadedLog> {
  const { log } = options;
  const loader = new Loader(options);
  const facts = new FactReader(
    log,
    options.sealer,
    options.head,
    (sum) => loader.addSum(sum),
  );
  const covered = await loadCovered(log, loader, facts);
  const tail: number[] = [];
  for await (const page of log.replay(covered)) {
    let offset = 0;
    for (let i = 0; i < page.positions.length; i++) {
      const length = page.lengths[i]!;
      const record = page.bytes.subarray(offset, offset + length);
      offset += length;
      const added = loader.add(page.positions[i]!, record);
      const slot = typeof added === "number" ? added : await added;
      if (slot !== NO_SLOT) tail.push(slot);
    }
  }
  return { ...loader.finish(), chunks: facts.chunks, tail };
}

/** Everything that stands below the end of the last chunk; returns that end. */
async function loadCovered(log: DurableLog, loader: Loader, facts: FactReader): Promise<number> {
  let fact = await facts.next();
  if (fact === undefined) return facts.end;
  const ahead = new ReadAhead(log);
  for await (const page of log.tags(0)) {
    for (let i = 0; i < page.positions.length; i++) {
      const position = page.positions[i]!;
      while (fact !== undefined && fact.position < position) {
        loader.missing(fact);
        fact = facts.nextAtHand() ?? await facts.next();
      }
      if (fact === undefined && position >= facts.end) return facts.end;
      const tag = page.tags.subarray(i * TAG_BYTES, (i + 1) * TAG_BYTES);
      const known = fact?.position === position;
      if (fact !== undefined && known && equalBytes(fact.tag, tag)) {
        facts.take(loader.addFact(fact, tag));
      } else {
        // No fact: an incarnation, or a chunk that the host took away (its records stay outside the
        // checkpoint). Another tag: sealed anew under the next data key since, or altered.
        if (fact !== undefined && known) loader.missing(fact);
        const record = await ahead.record(page.positions, i);
        const slot = record === undefined ? NO_SLOT : await loader.add(position, record);
        if (known) facts.take(slot, true);
      }
      if (known) fact = facts.nextAtHand() ?? await facts.next();
    }
  }
  while (fact !== undefined) {
    loader.missing(fact);
    fact = facts.nextAtHand() ?? await facts.next();
  }
  return facts.end;
}

/** Single records in rising order, read in larger steps as long as one follows on the other. */
class ReadAhead {
  readonly #log: DurableLog;
  #at = 0;
  #positions: readonly number[] = [];
  #records: readonly (Bytes | undefined)[] = [];

  constructor(log: DurableLog) {
    this.#log = log;
  }

  async record(positions: Float64Array, i: number): Promise<Bytes | undefined> {
    const next = this.#positions.indexOf(positions[i]!, this.#at);
    if (next >= 0) this.#at = next;
    else {
      const used = this.#at === this.#positions.length - 1;
      const count = used ? Math.min(MAX_READ_AHEAD, this.#positions.length * 2) : 1;
      this.#positions = [...positions.subarray(i, i + count)];
      this.#records = await this.#log.read(this.#positions);
      this.#at = 0;
    }
    return this.#records[this.#at];
  }
}
