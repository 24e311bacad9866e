/** Makes DER for tests: just what Intel's certificates and revocation lists consist of. */
import type { Bytes } from "../../backends/mod.ts";

export function concat(...parts: readonly Uint8Array[]): Bytes {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}

export function tlv(tag: number, ...content: readonly Uint8Array[]): Bytes {
  const body = concat(...content);
  if (body.length < 0x80) return concat(Uint8Array.of(tag, body.length), body);
  const length: number[] = [];
  for (let rest = body.length; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
  return concat(Uint8Array.of(tag, 0x80 | length.length, ...length), body);
}

export const sequence = (...items: readonly Uint8Array[]): Bytes => tlv(0x30, ...items);
export const set = (...items: readonly Uint8Array[]): Bytes => tlv(0x31, ...items);
export const octets = (bytes: Uint8Array): Bytes => tlv(0x04, bytes);
export const bits = (bytes: Uint8Array): Bytes => tlv(0x03, Uint8Array.of(0), bytes);
export const utf8 = (text: string): Bytes => tlv(0x0c, new TextEncoder().encode(text));
export const boolean = (value: boolean): Bytes => tlv(0x01, Uint8Array.of(value ? 0xff : 0));
export const enumerated = (value: number): Bytes => tlv(0x0a, Uint8Array.of(value));

/** A positive INTEGER from its big-endian bytes. */
export function integerOf(bytes: Uint8Array): Bytes {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const trimmed = bytes.subarray(start);
  return (trimmed[0] ?? 0) >= 0x80 ? tlv(0x02, Uint8Array.of(0), trimmed) : tlv(0x02, trimmed);
}

export function integer(value: number): Bytes {
  const bytes = new Uint8Array(6);
  new DataView(bytes.buffer).setUint32(2, value);
  return integerOf(bytes);
}

export function oid(dotted: string): Bytes {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const out: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const digits = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      digits.unshift(0x80 | (left % 128));
    }
    out.push(...digits);
  }
  return tlv(0x06, Uint8Array.from(out));
}

/** UTCTime before 2050, GeneralizedTime from then on. */
export function time(ms: number): Bytes {
  const text = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, "");
  return text < "2050"
    ? tlv(0x17, new TextEncoder().encode(text.slice(2)))
    : tlv(0x18, new TextEncoder().encode(text));
}

/** CN and the rest of the name that Intel's certificates have. */
export function intelName(commonName: string): Bytes {
  const part = (id: string, value: string) => set(sequence(oid(id), utf8(value)));
  return sequence(
    part("2.5.4.3", commonName),
    part("2.5.4.10", "Intel Corporation"),
    part("2.5.4.7", "Santa Clara"),
    part("2.5.4.8", "CA"),
    part("2.5.4.6", "US"),
  );
}

export function extension(id: string, critical: boolean, value: Uint8Array): Bytes {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(value));
}

export function pem(label: string, der: Uint8Array): string {
  const lines = der.toBase64().match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
