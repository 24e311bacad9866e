/**
 * Reads a log back into memory and refuses whatever is not exactly what was written: what, where,
 * and nothing on the medium touched.
 */
import type { Bytes } from "../backends/mod.ts";
import { equalBytes, toBinaryString } from "./bytes.ts";
import { decodeEntry, type Entry } from "./entry.ts";
import { StoreError } from "./errors.ts";
import type { Removal } from "./group.ts";
import { decodeHead, type Head } from "./head.ts";
import { decodeIncarnation, type IncarnationRecord } from "./incarnation.ts";
import type { Index } from "./index.ts";
import type { DurableLog } from "./log.ts";
import { type MultisetHash } from "./multiset.ts";
import {
  HEAD_INDEX,
  HEADER_BYTES,
  RECORD_KIND,
  type RecordHeader,
  recordName,
  recordTag,
  RESTORE_HINT,
} from "./record.ts";
import type { RecordSealer } from "./record_sealer.ts";
import { NO_SLOT } from "./versions.ts";

export interface LiveIncarnation extends IncarnationRecord {
  readonly removal: Removal;
}

export interface LoadedLog {
  readonly incarnations: readonly LiveIncarnation[];
  /** Versions below the compaction that were still in the log: to be removed. */
  readonly garbage: readonly number[];
}

/** @throws {StoreError} `head_mismatch`, `record_altered`, `foreign_record`, `format` */
export async function openHead(sealer: RecordSealer, record: Bytes): Promise<Head> {
  const where = "the head";
  const header = sealer.readHeader(record, -1);
  if (header.kind !== RECORD_KIND.head || header.index !== HEAD_INDEX) {
    throw new StoreError("head_mismatch", "the head's place holds a record that is no head", {
      hint: RESTORE_HINT,
    });
  }
  const head = decodeHead(await sealer.open(record, header, where));
  if (head.sequence !== header.sequence || !equalBytes(head.incarnation, header.incarnation)) {
    throw new StoreError("head_mismatch", "the head contradicts its own header", {
      hint: RESTORE_HINT,
    });
  }
  return head;
}

/** @throws {StoreError} see above */
export async function loadLog(options: {
  readonly log: DurableLog;
  readonly sealer: RecordSealer;
  readonly multiset: MultisetHash;
  readonly index: Index;
  readonly head: Head;
}): Promise<LoadedLog> {
  const loader = new Loader(options);
  for await (const page of options.log.replay(0)) {
    let offset = 0;
    for (let i = 0; i < page.positions.length; i++) {
      const length = page.lengths[i]!;
      const record = page.bytes.subarray(offset, offset + length);
      offset += length;
      const added = loader.add(page.positions[i]!, record);
      if (added !== undefined) await added;
    }
  }
  return loader.finish();
}

class Loader {
  readonly #sealer: RecordSealer;
  readonly #multiset: MultisetHash;
  readonly #index: Index;
  readonly #head: Head;
  readonly #incarnations: LiveIncarnation[] = [];
  readonly #garbage: number[] = [];
  #previous: { position: number; header: RecordHeader } | undefined;
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
    const where = recordName(position, header);
    const opened = this.#sealer.open(record, header, where);
    if (opened instanceof Promise) {
      return opened.then((plaintext) => this.#take(position, header, record, plaintext, where));
    }
    this.#take(position, header, record, opened, where);
  }

  finish(): LoadedLog {
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
    return { incarnations: this.#incarnations, garbage: this.#garbage };
  }

  /** Positions and sequence numbers rise together; a record that was moved breaks that. */
  #checkPlace(position: number, header: RecordHeader): void {
    const where = recordName(position, header);
    if (header.sequence > this.#head.sequence || position >= this.#head.nextPosition) {
      throw new StoreError(
        "head_mismatch",
        `${where} is newer than the head (sequence ${this.#head.sequence}, next position ${this.#head.nextPosition})`,
        { hint: RESTORE_HINT },
      );
    }
    const base = position - header.index;
    const fits = header.index < header.count && base >= 0;
    const last = this.#previous;
    const follows = last === undefined ||
      (header.sequence === last.header.sequence
        ? position - last.position === header.index - last.header.index &&
          header.count === last.header.count
        : header.sequence > last.header.sequence &&
          base >= last.position - last.header.index + last.header.count);
    if (!fits || !follows) {
      throw new StoreError(
        "record_altered",
        `${where} does not belong in its place${
          last === undefined ? "" : `, after ${recordName(last.position, last.header)}`
        }: it was moved, repeated, or its header changed`,
        { hint: RESTORE_HINT },
      );
    }
    this.#previous = { position, header };
  }

  #take(
    position: number,
    header: RecordHeader,
    record: Bytes,
    plaintext: Bytes,
    where: string,
  ): void {
    const headerBytes = record.subarray(0, HEADER_BYTES);
    const tag = recordTag(record);
    this.#multiset.add(headerBytes, tag);
    switch (header.kind) {
      case RECORD_KIND.entry:
        this.#takeEntry(position, header, tag, decodeEntry(plaintext, where), where);
        return;
      case RECORD_KIND.incarnation:
        this.#incarnations.push({
          ...decodeIncarnation(plaintext, where),
          removal: { position, header: headerBytes.slice(), tag: tag.slice() },
        });
        return;
      default:
        throw new StoreError("record_altered", `${where}: a record of its kind has no place here`, {
          hint: RESTORE_HINT,
        });
    }
  }

  #takeEntry(
    position: number,
    header: RecordHeader,
    tag: Bytes,
    entry: Entry,
    where: string,
  ): void {
    const { versions, keyspaces } = this.#index;
    const keyspace = keyspaces[entry.keyspace]!;
    const key = toBinaryString(entry.key);
    const older = keyspace.newest(key);
    if (older !== NO_SLOT && !keyspace.keepsHistory) {
      throw new StoreError(
        "head_mismatch",
        `${where} overwrites a record that should have gone with it: it was put back`,
        { hint: RESTORE_HINT },
      );
    }
    this.#noteGap(entry, older, where);
    const slot = this.#index.push(key, entry, entry.value.length);
    const { sequence, index, count } = header;
    const origin = this.#sealer.origin(header.keyId, header.incarnation).number;
    versions.place(slot, { position, sequence, index, count, origin });
    versions.setTag(slot, tag);
    if (!keyspace.keepsHistory) return;
    const compacted = keyspace.compactedRevision;
    if (entry.modRevision >= compacted) keyspace.history.push(slot);
    if (entry.modRevision > compacted) return;
    // What a compaction had not finished.
    for (const dead of [...this.#index.olderThan(slot)]) this.#bury(dead, compacted);
    if (entry.deleted) this.#bury(slot, compacted);
  }

  #bury(slot: number, compacted: number): void {
    if (this.#index.versions.modRevision(slot) >= compacted) return;
    this.#index.keyspaces[this.#index.versions.keyspace(slot)]!.unlink(slot);
    this.#garbage.push(slot);
  }

  #noteGap(entry: Entry, older: number, where: string): void {
    const keyspace = this.#index.keyspaces[entry.keyspace]!;
    if (this.#gap !== undefined || !keyspace.keepsHistory || entry.version <= 1) return;
    if (entry.modRevision <= keyspace.compactedRevision) return;
    if (older !== NO_SLOT && this.#index.versions.version(older) === entry.version - 1) return;
    this.#gap = `version ${entry.version - 1} of the key in ${where} (revision ` +
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
