/** Takes records and facts in their order into the index, and refuses what cannot be. */
import type { Bytes } from "../backends/mod.ts";
import { equalBytes, toBinaryString } from "./bytes.ts";
import type { Fact } from "./checkpoint_format.ts";
import { decodeEntry, type EntryMeta } from "./entry.ts";
import { StoreError } from "./errors.ts";
import type { Head } from "./head.ts";
import { decodeIncarnation, type IncarnationRecord } from "./incarnation.ts";
import type { Index } from "./index.ts";
import { type MultisetHash } from "./multiset.ts";
import { PlaceCheck } from "./place_check.ts";
import {
  HEADER_BYTES,
  RECORD_KIND,
  type RecordHeader,
  recordName,
  recordTag,
  RESTORE_HINT,
  writeHeader,
} from "./record.ts";
import type { RecordSealer } from "./record_sealer.ts";
import { NO_SLOT, type VersionPlace } from "./versions.ts";

/** An incarnation whose record is in the log, and how it stands there. */
export interface LiveIncarnation extends IncarnationRecord {
  readonly position: number;
  header: RecordHeader;
  /** 16 bytes. */
  tag: Bytes;
}

export class Loader {
  readonly #sealer: RecordSealer;
  readonly #multiset: MultisetHash;
  readonly #index: Index;
  readonly #head: Head;
  readonly #incarnations: LiveIncarnation[] = [];
  readonly #garbage: number[] = [];
  readonly #places: PlaceCheck;
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
    this.#places = new PlaceCheck(options.head);
    options.index.keyspaces.forEach((keyspace, i) => {
      keyspace.revision = keyspace.durableRevision = options.head.revisions[i]!;
      keyspace.compactedRevision = options.head.compacted[i]!;
    });
  }

  /** Opens a record and takes it in; answers its slot, NO_SLOT for what is no entry. */
  add(position: number, record: Bytes): number | Promise<number> {
    const header = this.#sealer.readHeader(record, position);
    this.#places.next(position, header);
    this.#records++;
    const opened = this.#sealer.open(record, header, position);
    return opened instanceof Promise
      ? opened.then((plaintext) => this.#take(position, header, record, plaintext))
      : this.#take(position, header, record, opened);
  }

  /** A record that the checkpoint knows, with the very tag that it knows. */
  addFact(fact: Fact, tag: Bytes): number {
    const { position } = fact;
    this.#places.next(position, fact);
    this.#records++;
    return this.#takeEntry(fact, tag, fact.key, fact.valueLength);
  }

  /**
   * A record that the checkpoint knows is gone, or was sealed anew and stands there with another
   * tag: rightly so, if the sum without it is the head's.
   */
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

  /** @throws {StoreError} `record_missing`, `head_mismatch` where the records are not the head's */
  finish(): { incarnations: LiveIncarnation[]; garbage: number[] } {
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

  #take(position: number, header: RecordHeader, record: Bytes, plaintext: Bytes): number {
    const headerBytes = record.subarray(0, HEADER_BYTES);
    const tag = recordTag(record);
    this.#multiset.add(headerBytes, tag);
    switch (header.kind) {
      case RECORD_KIND.entry: {
        const entry = decodeEntry(plaintext, position);
        const origin = this.#sealer.origin(header.keyId, header.incarnation, position).number;
        const { sequence, index, count } = header;
        const { keyspace, deleted, sub, modRevision, createRevision, version, lease } = entry;
        return this.#takeEntry(
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
      }
      case RECORD_KIND.incarnation:
        this.#incarnations.push({
          ...decodeIncarnation(plaintext, recordName(position, header)),
          position,
          header,
          tag: tag.slice(),
        });
        return NO_SLOT;
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
