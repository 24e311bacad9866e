/**
 * The incarnation record: which incarnation follows which, from which sequence on, and why. A few
 * of the newest are kept; an anchor finds in them whether the log descends from what it saw.
 *
 * ```
 *  0  layout  u8 = 1     18  previous incarnation  16 bytes (zero for the first)
 *  1  reason  u8         34  previous sequence     u64
 *  2  incarnation  16    42  time                  u64, milliseconds since the epoch
 * ```
 */
import type { Bytes } from "../backends/mod.ts";
import { StoreError } from "./errors.ts";
import { readU53, writeU53 } from "./record.ts";

const LAYOUT = 1;
const INCARNATION_BYTES = 50;

const REASONS = ["create", "open", "renew", "restore", "recover", "rotate", "reseal"] as const;
export type IncarnationReason = typeof REASONS[number];

export interface IncarnationRecord {
  readonly reason: IncarnationReason;
  readonly incarnation: Bytes;
  readonly previous: Bytes;
  /** The last sequence of the previous incarnation. */
  readonly previousSequence: number;
  readonly timeMs: number;
}

export function encodeIncarnation(record: IncarnationRecord): Bytes {
  const out = new Uint8Array(INCARNATION_BYTES);
  const view = new DataView(out.buffer);
  out[0] = LAYOUT;
  out[1] = REASONS.indexOf(record.reason);
  out.set(record.incarnation, 2);
  out.set(record.previous, 18);
  writeU53(view, 34, record.previousSequence);
  writeU53(view, 42, record.timeMs);
  return out;
}

/** @throws {StoreError} `format` */
export function decodeIncarnation(plaintext: Bytes, where: string): IncarnationRecord {
  const reason = REASONS[plaintext[1] ?? 255];
  if (plaintext.length !== INCARNATION_BYTES || plaintext[0] !== LAYOUT || reason === undefined) {
    throw new StoreError("format", `${where}: an incarnation record that this program cannot read`);
  }
  const view = new DataView(plaintext.buffer, plaintext.byteOffset);
  const previousSequence = readU53(view, 34);
  const timeMs = readU53(view, 42);
  if (previousSequence === undefined || timeMs === undefined) {
    throw new StoreError("format", `${where}: an incarnation record with a number beyond 2^53`);
  }
  return {
    reason,
    incarnation: plaintext.slice(2, 18),
    previous: plaintext.slice(18, 34),
    previousSequence,
    timeMs,
  };
}
