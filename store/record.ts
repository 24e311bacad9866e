/**
 * The sealed record, the only thing the store ever writes: pure bytes, no cryptography.
 *
 * ```
 *  0  format version  u8 = 1        24  incarnation  16 bytes
 *  1  suite           u8 = 1        40  sequence     u64
 *  2  kind            u8            48  index        u32
 *  3  zero            u8            52  count        u32
 *  4  key id          u32           56  nonce        12 bytes
 *  8  store id        16 bytes      68  ciphertext, then tag (16 bytes)
 * ```
 * Integers are big-endian. Bytes 0..55 are the associated data of AES-256-GCM (NIST SP 800-38D).
 * Suite 1: AES-256-GCM, HKDF-SHA-256, HMAC-SHA-512.
 */
import type { Bytes } from "../backends/mod.ts";
import { StoreError } from "./errors.ts";

export const FORMAT_VERSION = 1;
export const SUITE = 1;
export const HEADER_BYTES = 56;
export const NONCE_BYTES = 12;
export const TAG_BYTES = 16;
/** Header, nonce and tag: what a record is longer than its plaintext. */
export const RECORD_OVERHEAD = HEADER_BYTES + NONCE_BYTES + TAG_BYTES;
export const ID_BYTES = 16;

/** What an operator can do about a log that is not what was written. */
export const RESTORE_HINT = "restore a backup, or put back the whole data directory as it was";

/** What a record holds; the only thing besides sizes and numbers that the disk shows. */
export const RECORD_KIND = {
  /** One version of one key: a put or a tombstone. */
  entry: 1,
  /** Where the whole log stands. One, replaced by every append. */
  head: 2,
  /** One per open, restore, takeover or key change: which incarnation follows which. */
  incarnation: 3,
  /** Facts about many records, so that opening need not decrypt each (index checkpoint). */
  checkpoint: 4,
} as const;

export type RecordKind = typeof RECORD_KIND[keyof typeof RECORD_KIND];

/** The index of the head, which belongs to no transaction. */
export const HEAD_INDEX = 0xffff_ffff;

/** Which record of which transaction. */
export type RecordPlace = Pick<RecordHeader, "sequence" | "index" | "count">;

/** Stands for the head where a position is named. */
export const HEAD_POSITION = -1;

/** Stands for a chunk of the index checkpoint where a position is named. */
export function chunkPosition(chunk: number): number {
  return HEAD_POSITION - 1 - chunk;
}

export interface RecordHeader {
  readonly kind: RecordKind;
  readonly keyId: number;
  /** 16 bytes. */
  readonly storeId: Bytes;
  /** 16 bytes. */
  readonly incarnation: Bytes;
  /** Below 2^53. */
  readonly sequence: number;
  readonly index: number;
  readonly count: number;
}

export function writeHeader(header: RecordHeader, out: Uint8Array): void {
  const view = new DataView(out.buffer, out.byteOffset, HEADER_BYTES);
  out[0] = FORMAT_VERSION;
  out[1] = SUITE;
  out[2] = header.kind;
  out[3] = 0;
  view.setUint32(4, header.keyId);
  out.set(header.storeId, 8);
  out.set(header.incarnation, 24);
  writeU53(view, 40, header.sequence);
  view.setUint32(48, header.index);
  view.setUint32(52, header.count);
}

/**
 * Reads the header of a record from the disk.
 * @throws {StoreError} `format` on a version, suite or kind that this program does not know,
 * `record_altered` on a record too short or with a non-zero reserved byte.
 */
export function readHeader(record: Bytes, position: number): RecordHeader {
  if (record.length < RECORD_OVERHEAD) {
    throw new StoreError(
      "record_altered",
      `${recordName(position)}: ${record.length} bytes, a record has at least ${RECORD_OVERHEAD}`,
      { hint: RESTORE_HINT },
    );
  }
  const version = record[0]!;
  if (version !== FORMAT_VERSION) {
    throw new StoreError(
      "format",
      `${recordName(position)}: format version ${version}, known is 1`,
      {
        hint:
          "the record was altered (restore a backup), or a newer release wrote it (run that one)",
      },
    );
  }
  if (record[1] !== SUITE) {
    throw new StoreError(
      "format",
      `${recordName(position)}: cipher suite ${record[1]}, known is 1`,
      {
        hint: RESTORE_HINT,
      },
    );
  }
  const kind = recordKind(record[2]!);
  if (kind === undefined) {
    throw new StoreError("format", `${recordName(position)}: record kind ${record[2]} is unknown`, {
      hint: RESTORE_HINT,
    });
  }
  if (record[3] !== 0) {
    throw new StoreError(
      "record_altered",
      `${recordName(position)}: reserved byte is ${record[3]}, must be 0`,
      {
        hint: RESTORE_HINT,
      },
    );
  }
  const view = new DataView(record.buffer, record.byteOffset, HEADER_BYTES);
  const sequence = readU53(view, 40);
  if (sequence === undefined) {
    throw new StoreError("record_altered", `${recordName(position)}: sequence number beyond 2^53`, {
      hint: RESTORE_HINT,
    });
  }
  return {
    kind,
    keyId: view.getUint32(4),
    storeId: record.slice(8, 24),
    incarnation: record.slice(24, 40),
    sequence,
    index: view.getUint32(48),
    count: view.getUint32(52),
  };
}

function recordKind(value: number): RecordKind | undefined {
  switch (value) {
    case RECORD_KIND.entry:
    case RECORD_KIND.head:
    case RECORD_KIND.incarnation:
    case RECORD_KIND.checkpoint:
      return value;
    default:
      return undefined;
  }
}

/** The authentication tag: with it in memory, every byte of the record is pinned. */
export function recordTag(record: Bytes): Bytes {
  return record.subarray(record.length - TAG_BYTES);
}

/** An unsigned integer below 2^53 in eight bytes. */
export function writeU53(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, Math.floor(value / 0x1_0000_0000));
  view.setUint32(offset + 4, value >>> 0);
}

/** Undefined where the number is 2^53 or more. */
export function readU53(view: DataView, offset: number): number | undefined {
  const high = view.getUint32(offset);
  if (high > 0x1f_ffff) return undefined;
  return high * 0x1_0000_0000 + view.getUint32(offset + 4);
}

/** "record 17 (sequence 5, index 0)": how every refusal names a place. */
export function recordName(position: number, header?: RecordPlace): string {
  if (position === HEAD_POSITION) return "the head";
  if (position < HEAD_POSITION) {
    return `chunk ${HEAD_POSITION - 1 - position} of the index checkpoint`;
  }
  if (header === undefined) return `record at position ${position}`;
  return `record at position ${position} (sequence ${header.sequence}, index ${header.index} of ${header.count})`;
}
