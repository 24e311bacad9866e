/** The words of an expression (cel-spec, langdef.md, "Syntax"). */
import { ExpressionError } from "./ast.ts";
import type { Value } from "./values.ts";

export interface Token {
  readonly kind: "name" | "symbol" | "constant" | "end";
  readonly text: string;
  readonly at: number;
  readonly value: Value;
}

const SYMBOL = /[=!<>]=|&&|\|\||[-+*/%<>!.,:?()[\]{}]/y;
const NAME = /[_a-zA-Z][_a-zA-Z0-9]*/y;
const SPACE = /(?:[\t\n\f\r ]|\/\/[^\n]*)+/y;
const FLOAT = /(?:\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)/y;
const INTEGER = /(?:0[xX][0-9a-fA-F]+|\d+)/y;
const QUOTE = /(?:[rR][bB]?|[bB][rR]?)?("""|'''|"|')/y;

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  "?": "?",
  '"': '"',
  "'": "'",
  "`": "`",
};

/** All of it, with an `end` last. @throws {ExpressionError} */
export function tokenize(source: string): readonly Token[] {
  const tokens: Token[] = [];
  let at = 0;
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(source)?.[0];
  };
  const push = (kind: Token["kind"], text: string, value: Value = null) => {
    tokens.push({ kind, text, at, value });
    at += text.length;
  };
  while (at < source.length) {
    const space = match(SPACE);
    if (space !== undefined) {
      at += space.length;
      continue;
    }
    const quote = match(QUOTE);
    if (quote !== undefined) {
      const { text, value } = readQuoted(source, at, quote);
      push("constant", text, value);
      continue;
    }
    const name = match(NAME);
    if (name !== undefined) {
      if (name === "true" || name === "false") push("constant", name, name === "true");
      else if (name === "null") push("constant", name, null);
      else push(name === "in" ? "symbol" : "name", name);
      continue;
    }
    const float = match(FLOAT);
    if (float !== undefined) {
      push("constant", float, Number(float));
      continue;
    }
    const integer = match(INTEGER);
    if (integer !== undefined) {
      if (/[uU]/.test(source.charAt(at + integer.length))) {
        throw new ExpressionError("unsigned integers are not supported", at);
      }
      push("constant", integer, BigInt(integer));
      continue;
    }
    const symbol = match(SYMBOL);
    if (symbol === undefined) {
      const [character] = source.slice(at);
      throw new ExpressionError(`Syntax error: token recognition error at: '${character}'`, at);
    }
    push("symbol", symbol);
  }
  push("end", "");
  return tokens;
}

/** @param opening the prefix and the quote as they stand at `start` */
function readQuoted(source: string, start: number, opening: string): {
  text: string;
  value: Value;
} {
  const quote = opening.replace(/^[a-zA-Z]+/, "");
  const prefix = opening.slice(0, opening.length - quote.length).toLowerCase();
  const isRaw = prefix.includes("r");
  const isBytes = prefix.includes("b");
  const bytes: number[] = [];
  let text = "";
  const put = (part: string) => {
    if (isBytes) bytes.push(...new TextEncoder().encode(part));
    else text += part;
  };
  let at = start + opening.length;
  for (;;) {
    if (at >= source.length) {
      throw new ExpressionError(`Syntax error: token recognition error at: '${opening}'`, start);
    }
    if (source.startsWith(quote, at)) break;
    const character = String.fromCodePoint(source.codePointAt(at) ?? 0);
    if (quote.length === 1 && (character === "\n" || character === "\r")) {
      throw new ExpressionError("Syntax error: a line break in a string", at);
    }
    if (character === "\\" && !isRaw) {
      const escape = readEscape(source, at, isBytes);
      if (typeof escape.value === "number") bytes.push(escape.value);
      else put(escape.value);
      at += escape.length;
      continue;
    }
    // In a raw string a backslash stays, and keeps the quote behind it from closing.
    const part = character === "\\" ? source.slice(at, at + 2) : character;
    put(part);
    at += part.length;
  }
  return {
    text: source.slice(start, at + quote.length),
    value: isBytes ? Uint8Array.from(bytes) : text,
  };
}

/** A number is one byte of a bytes literal. */
function readEscape(
  source: string,
  at: number,
  isBytes: boolean,
): { value: string | number; length: number } {
  const rest = source.slice(at + 1, at + 10);
  const simple = SIMPLE_ESCAPES[rest.charAt(0)];
  if (simple !== undefined) return { value: simple, length: 2 };
  const numeric = /^(?:[xX]([0-9a-fA-F]{2})|([0-3][0-7]{2}))/.exec(rest);
  if (numeric !== null) {
    const [all, hex, octal = ""] = numeric;
    const code = hex === undefined ? parseInt(octal, 8) : parseInt(hex, 16);
    return { value: isBytes ? code : String.fromCodePoint(code), length: all.length + 1 };
  }
  const unicode = /^(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/.exec(rest);
  if (unicode !== null && !isBytes) {
    const [all, short, long = ""] = unicode;
    const code = parseInt(short ?? long, 16);
    if (code <= 0x10ffff && (code < 0xd800 || code > 0xdfff)) {
      return { value: String.fromCodePoint(code), length: all.length + 1 };
    }
  }
  throw new ExpressionError(`Syntax error: invalid escape: \\${rest.charAt(0)}`, at);
}
