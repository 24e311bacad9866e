/**
 * The Huffman code of HPACK (RFC 7541, Appendix B). It is canonical: the lengths alone give every
 * code, shorter ones first and, among equals, in the order of the symbols.
 */
import { HpackError } from "./hpack_error.ts";

/** Code length in bits of symbols 0..255 and of EOS (256). */
// deno-fmt-ignore
const LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
  28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
  7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
  23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
  21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];
const EOS = 256;
const LONGEST = 30;

interface Code {
  /** Symbols by length, then value. */
  readonly symbols: Uint16Array;
  /** First code of each length, and where its symbols begin. */
  readonly firstCode: Uint32Array;
  readonly firstSymbol: Uint16Array;
  readonly count: Uint16Array;
}

const CODE: Code = /* @__PURE__ */ build();

function build(): Code {
  const symbols = Uint16Array.from(LENGTHS.keys()).sort((a, b) =>
    LENGTHS[a]! - LENGTHS[b]! || a - b
  );
  const count = new Uint16Array(LONGEST + 1);
  for (const length of LENGTHS) count[length]!++;
  const firstCode = new Uint32Array(LONGEST + 1);
  const firstSymbol = new Uint16Array(LONGEST + 1);
  let code = 0;
  let symbol = 0;
  for (let length = 1; length <= LONGEST; length++) {
    code = (code + (count[length - 1] ?? 0)) << 1;
    firstCode[length] = code;
    firstSymbol[length] = symbol;
    symbol += count[length]!;
  }
  return { symbols, firstCode, firstSymbol, count };
}

/**
 * @param maxLength more characters than this are refused
 * @throws {HpackError} on EOS, on padding longer than 7 bits or not all ones (RFC 7541, 5.2)
 */
export function huffmanDecode(bytes: Uint8Array, maxLength: number): string {
  const { symbols, firstCode, firstSymbol, count } = CODE;
  const out: number[] = [];
  let code = 0;
  let length = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    for (let bit = 7; bit >= 0; bit--) {
      code = (code << 1) | ((byte >> bit) & 1);
      length++;
      const offset = code - firstCode[length]!;
      if (offset >= 0 && offset < count[length]!) {
        const symbol = symbols[firstSymbol[length]! + offset]!;
        if (symbol === EOS) throw new HpackError("EOS inside a Huffman string");
        if (out.length === maxLength) throw new HpackError("header field too long");
        out.push(symbol);
        code = 0;
        length = 0;
      } else if (length === LONGEST) {
        throw new HpackError("no such Huffman code");
      }
    }
  }
  if (length > 7 || code !== (1 << length) - 1) throw new HpackError("bad Huffman padding");
  return String.fromCharCode(...out);
}

/** Encodes latin-1 text; the server itself writes no Huffman strings, its tests and tools do. */
export function huffmanEncode(text: string): Uint8Array<ArrayBuffer> {
  const { symbols, firstCode, firstSymbol } = CODE;
  const codes = new Map<number, number>();
  symbols.forEach((symbol, at) => {
    const length = LENGTHS[symbol]!;
    codes.set(symbol, firstCode[length]! + at - firstSymbol[length]!);
  });
  const bits: number[] = [];
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i);
    const length = LENGTHS[symbol]!;
    const code = codes.get(symbol)!;
    for (let bit = length - 1; bit >= 0; bit--) bits.push((code >>> bit) & 1);
  }
  while (bits.length % 8 !== 0) bits.push(1);
  const out = new Uint8Array(bits.length / 8);
  bits.forEach((bit, at) => out[at >> 3]! |= bit << (7 - (at & 7)));
  return out;
}
