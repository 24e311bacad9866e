/** The protobuf wire format: a bounds-checked reader and a writer that works from back to front. */
import type { Bytes } from "../../../backends/mod.ts";

/** What was read is no message of this schema: message, field and reason. */
export class ProtobufError extends Error {
  override readonly name = "ProtobufError";
  readonly code = "malformed";
}

export const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

export class Reader {
  readonly bytes: Uint8Array;
  at: number;
  readonly end: number;

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  /** The low and high 32 bits of the varint last read by `varint`. */
  low = 0;
  high = 0;

  /** Reads up to ten bytes into `low` and `high`. */
  varint(): void {
    let low = 0;
    let high = 0;
    for (let i = 0; i < 10; i++) {
      if (this.at >= this.end) throw new ProtobufError("varint cut off");
      const byte = this.bytes[this.at++]!;
      const seven = byte & 0x7f;
      if (i < 4) low |= seven << (7 * i);
      else if (i === 4) {
        low |= seven << 28;
        high = seven >>> 4;
      } else if (i < 9) high |= seven << (7 * i - 32);
      else high |= seven << 31;
      if (byte < 0x80) {
        if (i === 9 && byte > 1) throw new ProtobufError("varint longer than 64 bits");
        this.low = low >>> 0;
        this.high = high >>> 0;
        return;
      }
    }
    throw new ProtobufError("varint longer than 64 bits");
  }

  /** An unsigned varint below 2^32. */
  uint32(): number {
    const first = this.bytes[this.at];
    if (first !== undefined && first < 0x80 && this.at < this.end) {
      this.at++;
      return first;
    }
    this.varint();
    if (this.high !== 0) throw new ProtobufError("number above 32 bits");
    return this.low;
  }

  /** int64 as a number: exact up to 2^53, rounded beyond. */
  int64(): number {
    this.varint();
    return (this.high | 0) * 0x1_0000_0000 + this.low;
  }

  /** int64 exactly. */
  bigInt64(): bigint {
    this.varint();
    return BigInt.asIntN(64, (BigInt(this.high) << 32n) | BigInt(this.low));
  }

  bigUint64(): bigint {
    this.varint();
    return (BigInt(this.high) << 32n) | BigInt(this.low);
  }

  /** int32 and enums: sign-extended to 64 bits on the wire. */
  int32(): number {
    this.varint();
    return this.low | 0;
  }

  bool(): boolean {
    this.varint();
    return (this.low | this.high) !== 0;
  }

  /** Where the length-delimited field that stands here ends. */
  delimited(): number {
    const length = this.uint32();
    const end = this.at + length;
    if (end > this.end) throw new ProtobufError("field longer than its message");
    return end;
  }

  /** A copy. */
  copy(): Bytes {
    const end = this.delimited();
    const out = new Uint8Array(end - this.at);
    out.set(this.bytes.subarray(this.at, end));
    this.at = end;
    return out;
  }

  text(): string {
    const end = this.delimited();
    const bytes = this.bytes.subarray(this.at, end);
    this.at = end;
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      throw new ProtobufError("string is not UTF-8");
    }
  }
}

/**
 * Fills its buffer from the end towards the beginning, so that a message's length is known when
 * its prefix is due. Values go in reverse order of how they are to be read.
 */
export class Writer {
  #buffer: Bytes;
  #at: number;

  constructor(capacityBytes = 4096) {
    this.#buffer = new Uint8Array(capacityBytes);
    this.#at = capacityBytes;
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#buffer.length - this.#at;
  }

  reset(): void {
    // One giant answer must not hold its memory forever.
    if (this.#buffer.length > 1 << 20) this.#buffer = new Uint8Array(65_536);
    this.#at = this.#buffer.length;
  }

  /** A copy of what was written. */
  finish(): Bytes {
    return this.#buffer.slice(this.#at);
  }

  #reserve(bytes: number): void {
    if (this.#at >= bytes) return;
    const used = this.length;
    const larger = new Uint8Array(Math.max(this.#buffer.length * 2, used + bytes + 1024));
    larger.set(this.#buffer.subarray(this.#at), larger.length - used);
    this.#at = larger.length - used;
    this.#buffer = larger;
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#buffer[--this.#at] = value;
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#at -= bytes.length;
    this.#buffer.set(bytes, this.#at);
  }

  /** A whole number; a negative one takes ten bytes, as int64 does. */
  varint(value: number): void {
    if (value < 0x80 && value >= 0) {
      this.byte(value);
      return;
    }
    if (value < 0 || !Number.isSafeInteger(value)) {
      this.bigVarint(BigInt(value));
      return;
    }
    this.#reserve(10);
    let size = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
    this.#at -= size;
    let at = this.#at;
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[at] = rest;
  }

  bigVarint(value: bigint): void {
    let rest = BigInt.asUintN(64, value);
    const bytes: number[] = [];
    while (rest >= 0x80n) {
      bytes.push(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    bytes.push(Number(rest));
    this.raw(Uint8Array.from(bytes));
  }

  tag(number: number, wire: number): void {
    this.varint((number << 3) | wire);
  }
}
