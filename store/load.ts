/**
 * Reads a log back into memory and refuses whatever is not exactly what was written: what, where,
 * and nothing on the medium touched.
 */
import type { Bytes } from "../backends/mod.ts";
import { equalBytes, toBinaryString } from "./bytes.ts";
import { type Chunk } from "./checkpointer.ts";
import { ChunkReader, type Fact } from "./checkpoint_format.ts";
import { decodeEntry, type EntryMeta } from "./entry.ts";
import { StoreError } from "./errors.ts";
import type { Removal } from "./group.ts";
import { decodeHead, type Head } from "./head.ts";
import { decodeIncarnation, type IncarnationRecord } from "./incarnation.ts";
import type { Index } from "./index.ts";
import type { DurableLog } from "./log.ts";
import { type MultisetHash } from "./multiset.ts";
import {
  chunkPosition,
  HEAD_INDEX,
  HEAD_POSITION,
  HEADER_BYTES,
  RECORD_KIND,
  type RecordHeader,
  recordName,
  type RecordPlace,
  recordTag,
  RESTORE_HINT,
  TAG_BYTES,
  writeHeader,
} from "./record.ts";
import type { RecordSealer } from "./record_sealer.ts";
import { NO_SLOT, type VersionPlace } from "./versions.ts";

export interface LiveIncarnation extends IncarnationRecord {
  readonly removal: Removal;
}

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
 * very tag, and the record itself where not.
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
  for await (const page of log.replay(covered)) {
    let offset = 0;
    for (let i = 0; i < page.positions.length; i++) {
      const length = page.lengths[i]!;
      const record = page.bytes.subarray(offset, offset + length);
      offset += length;
      const added = loader.add(page.positions[i]!, record);
      if (added !== undefined) await added;
    }
  }
  return loader.finish(facts.chunks);
}

/** Everything that stands below the end of the last chunk; returns that end. */
async function loadCovered(log: DurableLog, loader: Loader, facts: FactReader): Promise<number> {
  let fact = await facts.next();
  if (fact === undefined) return facts.end;
  for await (const page of log.tags(0)) {
    for (let i = 0; i < page.positions.length; i++) {
      const position = page.positions[i]!;
      while (fact !== undefined && fact.position < position) {
        loader.missing(fact);
        fact = facts.nextAtHand() ?? await facts.next();
      }
      if (fact === undefined && position >= facts.end) return facts.end;
      if (fact?.position === position) {
        const tag = page.tags.subarray(i * TAG_BYTES, (i + 1) * TAG_BYTES);
        facts.take(loader.addFact(fact, tag));
        fact = facts.nextAtHand() ?? await facts.next();
      } else {
        // No fact: an incarnation, or a chunk that is not there any more.
        const [record] = await log.read([position]);
        if (record !== undefined) await loader.add(position, record);
      }
    }
  }
  while (fact !== undefined) {
    loader.missing(fact);
    fact = facts.nextAtHand() ?? await facts.next();
  }
  return facts.end;
}

/** The facts of all chunks, one after the other. */
class FactReader {
  readonly chunks: Chunk[] = [];
  readonly #iterator: AsyncIterator<{ readonly chunk: number; readonly bytes: Bytes }>;
  readonly #sealer: RecordSealer;
  readonly #head: Head;
  /** Told the sum of a chunk's records before its facts. */
  readonly #onSum: (sum: Bytes) => void;
  #reader: ChunkReader | undefined;
  #id = 0;
  #slots: number[] = [];
  /** The end of the last chunk that was read. */
  end = 0;

  constructor(
    log: DurableLog,
    sealer: RecordSealer,
    head: Head,
    onSum: (sum: Bytes) => void,
  ) {
    this.#onSum = onSum;
    this.#iterator = log.checkpoint()[Symbol.asyncIterator]();
    this.#sealer = sealer;
    this.#head = head;
  }

  nextAtHand(): Fact | undefined {
    return this.#reader?.next();
  }

  async next(): Promise<Fact | undefined> {
    for (;;) {
      const fact = this.#reader?.next();
      if (fact !== undefined) return fact;
      this.#finishChunk();
      const next = await this.#iterator.next();
      if (next.done === true) return undefined;
      await this.#begin(next.value.chunk, next.value.bytes);
    }
  }

  /** The fact's record is there, in this slot. */
  take(slot: number): void {
    this.#slots.push(slot);
  }

  async #begin(chunk: number, record: Bytes): Promise<void> {
    const name = recordName(chunkPosition(chunk));
    const refuse = (what: string): never => {
      throw new StoreError("record_altered", `${name} ${what}`, { hint: RESTORE_HINT });
    };
    const header = this.#sealer.readHeader(record, chunkPosition(chunk));
    if (header.kind !== RECORD_KIND.checkpoint || header.index !== chunk) {
      refuse("is another record");
    }
    const reader = new ChunkReader(
      await this.#sealer.open(record, header, chunkPosition(chunk)),
      this.#sealer,
      name,
    );
    const { from, to } = reader.range;
    if (from < this.end || to < from) refuse("overlaps the one before it");
    if (to > this.#head.nextPosition || header.sequence > this.#head.sequence) {
      refuse("is newer than the head");
    }
    this.end = to;
    this.#id = chunk;
    this.#reader = reader;
    this.#onSum(reader.sum);
  }

  #finishChunk(): void {
    const reader = this.#reader;
    if (reader === undefined) return;
    this.#reader = undefined;
    this.chunks.push({
      id: this.#id,
      ...reader.range,
      slots: facts(this.#slots, reader.count),
      live: this.#slots.length,
    });
    this.#slots = [];
  }
}

