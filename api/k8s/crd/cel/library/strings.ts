/** Functions of texts: the standard ones, and those of cel-go's extended strings. Places are code points. */
import type { Arguments, Signatures } from "../functions.ts";
import type { Meter } from "../meter.ts";
import { codePoints, EvaluationError, ListValue, type Value } from "../values.ts";
import { formatText } from "./format_text.ts";

const WHITE = "\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

function paid(args: Arguments, meter: Meter, place = 0): string {
  const text = args.text(place);
  meter.spendBytes(text.length);
  return text;
}

function points(args: Arguments, meter: Meter, place = 0): readonly string[] {
  return codePoints(paid(args, meter, place));
}

function place(value: bigint, length: number): number {
  if (value < 0n || value > BigInt(length)) {
    throw new EvaluationError(`index out of range: ${value}`);
  }
  return Number(value);
}

function indexOf(args: Arguments, meter: Meter): bigint {
  const text = points(args, meter);
  const part = points(args, meter, 1);
  const from = args.values.length > 2 ? place(args.int(2), text.length) : 0;
  if (part.length === 0) return BigInt(from);
  return search(text, part, from, 1, meter);
}

function lastIndexOf(args: Arguments, meter: Meter): bigint {
  const text = points(args, meter);
  const part = points(args, meter, 1);
  const from = args.values.length > 2 ? place(args.int(2), text.length) : text.length;
  if (part.length === 0) return BigInt(from);
  return search(text, part, Math.min(from, text.length - part.length), -1, meter);
}

function search(
  text: readonly string[],
  part: readonly string[],
  from: number,
  step: 1 | -1,
  meter: Meter,
): bigint {
  for (let at = from; at >= 0 && at + part.length <= text.length; at += step) {
    let same = 0;
    while (same < part.length && text[at + same] === part[same]) same++;
    if (same === part.length) return BigInt(at);
    if (same > 0) meter.spendBytes(same);
  }
  return -1n;
}

function substring(args: Arguments, meter: Meter): string {
  const text = points(args, meter);
  const end = args.values.length > 2 ? place(args.int(2), text.length) : text.length;
  const start = place(args.int(1), text.length);
  if (start > end) {
    throw new EvaluationError(`invalid substring range. start: ${start}, end: ${end}`);
  }
  return text.slice(start, end).join("");
}

function pieces(text: string, separator: string): readonly string[] {
  return separator === "" ? [...text] : text.split(separator);
}

function replace(args: Arguments, meter: Meter): string {
  const text = paid(args, meter);
  const [from, to] = [paid(args, meter, 1), paid(args, meter, 2)];
  const limit = args.values.length > 3 ? Number(args.int(3)) : -1;
  if (from === "") meter.spend(text.length);
  const parts = pieces(text, from);
  // Of nothing, there is one before and after every character.
  const most = from === "" ? parts.length + 1 : parts.length - 1;
  const count = limit < 0 ? most : Math.min(limit, most);
  meter.spend(parts.length);
  meter.spendBytes(text.length + count * to.length);
  if (from === "") {
    return parts.map((part, i) => (i < count ? to : "") + part).join("") +
      (count > parts.length ? to : "");
  }
  return parts.map((part, i) => i === 0 ? part : (i <= count ? to : from) + part).join("");
}

function split(args: Arguments, meter: Meter): ListValue {
  const text = paid(args, meter);
  const separator = paid(args, meter, 1);
  const limit = args.values.length > 2 ? Number(args.int(2)) : -1;
  if (separator === "") meter.spend(text.length);
  if (limit === 0) return new ListValue([]);
  const parts = pieces(text, separator);
  meter.spend(parts.length);
  if (limit < 0 || parts.length <= limit) return new ListValue(parts);
  return new ListValue([...parts.slice(0, limit - 1), parts.slice(limit - 1).join(separator)]);
}

function join(args: Arguments, meter: Meter): string {
  const separator = args.values.length > 1 ? args.text(1) : "";
  const { items } = args.list(0);
  let length = 0;
  const texts = items.map((item) => {
    if (typeof item !== "string") throw new EvaluationError("no such overload");
    length += item.length + separator.length;
    return item;
  });
  meter.spend(items.length);
  meter.spendBytes(length);
  return texts.join(separator);
}

const QUOTED: Readonly<Record<string, string>> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  "\\": "\\\\",
  '"': '\\"',
};

function quote(text: string): string {
  return `"${
    [...text.toWellFormed()].map((character) => QUOTED[character] ?? character).join("")
  }"`;
}

export function stringFunctions(): Signatures {
  const test =
    (holds: (text: string, part: string) => boolean) => (args: Arguments, meter: Meter): Value =>
      holds(paid(args, meter), paid(args, meter, 1));
  return {
    "string.contains(string): bool": test((text, part) => text.includes(part)),
    "string.startsWith(string): bool": test((text, part) => text.startsWith(part)),
    "string.endsWith(string): bool": test((text, part) => text.endsWith(part)),
    "string.charAt(int): string": (args, meter) => {
      const text = points(args, meter);
      return text[place(args.int(1), text.length)] ?? "";
    },
    "string.indexOf(string): int": indexOf,
    "string.indexOf(string, int): int": indexOf,
    "string.lastIndexOf(string): int": lastIndexOf,
    "string.lastIndexOf(string, int): int": lastIndexOf,
    "string.lowerAscii(): string": (args, meter) =>
      paid(args, meter).replace(/[A-Z]+/g, (part) => part.toLowerCase()),
    "string.upperAscii(): string": (args, meter) =>
      paid(args, meter).replace(/[a-z]+/g, (part) => part.toUpperCase()),
    "string.replace(string, string): string": replace,
    "string.replace(string, string, int): string": replace,
    "string.split(string): list<string>": split,
    "string.split(string, int): list<string>": split,
    "string.substring(int): string": substring,
    "string.substring(int, int): string": substring,
    "string.trim(): string": (args, meter) => {
      const text = paid(args, meter);
      const white = new RegExp(`[${WHITE}]`);
      let [start, end] = [0, text.length];
      while (start < end && white.test(text.charAt(start))) start++;
      while (end > start && white.test(text.charAt(end - 1))) end--;
      return text.slice(start, end);
    },
    "list<string>.join(): string": join,
    "list<string>.join(string): string": join,
    "string.format(list<dyn>): string": (args, meter) =>
      formatText(paid(args, meter), args.list(1).items, meter),
    "strings::quote(string): string": (args, meter) => {
      const text = paid(args, meter);
      meter.spendBytes(text.length);
      return quote(text);
    },
  };
}
