/**
 * Strict DER (X.690): the gate that every certificate, CRL and signature passes before a library
 * decodes it. The libraries read BER; what vendors sign is DER, so anything looser is refused here.
 */
import { BackendError, type Bytes } from "../mod.ts";

/** One tag-length-value. Offsets are into the buffer it was read from. */
export interface Tlv {
  /** The identifier octet: class, constructed bit, number (0-30; longer forms are refused). */
  readonly tag: number;
  readonly start: number;
  readonly contentStart: number;
  readonly end: number;
}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Bounds on a whole structure. */
export interface DerLimits {
  readonly maxBytes: number;
  readonly maxElements: number;
  readonly maxDepth: number;
}

export const CERTIFICATE_LIMITS: DerLimits = {
  maxBytes: 32 << 10,
  maxElements: 2000,
  maxDepth: 12,
};
export const CRL_LIMITS: DerLimits = { maxBytes: 8 << 20, maxElements: 1_000_000, maxDepth: 12 };

export function derError(message: string): BackendError {
  return new BackendError("malformed", `DER: ${message}`);
}

/**
 * Reads one TLV header at `offset`; the whole value must end at or before `end`.
 * @throws {BackendError} `malformed`
 */
export function readTlv(bytes: Uint8Array, offset: number, end: number): Tlv {
  if (offset + 2 > end) throw derError(`element at ${offset} is cut off`);
  const tag = bytes[offset] ?? 0;
  if ((tag & 0x1f) === 0x1f) throw derError(`multi-byte tag at ${offset}`);
  const first = bytes[offset + 1] ?? 0;
  let length = first;
  let contentStart = offset + 2;
  if (first >= 0x80) {
    const count = first & 0x7f;
    if (count === 0) throw derError(`indefinite length at ${offset}`);
    if (count > 4) throw derError(`length of ${count} bytes at ${offset}`);
    if (contentStart + count > end) throw derError(`length at ${offset} is cut off`);
    length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + (bytes[contentStart + i] ?? 0);
    if (length < 0x80 || (bytes[contentStart] ?? 0) === 0) {
      throw derError(`length at ${offset} is not in its shortest form`);
    }
    contentStart += count;
  }
  if (length > end - contentStart) {
    throw derError(`element at ${offset} claims ${length} bytes, ${end - contentStart} are left`);
  }
  return { tag, start: offset, contentStart, end: contentStart + length };
}

/** The elements inside a constructed one, in order, filling it exactly. */
export function children(bytes: Uint8Array, parent: Tlv): Tlv[] {
  const out: Tlv[] = [];
  for (let offset = parent.contentStart; offset < parent.end;) {
    const child = readTlv(bytes, offset, parent.end);
    out.push(child);
    offset = child.end;
  }
  return out;
}

/** The content bytes (a view). */
export function content(bytes: Bytes, tlv: Tlv): Bytes {
  return bytes.subarray(tlv.contentStart, tlv.end);
}

/** Header and content (a view). */
export function whole(bytes: Bytes, tlv: Tlv): Bytes {
  return bytes.subarray(tlv.start, tlv.end);
}

/** The one element that fills `bytes`, of the tag given. */
export function readOnly(bytes: Uint8Array, tag: number, what: string): Tlv {
  const tlv = readTlv(bytes, 0, bytes.length);
  if (tlv.tag !== tag) {
    throw derError(`${what}: tag 0x${tlv.tag.toString(16)} instead of 0x${tag.toString(16)}`);
  }
  if (tlv.end !== bytes.length) {
    throw derError(`${what}: ${bytes.length - tlv.end} bytes follow it`);
  }
  return tlv;
}

/**
 * Walks everything: definite and shortest lengths, primitive and constructed forms, minimal
 * integers and object identifiers, booleans 00 or FF, bit strings with zero padding, no bytes after
 * the end, and the limits.
 * @throws {BackendError} `malformed`
 */
export function checkDer(bytes: Uint8Array, limits: DerLimits): void {
  if (bytes.length > limits.maxBytes) {
    throw derError(`${bytes.length} bytes, ${limits.maxBytes} at most`);
  }
  let elements = 0;
  // An explicit stack: recursion depth must not be the sender's choice.
  const ends: number[] = [];
  let offset = 0;
  let end = bytes.length;
  const top = readTlv(bytes, 0, end);
  if (top.end !== end) throw derError(`${end - top.end} bytes follow the structure`);
  while (offset < bytes.length) {
    if (++elements > limits.maxElements) throw derError(`more than ${limits.maxElements} elements`);
    const tlv = readTlv(bytes, offset, end);
    checkElement(bytes, tlv);
    if ((tlv.tag & 0x20) !== 0 && tlv.end > tlv.contentStart) {
      if (ends.length >= limits.maxDepth) throw derError(`nested deeper than ${limits.maxDepth}`);
      ends.push(end);
      end = tlv.end;
      offset = tlv.contentStart;
    } else {
      offset = tlv.end;
      while (offset === end && ends.length > 0) end = ends.pop() ?? 0;
    }
  }
}

