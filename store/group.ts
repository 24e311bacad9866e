/** What goes into one append: transactions with their places, sealed together. */
import type { Bytes } from "../backends/mod.ts";
import type { LogReplacements } from "./log.ts";
import type { MultisetHash } from "./multiset.ts";
import {
  HEADER_BYTES,
  RECORD_OVERHEAD,
  type RecordHeader,
  type RecordKind,
  TAG_BYTES,
  writeHeader,
} from "./record.ts";
import type { RecordSealer } from "./record_sealer.ts";

/** A record to be written. */
export interface NewRecord {
  readonly kind: RecordKind;
  readonly plaintext: Bytes;
  /** Called with header and tag (views, valid during the call) once it is sealed. */
  readonly onSealed: (header: Uint8Array, tag: Uint8Array) => void;
}

/** A record to be deleted: what the multiset hash needs to forget it. */
export interface Removal {
  readonly position: number;
  /** 56 bytes. */
  readonly header: Bytes;
  /** 16 bytes. */
  readonly tag: Bytes;
}

/** A record that stays in its place and is sealed anew, under the current key. */
export interface Reseal {
  readonly position: number;
  readonly plaintext: Bytes;
  /**
   * Asked when the append is put together: how the record stands in the log by then, its 56-byte
   * header and its tag. Undefined where it is gone or goes in this append.
   */
  readonly stands: () => { readonly header: RecordHeader; readonly tag: Uint8Array } | undefined;
  /** Called with header and tag (views, valid during the call) once it is sealed. */
  readonly onSealed: (header: Uint8Array, tag: Uint8Array) => void;
}

/** One transaction, one sequence number. */
export interface Commit {
  readonly sequence: number;
  readonly firstPosition: number;
  readonly records: readonly NewRecord[];
  /** Asked for when the append is put together, in order. */
  readonly removals: () => readonly RemovalRequest[];
  readonly reseals?: readonly Reseal[];
  /** Called before anything of it is sealed, and after all before it was: it leads its append. */
  readonly begin?: () => void;
  readonly revisions: readonly number[];
  readonly compacted: readonly number[];
  readonly keyring?: { readonly version: number; readonly bytes: Bytes };
  /** The append is durable: show it. */
  readonly publish: () => void;
  readonly reject: (error: unknown) => void;
}

/** Only a position where the record was born in this very append: it is left out instead. */
export type RemovalRequest = Removal | { readonly unborn: number };

export interface SealedGroup {
  readonly firstPosition: number;
  readonly lengths: Uint32Array<ArrayBuffer>;
  readonly bytes: Bytes;
  readonly removals: Float64Array<ArrayBuffer>;
  readonly replacements: LogReplacements | undefined;
  /** Change in the number of live records. */
  readonly delta: number;
}

/**
 * Seals the records of a group into one buffer and moves the multiset hash along. Answers at once
 * where the AEAD provider does.
 */
export function sealGroup(
  commits: readonly Commit[],
  sealer: RecordSealer,
  multiset: MultisetHash,
): SealedGroup | Promise<SealedGroup> {
  commits[0]!.begin?.();
  const firstPosition = commits[0]!.firstPosition;
  const removals: Removal[] = [];
  const unborn = new Set<number>();
  for (const commit of commits) {
    for (const removal of commit.removals()) {
      if ("unborn" in removal) unborn.add(removal.unborn);
      else removals.push(removal);
    }
  }
  const records = commits.reduce((sum, commit) => sum + commit.records.length, 0);
  const lengths = new Uint32Array(records);
  let size = 0;
  forEachRecord(commits, (record, i) => {
    if (unborn.has(firstPosition + i)) return;
    lengths[i] = record.plaintext.length + RECORD_OVERHEAD;
    size += lengths[i]!;
  });
  const bytes = new Uint8Array(size);
  const { origin, storeId } = { origin: sealer.current, storeId: sealer.storeId };
  const waiting: Promise<void>[] = [];
  let offset = 0;
  forEachRecord(commits, (record, i, commit, index) => {
    const length = lengths[i]!;
    if (length === 0) return;
    const out = bytes.subarray(offset, offset + length);
    offset += length;
    const header: RecordHeader = {
      kind: record.kind,
      keyId: origin.keyId,
      storeId,
      incarnation: origin.incarnation,
      sequence: commit.sequence,
      index,
      count: commit.records.length,
    };
    const sealed = sealer.sealInto(header, record.plaintext, out);
    if (sealed !== undefined) waiting.push(sealed);
  });
  const reseals = sealAnew(commits, sealer, multiset);
  waiting.push(...reseals.waiting);
  const finish = (): SealedGroup => {
    let at = 0;
    let born = 0;
    forEachRecord(commits, (record, i) => {
      const length = lengths[i]!;
      if (length === 0) return;
      const header = bytes.subarray(at, at + HEADER_BYTES);
      const tag = bytes.subarray(at + length - TAG_BYTES, at + length);
      at += length;
      born++;
      multiset.add(header, tag);
      record.onSealed(header, tag);
    });
    for (const removal of removals) multiset.remove(removal.header, removal.tag);
    const replacements = reseals.finish();
    return {
      firstPosition,
      lengths,
      bytes,
      removals: Float64Array.from(removals, (removal) => removal.position),
      replacements,
      delta: born - removals.length,
    };
  };
  return waiting.length === 0 ? finish() : Promise.all(waiting).then(finish);
}

/** Records that stay in their place; asked after the removals, so that what goes is left alone. */
function sealAnew(
  commits: readonly Commit[],
  sealer: RecordSealer,
  multiset: MultisetHash,
): { readonly waiting: Promise<void>[]; finish(): LogReplacements | undefined } {
  const found = commits.flatMap(({ reseals = [] }) =>
    reseals.flatMap((reseal) => {
      const stands = reseal.stands();
      return stands === undefined ? [] : [{ reseal, stands }];
    })
  );
  if (found.length === 0) return { waiting: [], finish: () => undefined };
  const lengths = Uint32Array.from(
    found,
    ({ reseal }) => reseal.plaintext.length + RECORD_OVERHEAD,
  );
  const bytes = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
  const { keyId, incarnation } = sealer.current;
  const waiting: Promise<void>[] = [];
  let offset = 0;
  const records = found.map(({ reseal, stands }, i) => {
    const out = bytes.subarray(offset, offset + lengths[i]!);
    offset += lengths[i]!;
    const sealed = sealer.sealInto(
      { ...stands.header, keyId, incarnation },
      reseal.plaintext,
      out,
    );
    if (sealed !== undefined) waiting.push(sealed);
    return out;
  });
  const finish = (): LogReplacements => {
    for (const [i, { reseal, stands }] of found.entries()) {
      const record = records[i]!;
      const header = record.subarray(0, HEADER_BYTES);
      const tag = record.subarray(record.length - TAG_BYTES);
      multiset.remove(headerBytes(stands.header), stands.tag);
      multiset.add(header, tag);
      reseal.onSealed(header, tag);
    }
    return {
      positions: Float64Array.from(found, ({ reseal }) => reseal.position),
      lengths,
      bytes,
    };
  };
  return { waiting, finish };
}

function forEachRecord(
  commits: readonly Commit[],
  visit: (record: NewRecord, i: number, commit: Commit, index: number) => void,
): void {
  let i = 0;
  for (const commit of commits) {
    let index = 0;
    for (const record of commit.records) visit(record, i++, commit, index++);
  }
}

/** The header of an entry record as bytes. */
export function headerBytes(header: RecordHeader): Bytes {
  const out = new Uint8Array(HEADER_BYTES);
  writeHeader(header, out);
  return out;
}
