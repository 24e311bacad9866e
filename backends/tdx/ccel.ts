/**
 * CCEL: the event log of a TD, in the crypto-agile format of TCG ("PC Client Platform Firmware
 * Profile", 10), replayed to RTMR0-3 ("Guest-Hypervisor Communication Interface", CCEL). The log
 * itself is not signed; what makes it true is that it replays to the registers in the quote.
 */
import { sha384 } from "@noble/hashes/sha2.js";
import { ByteReader } from "../dcap/reader.ts";
import type { Bytes } from "../mod.ts";

const EV_NO_ACTION = 0x00000003;
const ALG_SHA384 = 0x000c;
const SPEC_ID_SIGNATURE = "Spec ID Event03\0";
/** The table is 256 KiB where it is known to be largest. */
export const MAX_CCEL_LENGTH = 4 << 20;
const MAX_EVENTS = 65_536;
const MAX_ALGORITHMS = 16;
const END_OF_LOG = 0xffffffff;

export interface CcEvent {
  /** 0 MRTD (never extended by an event), 1 to 4: RTMR0 to RTMR3. */
  readonly mrIndex: number;
  readonly type: number;
  /** 48 bytes. */
  readonly digest: Bytes;
  readonly data: Bytes;
}

export interface CcEventLog {
  readonly events: readonly CcEvent[];
}

/** Whether bytes begin like a crypto-agile event log. */
export function looksLikeEventLog(bytes: Uint8Array): boolean {
  return new TextDecoder("latin1").decode(bytes.subarray(32, 48)) === SPEC_ID_SIGNATURE;
}

/**
 * Decodes a log. Fill after the last event (all FF or all zero) is let be.
 * @throws {BackendError} `malformed`: cut off, another format, no SHA-384, an unknown register.
 */
export function decodeEventLog(input: Uint8Array): CcEventLog {
  const bytes = new Uint8Array(input);
  const reader = new ByteReader(bytes, "TDX", "event log");
  if (bytes.length > MAX_CCEL_LENGTH) {
    throw reader.malformed(`${bytes.length} bytes, at most ${MAX_CCEL_LENGTH}`);
  }
  const digestSizes = readSpecId(reader);
  const events: CcEvent[] = [];
  while (reader.remaining > 0 && !isFill(bytes.subarray(reader.offset))) {
    if (events.length >= MAX_EVENTS) throw reader.malformed(`more than ${MAX_EVENTS} events`);
    events.push(readEvent(reader, digestSizes));
  }
  return { events };
}

/** The first entry: TCG_PCR_EVENT with TCG_EfiSpecIDEvent. @returns digest size by algorithm. */
function readSpecId(reader: ByteReader): ReadonlyMap<number, number> {
  reader.u32("register of the first event");
  const type = reader.u32("type of the first event");
  reader.bytes(20, "digest of the first event");
  const size = reader.u32("size of the first event");
  const event = new ByteReader(reader.bytes(size, "first event"), "TDX", "event log: first event");
  const signature = new TextDecoder("latin1").decode(event.bytes(16, "signature"));
  if (type !== EV_NO_ACTION || signature !== SPEC_ID_SIGNATURE) {
    throw reader.malformed("does not begin with Spec ID Event03");
  }
  event.u32("platform class");
  event.bytes(4, "specification version");
  const count = event.u32("number of algorithms");
  if (count < 1 || count > MAX_ALGORITHMS) throw event.malformed(`${count} digest algorithms`);
  const sizes = new Map<number, number>();
  for (let i = 0; i < count; i++) {
    const algorithm = event.u16("algorithm");
    const digestSize = event.u16("digest size");
    if (sizes.has(algorithm)) throw event.malformed(`algorithm 0x${algorithm.toString(16)} twice`);
    sizes.set(algorithm, digestSize);
  }
  const vendorLength = event.bytes(1, "vendor info length")[0] ?? 0;
  event.bytes(vendorLength, "vendor info");
  event.end();
  if (sizes.get(ALG_SHA384) !== 48) throw event.malformed("no SHA-384 digests");
  return sizes;
}

/** TCG_PCR_EVENT2. */
function readEvent(reader: ByteReader, digestSizes: ReadonlyMap<number, number>): CcEvent {
  const at = reader.offset;
  const mrIndex = reader.u32("register");
  const type = reader.u32("event type");
  const count = reader.u32("number of digests");
  if (count > digestSizes.size) throw reader.malformed(`${count} digests at offset ${at}`);
  let digest: Bytes | undefined;
  for (let i = 0; i < count; i++) {
    const algorithm = reader.u16("digest algorithm");
    const size = digestSizes.get(algorithm);
    if (size === undefined) {
      throw reader.malformed(`digest algorithm 0x${algorithm.toString(16)} at offset ${at}`);
    }
    const value = reader.bytes(size, "digest");
    if (algorithm !== ALG_SHA384) continue;
    if (digest !== undefined) throw reader.malformed(`two SHA-384 digests at offset ${at}`);
    digest = value;
  }
  const data = reader.bytes(reader.u32("event size"), "event");
  if (digest === undefined) throw reader.malformed(`no SHA-384 digest at offset ${at}`);
  if (mrIndex > 4) throw reader.malformed(`register ${mrIndex} at offset ${at}`);
  return { mrIndex, type, digest, data };
}

function isFill(rest: Uint8Array): boolean {
  const first = rest[0] ?? 0;
  // A register of FFFFFFFF ends the log whatever follows; zeros must go on to the end.
  if (rest.length >= 4 && first === 0xff) {
    return new DataView(rest.buffer, rest.byteOffset).getUint32(0) === END_OF_LOG;
  }
  return rest.every((byte) => byte === first) && (first === 0 || first === 0xff);
}

/**
 * The registers that the log leads to: each starts at zero, each event makes it
 * SHA-384(register ‖ digest); EV_NO_ACTION extends nothing.
 * @returns RTMR0 to RTMR3, 48 bytes each.
 */
export function replayEventLog(log: CcEventLog): readonly [Bytes, Bytes, Bytes, Bytes] {
  const registers: [Bytes, Bytes, Bytes, Bytes] = [
    new Uint8Array(48),
    new Uint8Array(48),
    new Uint8Array(48),
    new Uint8Array(48),
  ];
  for (const { mrIndex, type, digest } of log.events) {
    const index = mrIndex - 1;
    if (type === EV_NO_ACTION || (index !== 0 && index !== 1 && index !== 2 && index !== 3)) {
      continue;
    }
    const next = sha384.create().update(registers[index]).update(digest).digest();
    registers[index] = new Uint8Array(next);
  }
  return registers;
}
