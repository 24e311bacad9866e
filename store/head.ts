/**
 * The plaintext of the head: where the whole log stands. Sealed in every append.
 *
 * ```
 *  0  layout           u8 = 1            117  previous head   32 bytes, SHA-256 of its record
 *  1  incarnation      16 bytes          149  revisions       3 x u64 (system, k8s, etcd)
 * 17  sequence         u64, last used    173  compacted       3 x u64
 * 25  next position    u64               197  record count    u64, live records
 * 33  keyring version  u64               205  end
 * 41  anchor counter   u64
 * 49  anchored by      u32, bits: 1 counter, 2 record
 * 53  sum              64 bytes
 * ```
 */
import type { Bytes } from "../backends/mod.ts";
import { KEYSPACE_COUNT } from "./entry.ts";
import { StoreError } from "./errors.ts";
import { SUM_BYTES } from "./multiset.ts";
import { readU53, writeU53 } from "./record.ts";

const LAYOUT = 1;
export const HEAD_BYTES = 205;

export interface Head {
  readonly incarnation: Bytes;
  readonly sequence: number;
  readonly nextPosition: number;
  readonly keyringVersion: number;
  readonly sum: Bytes;
  readonly previousHead: Bytes;
  readonly revisions: readonly number[];
  readonly compacted: readonly number[];
  readonly liveRecords: number;
  /** What the TEE's monotonic counter shows, or is about to show; 0 where none is used. */
  readonly anchorCounter: number;
  /** ANCHORED bits: which kinds of anchor this store has had, so that one cannot just be taken away. */
  readonly anchoredBy: number;
}

export const ANCHORED = { counter: 1, record: 2 } as const;

export function encodeHead(head: Head): Bytes {
  const out = new Uint8Array(HEAD_BYTES);
  const view = new DataView(out.buffer);
  out[0] = LAYOUT;
  out.set(head.incarnation, 1);
  writeU53(view, 17, head.sequence);
  writeU53(view, 25, head.nextPosition);
  writeU53(view, 33, head.keyringVersion);
  writeU53(view, 41, head.anchorCounter);
  view.setUint32(49, head.anchoredBy);
  out.set(head.sum, 53);
  out.set(head.previousHead, 117);
  for (let i = 0; i < KEYSPACE_COUNT; i++) {
    writeU53(view, 149 + i * 8, head.revisions[i]!);
    writeU53(view, 173 + i * 8, head.compacted[i]!);
  }
  writeU53(view, 197, head.liveRecords);
  return out;
}

/** @throws {StoreError} `format` */
export function decodeHead(plaintext: Bytes): Head {
  if (plaintext.length !== HEAD_BYTES || plaintext[0] !== LAYOUT) {
    throw new StoreError(
      "format",
      `head of ${plaintext.length} bytes, layout ${plaintext[0]}: known is layout 1`,
    );
  }
  const view = new DataView(plaintext.buffer, plaintext.byteOffset, HEAD_BYTES);
  const number = (offset: number): number => {
    const value = readU53(view, offset);
    if (value === undefined) throw new StoreError("format", "the head has a number beyond 2^53");
    return value;
  };
  const numbers = (offset: number) =>
    Array.from({ length: KEYSPACE_COUNT }, (_, i) => number(offset + i * 8));
  return {
    incarnation: plaintext.slice(1, 17),
    sequence: number(17),
    nextPosition: number(25),
    keyringVersion: number(33),
    sum: plaintext.slice(53, 53 + SUM_BYTES),
    previousHead: plaintext.slice(117, 149),
    revisions: numbers(149),
    compacted: numbers(173),
    liveRecords: number(197),
    anchorCounter: number(41),
    anchoredBy: view.getUint32(49),
  };
}