function checkElement(bytes: Uint8Array, { tag, contentStart, end }: Tlv): void {
  if ((tag & 0xc0) !== 0) return; // context-specific, application, private: the schema's business
  const number = tag & 0x1f;
  const constructed = (tag & 0x20) !== 0;
  if (constructed !== (number === 0x10 || number === 0x11)) {
    throw derError(`tag 0x${tag.toString(16)} is not DER at ${contentStart}`);
  }
  const length = end - contentStart;
  const first = bytes[contentStart] ?? 0;
  switch (tag) {
    case TAG.boolean:
      if (length !== 1 || (first !== 0 && first !== 0xff)) {
        throw derError("boolean is not 00 or FF");
      }
      return;
    case TAG.integer:
    case TAG.enumerated: {
      const second = bytes[contentStart + 1] ?? 0;
      if (length === 0) throw derError("empty integer");
      if (length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
        throw derError("integer is not in its shortest form");
      }
      return;
    }
    case TAG.bitString: {
      if (length === 0 || first > 7 || (length === 1 && first !== 0)) {
        throw derError("bad bit string");
      }
      const last = bytes[end - 1] ?? 0;
      if (length > 1 && (last & ((1 << first) - 1)) !== 0) {
        throw derError("bit string padding is not zero");
      }
      return;
    }
    case TAG.null:
      if (length !== 0) throw derError("null with content");
      return;
    case TAG.oid:
      checkOid(bytes, contentStart, end);
      return;
    case 0x00:
      throw derError("tag 0");
  }
}

function checkOid(bytes: Uint8Array, start: number, end: number): void {
  if (start === end || ((bytes[end - 1] ?? 0) & 0x80) !== 0) {
    throw derError("object identifier is cut off");
  }
  let arcStart = true;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] ?? 0;
    if (arcStart && byte === 0x80) throw derError("object identifier is not in its shortest form");
    arcStart = (byte & 0x80) === 0;
  }
}

/** Dotted form of an OBJECT IDENTIFIER's content. Arcs past 2^53 are refused. */
export function oidString(bytes: Uint8Array): string {
  checkOid(bytes, 0, bytes.length);
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of bytes) {
    arc = arc * 128 + (byte & 0x7f);
    if (arc > Number.MAX_SAFE_INTEGER) throw derError("object identifier arc is too large");
    if ((byte & 0x80) === 0) {
      arcs.push(arc);
      arc = 0;
    }
  }
  const head = arcs[0] ?? 0;
  const top = Math.min(2, Math.floor(head / 40));
  return [top, head - top * 40, ...arcs.slice(1)].join(".");
}

/** A non-negative INTEGER's content as a number. @throws {BackendError} negative, or past 2^53. */
export function unsignedInteger(bytes: Uint8Array): number {
  if (bytes.length === 0 || ((bytes[0] ?? 0) & 0x80) !== 0) {
    throw derError("integer is negative or empty");
  }
  if (bytes.length > 7) throw derError("integer is too large");
  let value = 0;
  for (const byte of bytes) value = value * 256 + byte;
  return value;
}

/** UTCTime or GeneralizedTime as RFC 5280, 4.1.2.5 writes them: seconds, `Z`. Milliseconds since the epoch. */
export function derTime(bytes: Uint8Array, tlv: Tlv): number {
  const text = String.fromCharCode(
    ...bytes.subarray(tlv.contentStart, Math.min(tlv.end, tlv.contentStart + 20)),
  );
  const match = tlv.tag === TAG.utcTime
    ? /^(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text)
    : tlv.tag === TAG.generalizedTime
    ? /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text)
    : null;
  if (match === null) throw derError(`"${text.replace(/[^\x20-\x7e]/g, "?")}" is no time`);
  const [y = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number);
  const year = tlv.tag === TAG.generalizedTime ? y : y < 50 ? 2000 + y : 1900 + y;
  const time = Date.UTC(year, month - 1, day, hour, minute, second);
  const back = new Date(time);
  if (
    back.getUTCMonth() !== month - 1 || back.getUTCDate() !== day || hour > 23 || minute > 59 ||
    second > 59
  ) {
    throw derError(`"${text}" is no time`);
  }
  return time;
}