/** The slots that are there; the others count as worn. */
function facts(slots: readonly number[], count: number): Uint32Array {
  const out = new Uint32Array(count).fill(NO_SLOT);
  out.set(slots);
  return out;
}

class Loader {
  readonly #sealer: RecordSealer;
  readonly #multiset: MultisetHash;
  readonly #index: Index;
  readonly #head: Head;
  readonly #incarnations: LiveIncarnation[] = [];
  readonly #garbage: number[] = [];
  readonly #tail: number[] = [];
  /** The record before; at first one that stands before all. */
  readonly #last = { position: -1, sequence: 0, index: 0, count: 1 };
  #records = 0;
  /** The first sign of something missing: where to look. */
  #gap: string | undefined;

  constructor(options: {
    readonly sealer: RecordSealer;
    readonly multiset: MultisetHash;
    readonly index: Index;
    readonly head: Head;
  }) {
    this.#sealer = options.sealer;
    this.#multiset = options.multiset;
    this.#index = options.index;
    this.#head = options.head;
    options.index.keyspaces.forEach((keyspace, i) => {
      keyspace.revision = keyspace.durableRevision = options.head.revisions[i]!;
      keyspace.compactedRevision = options.head.compacted[i]!;
    });
  }

  add(position: number, record: Bytes): void | Promise<void> {
    const header = this.#sealer.readHeader(record, position);
    this.#checkPlace(position, header);
    this.#records++;
    const opened = this.#sealer.open(record, header, position);
    if (opened instanceof Promise) {
      return opened.then((plaintext) => this.#take(position, header, record, plaintext));
    }
    this.#take(position, header, record, opened);
  }

  /** A record that the checkpoint knows; its tag must be the one that it knows. */
  addFact(fact: Fact, tag: Bytes): number {
    const { position } = fact;
    if (!equalBytes(fact.tag, tag)) {
      throw new StoreError(
        "record_altered",
        `${
          recordName(position)
        } is not the one that was written (sequence ${fact.sequence}, index ${fact.index})`,
        { hint: RESTORE_HINT },
      );
    }
    this.#checkPlace(position, fact);
    this.#records++;
    return this.#takeEntry(fact, tag, fact.key, fact.valueLength);
  }

  /** A record that the checkpoint knows is gone: rightly so, if the sum without it is the head's. */
  missing(fact: Fact): void {
    const { keyId, incarnation } = this.#sealer.originOf(fact.origin);
    const { sequence, index, count } = fact;
    const kind = RECORD_KIND.entry;
    const { storeId } = this.#sealer;
    const header = new Uint8Array(HEADER_BYTES);
    writeHeader({ kind, keyId, storeId, incarnation, sequence, index, count }, header);
    this.#multiset.remove(header, fact.tag);
  }

  addSum(sum: Bytes): void {
    this.#multiset.addSum(sum);
  }

  finish(chunks: readonly Chunk[]): LoadedLog {
    const head = this.#head;
    this.#findRevisionGaps();
    if (this.#records < head.liveRecords) {
      throw new StoreError(
        "record_missing",
        `${head.liveRecords - this.#records} of ${head.liveRecords} records are missing up to ` +
          `sequence ${head.sequence}${this.#gap === undefined ? "" : `: ${this.#gap}`}`,
        { hint: RESTORE_HINT },
      );
    }
    if (this.#records > head.liveRecords) {
      throw new StoreError(
        "head_mismatch",
        `${this.#records} records stand in the log, the head at sequence ${head.sequence} ` +
          `knows ${head.liveRecords}: records that had been removed were put back`,
        { hint: RESTORE_HINT },
      );
    }
    if (!equalBytes(this.#multiset.value(), head.sum)) {
      throw new StoreError(
        "head_mismatch",
        `the records are not the ones that the head at sequence ${head.sequence} stands for` +
          (this.#gap === undefined ? "" : `: ${this.#gap}`),
        { hint: RESTORE_HINT },
      );
    }
    const newest = this.#incarnations.at(-1);
    if (newest === undefined || !equalBytes(newest.incarnation, head.incarnation)) {
      throw new StoreError(
        "head_mismatch",
        `the head is of incarnation ${head.incarnation.toHex()}, the newest that the log began is ${
          newest?.incarnation.toHex() ?? "none"
        }`,
        { hint: RESTORE_HINT },
      );
    }
    return {
      incarnations: this.#incarnations,
      garbage: this.#garbage,
      chunks,
      tail: this.#tail,
    };
  }

  /** Positions and sequence numbers rise together; a record that was moved breaks that. */
  #checkPlace(position: number, place: RecordPlace): void {
    const { sequence, index, count } = place;
    if (sequence > this.#head.sequence || position >= this.#head.nextPosition) {
      throw new StoreError(
        "head_mismatch",
        `${
          recordName(position, place)
        } is newer than the head (sequence ${this.#head.sequence}, next position ${this.#head.nextPosition})`,
        { hint: RESTORE_HINT },
      );
    }
    const last = this.#last;
    const base = position - index;
    const follows = sequence === last.sequence
      ? position - last.position === index - last.index && count === last.count
      : sequence > last.sequence && base >= last.position - last.index + last.count;
    if (index >= count || base < 0 || !follows) {
      throw new StoreError(
        "record_altered",
        `${recordName(position, place)} does not belong in its place${
          last.position < 0 ? "" : `, after ${recordName(last.position, last)}`
        }: it was moved, repeated, or its header changed`,
        { hint: RESTORE_HINT },
      );
    }
    last.position = position;
    last.sequence = sequence;
    last.index = index;
    last.count = count;
  }

  #take(position: number, header: RecordHeader, record: Bytes, plaintext: Bytes): void {
    const headerBytes = record.subarray(0, HEADER_BYTES);
    const tag = recordTag(record);
    this.#multiset.add(headerBytes, tag);
    switch (header.kind) {
      case RECORD_KIND.entry: {
        const entry = decodeEntry(plaintext, position);
        const origin = this.#sealer.origin(header.keyId, header.incarnation, position).number;
        const { sequence, index, count } = header;
        const { keyspace, deleted, sub, modRevision, createRevision, version, lease } = entry;
        const slot = this.#takeEntry(
          {
            position,
            sequence,
            index,
            count,
            origin,
            keyspace,
            deleted,
            sub,
            modRevision,
            createRevision,
            version,
            lease,
          },
          tag,
          toBinaryString(entry.key),
          entry.value.length,
        );
        this.#tail.push(slot);
        return;
      }
      case RECORD_KIND.incarnation:
        this.#incarnations.push({
          ...decodeIncarnation(plaintext, recordName(position, header)),
          removal: { position, header: headerBytes.slice(), tag: tag.slice() },
        });
        return;
      default:
        throw new StoreError(
          "record_altered",
          `${recordName(position)}: a record of its kind has no place here`,
          { hint: RESTORE_HINT },
        );
    }
  }

  #takeEntry(
    entry: EntryMeta & VersionPlace,
    tag: Bytes,
    key: string,
    valueLength: number,
  ): number {
    const { versions, keyspaces } = this.#index;
    const keyspace = keyspaces[entry.keyspace]!;
    const older = keyspace.newest(key);
    if (older !== NO_SLOT && !keyspace.keepsHistory) {
      throw new StoreError(
        "head_mismatch",
        `${
          recordName(entry.position)
        } overwrites a record that should have gone with it: it was put back`,
        { hint: RESTORE_HINT },
      );
    }
    this.#noteGap(entry, older);
    const slot = this.#index.push(key, entry, valueLength);
    versions.place(slot, entry);
    versions.setTag(slot, tag);
    if (!keyspace.keepsHistory) return slot;
    const compacted = keyspace.compactedRevision;
    if (entry.modRevision >= compacted) keyspace.history.push(slot);
    if (entry.modRevision > compacted) return slot;
    // What a compaction had not finished.
    for (const dead of [...this.#index.olderThan(slot)]) this.#bury(dead, compacted);
    if (entry.deleted) this.#bury(slot, compacted);
    return slot;
  }

  #bury(slot: number, compacted: number): void {
    if (this.#index.versions.modRevision(slot) >= compacted) return;
    this.#index.keyspaces[this.#index.versions.keyspace(slot)]!.unlink(slot);
    this.#garbage.push(slot);
  }

  #noteGap(entry: EntryMeta & VersionPlace, older: number): void {
    const keyspace = this.#index.keyspaces[entry.keyspace]!;
    if (this.#gap !== undefined || !keyspace.keepsHistory || entry.version <= 1) return;
    if (entry.modRevision <= keyspace.compactedRevision) return;
    if (older !== NO_SLOT && this.#index.versions.version(older) === entry.version - 1) return;
    this.#gap =
      `version ${entry.version - 1} of the key in ${recordName(entry.position)} (revision ` +
      `${entry.modRevision} of ${keyspace.name}) is not there`;
  }

  #findRevisionGaps(): void {
    const { versions, keyspaces } = this.#index;
    for (const keyspace of keyspaces) {
      if (!keyspace.keepsHistory || this.#gap !== undefined) continue;
      let expected = Math.max(keyspace.compactedRevision, 1) + 1;
      for (let i = keyspace.history.indexOf(expected); i < keyspace.history.length; i++) {
        const revision = versions.modRevision(keyspace.history.at(i));
        if (revision > expected) break;
        if (revision === expected) expected++;
      }
      if (expected <= keyspace.revision) {
        this.#gap = `revision ${expected} of ${keyspace.name} is not there`;
      }
    }
  }
}
