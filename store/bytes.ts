/** Byte strings inside the store. Keys are held as binary strings: one byte a character, ordered as bytes. */
import { Buffer } from "node:buffer";
import type { Bytes } from "../backends/mod.ts";

/** The key as a string of code points 0..255; `<` on such strings is the order of the bytes. */
export function toBinaryString(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

export function fromBinaryString(text: string): Bytes {
  const out = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
  return out;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** As memcmp, the shorter one first where one is a prefix of the other. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

export function concatBytes(...parts: readonly Uint8Array[]): Bytes {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}

const encoder = new TextEncoder();

export function utf8(text: string): Bytes {
  return encoder.encode(text);
}

/**
 * Gives memory back at once that nobody reads any more; views of larger buffers are left alone. Where
 * megabytes pass through, waiting for the garbage collector holds hundreds of them.
 */
export function release(bytes: Bytes): void {
  if (bytes.byteLength > 0 && bytes.byteLength === bytes.buffer.byteLength) {
    bytes.buffer.transfer(0);
  }
}
