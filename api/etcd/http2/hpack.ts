/** HPACK (RFC 7541): a decoder for what clients send, and the few literals the server sends. */
import { HpackError } from "./hpack_error.ts";
import { huffmanDecode } from "./huffman.ts";

/** RFC 7541, Appendix A; index 1 is the first. */
// deno-fmt-ignore
const STATIC_TABLE: readonly (readonly [name: string, value: string])[] = [
  [":authority", ""], [":method", "GET"], [":method", "POST"], [":path", "/"],
  [":path", "/index.html"], [":scheme", "http"], [":scheme", "https"], [":status", "200"],
  [":status", "204"], [":status", "206"], [":status", "304"], [":status", "400"],
  [":status", "404"], [":status", "500"], ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"], ["accept-language", ""], ["accept-ranges", ""],
  ["accept", ""], ["access-control-allow-origin", ""], ["age", ""], ["allow", ""],
  ["authorization", ""], ["cache-control", ""], ["content-disposition", ""],
  ["content-encoding", ""], ["content-language", ""], ["content-length", ""],
  ["content-location", ""], ["content-range", ""], ["content-type", ""], ["cookie", ""],
  ["date", ""], ["etag", ""], ["expect", ""], ["expires", ""], ["from", ""], ["host", ""],
  ["if-match", ""], ["if-modified-since", ""], ["if-none-match", ""], ["if-range", ""],
  ["if-unmodified-since", ""], ["last-modified", ""], ["link", ""], ["location", ""],
  ["max-forwards", ""], ["proxy-authenticate", ""], ["proxy-authorization", ""], ["range", ""],
  ["referer", ""], ["refresh", ""], ["retry-after", ""], ["server", ""], ["set-cookie", ""],
  ["strict-transport-security", ""], ["transfer-encoding", ""], ["user-agent", ""], ["vary", ""],
  ["via", ""], ["www-authenticate", ""],
];

/** What an entry costs besides its text (RFC 7541, 4.1). */
const ENTRY_OVERHEAD = 32;

export interface HeaderSink {
  (name: string, value: string): void;
}

/** One per connection: it carries the dynamic table. */
export class HpackDecoder {
  /** Newest last. */
  #table: (readonly [name: string, value: string])[] = [];
  #tableBytes = 0;
  #tableLimit: number;
  readonly #maxTableBytes: number;
  readonly #maxListBytes: number;

  /**
   * @param maxTableBytes the SETTINGS_HEADER_TABLE_SIZE that was announced
   * @param maxListBytes the sum of names, values and 32 a field that one block may have
   */
  constructor(maxTableBytes: number, maxListBytes: number) {
    this.#maxTableBytes = maxTableBytes;
    this.#tableLimit = maxTableBytes;
    this.#maxListBytes = maxListBytes;
  }

  /**
   * Calls `sink` for every field in order.
   * @returns false where the list was longer than allowed: the table is kept right, later fields are dropped.
   * @throws {HpackError} the connection must be closed
   */
  decode(block: Uint8Array, sink: HeaderSink): boolean {
    const reader: Reader = { bytes: block, at: 0 };
    let listBytes = 0;
    let fields = 0;
    while (reader.at < block.length) {
      const first = block[reader.at]!;
      let field: readonly [string, string];
      if (first & 0x80) {
        field = this.#entry(readInteger(reader, 7));
      } else if (first & 0x40) {
        field = this.#literal(reader, 6);
        this.#insert(field);
      } else if (first & 0x20) {
        if (fields > 0) throw new HpackError("table size update after a header field");
        const size = readInteger(reader, 5);
        if (size > this.#maxTableBytes) {
          throw new HpackError(`table size ${size} above the announced ${this.#maxTableBytes}`);
        }
        this.#tableLimit = size;
        this.#evict();
        continue;
      } else {
        field = this.#literal(reader, 4);
      }
      fields++;
      listBytes += field[0].length + field[1].length + ENTRY_OVERHEAD;
      if (listBytes <= this.#maxListBytes) sink(field[0], field[1]);
    }
    return listBytes <= this.#maxListBytes;
  }

  #literal(reader: Reader, prefix: number): readonly [string, string] {
    const index = readInteger(reader, prefix);
    const name = index === 0 ? this.#string(reader) : this.#entry(index)[0];
    return [name, this.#string(reader)];
  }

  #string(reader: Reader): string {
    if (reader.at >= reader.bytes.length) throw new HpackError("header field cut off");
    const huffman = (reader.bytes[reader.at]! & 0x80) !== 0;
    const length = readInteger(reader, 7);
    const end = reader.at + length;
    if (end > reader.bytes.length) throw new HpackError("header field cut off");
    const bytes = reader.bytes.subarray(reader.at, end);
    reader.at = end;
    return huffman ? huffmanDecode(bytes, this.#maxListBytes) : String.fromCharCode(...bytes);
  }

  #entry(index: number): readonly [string, string] {
    const entry = index <= STATIC_TABLE.length
      ? STATIC_TABLE[index - 1]
      : this.#table[this.#table.length - (index - STATIC_TABLE.length)];
    if (entry === undefined) throw new HpackError(`header index ${index} does not exist`);
    return entry;
  }

  #insert(field: readonly [string, string]): void {
    this.#table.push(field);
    this.#tableBytes += field[0].length + field[1].length + ENTRY_OVERHEAD;
    this.#evict();
  }

  #evict(): void {
    while (this.#tableBytes > this.#tableLimit) {
      const oldest = this.#table.shift();
      if (oldest === undefined) break;
      this.#tableBytes -= oldest[0].length + oldest[1].length + ENTRY_OVERHEAD;
    }
  }
}

interface Reader {
  readonly bytes: Uint8Array;
  at: number;
}

/** An integer with an n-bit prefix (RFC 7541, 5.1), below 2^28. */
function readInteger(reader: Reader, prefix: number): number {
  const mask = (1 << prefix) - 1;
  let value = reader.bytes[reader.at++]! & mask;
  if (value < mask) return value;
  for (let shift = 0; shift <= 21; shift += 7) {
    const byte = reader.bytes[reader.at++];
    if (byte === undefined) throw new HpackError("integer cut off");
    value += (byte & 0x7f) << shift;
    if ((byte & 0x80) === 0) return value;
  }
  throw new HpackError("integer too large");
}

/**
 * Header fields as literals that touch no table (RFC 7541, 6.2.2), so that encoding needs no state.
 * Names and values are ASCII.
 */
export function encodeHeaders(
  fields: readonly (readonly [name: string, value: string])[],
): Uint8Array<ArrayBuffer> {
  const out: number[] = [];
  for (const [name, value] of fields) {
    const exact = STATIC_TABLE.findIndex(([n, v]) => n === name && v === value);
    if (exact >= 0 && value !== "") {
      out.push(0x80 | (exact + 1));
      continue;
    }
    const named = STATIC_TABLE.findIndex(([n]) => n === name);
    if (named >= 0) {
      writeInteger(out, named + 1, 4, 0);
    } else {
      out.push(0);
      writeString(out, name);
    }
    writeString(out, value);
  }
  return Uint8Array.from(out);
}

function writeString(out: number[], text: string): void {
  writeInteger(out, text.length, 7, 0);
  for (let i = 0; i < text.length; i++) out.push(text.charCodeAt(i));
}

function writeInteger(out: number[], value: number, prefix: number, flags: number): void {
  const mask = (1 << prefix) - 1;
  if (value < mask) {
    out.push(flags | value);
    return;
  }
  out.push(flags | mask);
  let rest = value - mask;
  while (rest >= 0x80) {
    out.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  out.push(rest);
}
