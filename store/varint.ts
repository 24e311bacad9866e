/** Numbers in as few bytes as they need: seven bits a byte, the lowest first (LEB128), below 2^53. */
import type { Bytes } from "../backends/mod.ts";
import { StoreError } from "./errors.ts";
import { recordName } from "./record.ts";

export class ByteWriter {
  #bytes: Bytes;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  varint(value: number): void {
    this.#reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[this.#length++] = rest;
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** A binary string: one byte a character. */
  text(text: string): void {
    this.#reserve(text.length);
    for (let i = 0; i < text.length; i++) this.#bytes[this.#length + i] = text.charCodeAt(i);
    this.#length += text.length;
  }

  /** What was written, without a copy. */
  finish(): Bytes {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const next = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + more));
    next.set(this.#bytes);
    this.#bytes = next;
  }
}

/** Reads what ByteWriter wrote. @throws {StoreError} `format` beyond the end or beyond 2^53 */
export class ByteReader {
  readonly #bytes: Bytes;
  readonly #where: string | number;
  #at: number;

  /** @param where for errors: a name, or the position of a record */
  constructor(bytes: Bytes, where: string | number, at = 0) {
    this.#bytes = bytes;
    this.#where = where;
    this.#at = at;
  }

  get at(): number {
    return this.#at;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw this.#short();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) throw this.#large();
        return value;
      }
      scale *= 0x80;
      if (scale > 2 ** 49) throw this.#large();
    }
  }

  byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw this.#short();
    return byte;
  }

  /** A view. */
  raw(length: number): Bytes {
    if (length > this.left) throw this.#short();
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  #short(): StoreError {
    return new StoreError("format", `${this.#name()}: shorter than it says`);
  }

  #large(): StoreError {
    return new StoreError("format", `${this.#name()}: a number beyond 2^53`);
  }

  #name(): string {
    return typeof this.#where === "number" ? recordName(this.#where) : this.#where;
  }
}
