/**
 * Strict reading of BCS: the bytes must be the one canonical encoding of the value. A type here is
 * one of `@mysten/bcs`, which writes and names it, with a reader of our own beside it: that library
 * reads overlong lengths and trailing bytes, and encoding again to compare costs five times as much.
 */
import { bcs, type BcsType } from "@mysten/bcs";
import { addressBytes, addressFromBytes } from "./address.ts";

/** Sui's own limit on one Move object or event (protocol config `max_move_object_size`). */
export const MAX_CONTENTS_BYTES = 256 * 1024;

/** Bytes from the chain that are not what their type says. */
export class BcsDecodeError extends Error {
  override readonly name = "BcsDecodeError";
  readonly code = "bcs_decode";
}

/** A type that is written by `@mysten/bcs` and read by `decodeStrict`. */
export interface StrictType<T> extends BcsType<T, T> {
  /** Reads one value. @throws {BcsDecodeError} */
  readStrict(reader: BcsReader): T;
}

/**
 * Decodes `bytes` as exactly one canonical `T`.
 *
 * @throws {BcsDecodeError} naming the struct
 */
export function decodeStrict<T>(type: StrictType<T>, bytes: Uint8Array): T {
  if (bytes.length > MAX_CONTENTS_BYTES) {
    throw new BcsDecodeError(
      `${type.name}: ${bytes.length} bytes, more than ${MAX_CONTENTS_BYTES}`,
    );
  }
  const reader = new BcsReader(type.name, bytes);
  const value = type.readStrict(reader);
  reader.end();
  return value;
}

/** A byte order mark is a character as any other: without it the text is not the one that was written. */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Up to this length names of ASCII are put together here: the decoder's call costs more. */
const SHORT_TEXT_BYTES = 24;
/** Move's own limit on the length of a vector. */
const MAX_LENGTH = 2 ** 31 - 1;

/** Where reading stands within one value's bytes. */
export class BcsReader {
  readonly #name: string;
  readonly #bytes: Uint8Array;
  #at = 0;

  /** @param name of what is read, for errors */
  constructor(name: string, bytes: Uint8Array) {
    this.#name = name;
    this.#bytes = bytes;
  }

  /** A view of the next bytes. */
  raw(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw this.refusal("it ends too early");
    const view = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return view;
  }

  u8(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw this.refusal("it ends too early");
    this.#at++;
    return byte;
  }

  u64(): bigint {
    const { buffer, byteOffset } = this.raw(8);
    return new DataView(buffer, byteOffset, 8).getBigUint64(0, true);
  }

  bool(): boolean {
    const byte = this.u8();
    if (byte > 1) throw this.refusal(`boolean ${byte}`);
    return byte === 1;
  }

  /** ULEB128 in as few bytes as it takes. */
  length(): number {
    let value = 0;
    for (let factor = 1;; factor *= 128) {
      const byte = this.u8();
      value += (byte & 0x7f) * factor;
      if (value > MAX_LENGTH) throw this.refusal("a length beyond 2^31");
      if (byte < 0x80) {
        if (byte === 0 && factor > 1) throw this.refusal("an overlong length");
        return value;
      }
      if (factor > 2 ** 28) throw this.refusal("an overlong length");
    }
  }

  text(): string {
    const length = this.length();
    const bytes = this.raw(length);
    const short = length <= SHORT_TEXT_BYTES ? asciiText(bytes) : undefined;
    if (short !== undefined) return short;
    try {
      return utf8.decode(bytes);
    } catch (cause) {
      throw this.refusal("broken UTF-8", cause);
    }
  }

  /** Nothing may follow. */
  end(): void {
    const left = this.#bytes.length - this.#at;
    if (left > 0) throw this.refusal(`${left} bytes too many`);
  }

  refusal(what: string, cause?: unknown): BcsDecodeError {
    return new BcsDecodeError(
      `${this.#name}: not canonical BCS (${this.#bytes.length} bytes): ${what} at byte ${this.#at}`,
      cause === undefined ? undefined : { cause },
    );
  }
}

/** Undefined where it is not ASCII alone. */
function asciiText(bytes: Uint8Array): string | undefined {
  let text = "";
  for (const byte of bytes) {
    if (byte > 0x7f) return undefined;
    text += String.fromCharCode(byte);
  }
  return text;
}

function strict<T>(type: BcsType<T, T>, readStrict: (reader: BcsReader) => T): StrictType<T> {
  return Object.assign(type, { readStrict });
}

/** 32 bytes as 0x + 64 hex. */
export const Address: StrictType<string> = strict(
  bcs.bytes(32).transform({
    name: "address",
    input: (value: string) => addressBytes(value),
    output: (value) => addressFromBytes(Uint8Array.from(value)),
  }),
  (reader) => addressFromBytes(reader.raw(32)),
);

export const U8: StrictType<number> = strict(bcs.u8(), (reader) => reader.u8());

/** u64 as bigint. */
export const U64: StrictType<bigint> = strict(
  bcs.u64().transform({
    name: "u64",
    input: (value: bigint) => value,
    output: (value) => BigInt(value),
  }),
  (reader) => reader.u64(),
);

export const Bool: StrictType<boolean> = strict(bcs.bool(), (reader) => reader.bool());

/** `vector<u8>` as bytes. */
export const ByteVector: StrictType<Uint8Array> = strict(
  bcs.byteVector().transform({
    name: "vector<u8>",
    input: (value: Uint8Array) => value,
    output: (value) => Uint8Array.from(value),
  }),
  (reader) => reader.raw(reader.length()).slice(),
);

/** `0x1::string::String`: UTF-8. */
export const Text: StrictType<string> = strict(bcs.string(), (reader) => reader.text());

/** `vector<T>`. */
export function list<T>(of: StrictType<T>): StrictType<readonly T[]> {
  const type: BcsType<readonly T[], readonly T[]> = bcs.vector(of).transform({
    name: `vector<${of.name}>`,
    input: (value: readonly T[]) => value,
    output: (value): readonly T[] => value,
  });
  return strict(type, (reader) => {
    const items: T[] = [];
    for (let left = reader.length(); left > 0; left--) items.push(of.readStrict(reader));
    return items;
  });
}

/** A Move struct: its fields in the order of the object that describes them. */
export function struct<T extends object>(
  name: string,
  fields: { readonly [K in keyof T]: StrictType<T[K]> },
): StrictType<T> {
  const names = Object.keys(fields) as (keyof T)[];
  const type = bcs.struct(name, fields) as BcsType<T, T>;
  return strict(type, (reader) => {
    const value: Partial<T> = {};
    for (const field of names) value[field] = fields[field].readStrict(reader);
    return value as T;
  });
}
