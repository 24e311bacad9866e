/** Makes crypto-agile event logs for tests. */
import { sha384 } from "@noble/hashes/sha2.js";
import type { Bytes } from "../../backends/mod.ts";
import { concat } from "./intel_der.ts";

export interface TestEvent {
  /** 1 to 4: RTMR0 to RTMR3. */
  readonly mrIndex: number;
  readonly type: number;
  readonly data: Bytes;
}

function u16(value: number): Bytes {
  return Uint8Array.of(value & 0xff, value >> 8);
}

function u32(value: number): Bytes {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

/** TCG_EfiSpecIDEvent with SHA-384 alone, in the header entry. */
export function specIdEvent(): Bytes {
  const body = concat(
    new TextEncoder().encode("Spec ID Event03\0"),
    u32(0),
    Uint8Array.of(0, 2, 0, 2),
    u32(1),
    u16(0x0c),
    u16(48),
    Uint8Array.of(0),
  );
  return concat(u32(1), u32(3), new Uint8Array(20), u32(body.length), body);
}

/** A log whose digests are SHA-384 of the data. */
export function eventLogBytes(events: readonly TestEvent[]): Bytes {
  return concat(
    specIdEvent(),
    ...events.map(({ mrIndex, type, data }) =>
      concat(u32(mrIndex), u32(type), u32(1), u16(0x0c), sha384(data), u32(data.length), data)
    ),
  );
}
