/** What an expression computes with, and how two values compare (cel-spec, langdef.md, "Values"). */
import type { Cidr, Ip } from "./library/addresses.ts";
import type { Quantity } from "./library/quantity_value.ts";
import type { Url } from "./library/url_value.ts";
import { isRecord } from "../../plain.ts";
import type { Meter } from "./meter.ts";

/** int is a bigint, double a number, bytes a Uint8Array. */
export type Value =
  | bigint
  | number
  | string
  | boolean
  | null
  | Uint8Array
  | ListValue
  | MapValue
  | ObjectValue
  | OptionalValue
  | Duration
  | Timestamp
  | TypeValue
  | FormatValue
  | Url
  | Ip
  | Cidr
  | Quantity;

/** An evaluation that fails; `&&`, `||` and their macros may do without what failed. */
export class EvaluationError extends Error {
  override readonly name = "EvaluationError";
  readonly code = "evaluation_failed";
}

export function noSuchOverload(): EvaluationError {
  return new EvaluationError("no such overload");
}

/** How a list of the API merges and compares; literals are atomic. */
export interface ListRule {
  readonly type: "atomic" | "set" | "map";
  readonly keys: readonly string[];
}

export const ATOMIC: ListRule = { type: "atomic", keys: [] };

export class ListValue {
  constructor(readonly items: readonly Value[], readonly rule: ListRule = ATOMIC) {}
}

/** Keys that are whole doubles are ints. */
export type MapKey = string | bigint | boolean;

export class MapValue {
  constructor(readonly entries: ReadonlyMap<MapKey, Value>) {}
}

/** An object of the API, by the names that expressions call its fields; made as they are read. */
export class ObjectValue {
  readonly #read: (name: string) => Value | undefined;
  readonly #made = new Map<string, Value | undefined>();
  /** The fields that are there and that expressions can name. */
  readonly names: readonly string[];
  /** As it is written. */
  readonly raw: Readonly<Record<string, unknown>>;
  readonly #hidden: Readonly<Record<string, unknown>>;
  #hiddenText: string | undefined;

  constructor(
    raw: Readonly<Record<string, unknown>>,
    names: readonly string[],
    hidden: Readonly<Record<string, unknown>>,
    read: (name: string) => Value | undefined,
  ) {
    this.raw = raw;
    this.names = names;
    this.#hidden = hidden;
    this.#read = read;
  }

  /** The fields that expressions cannot name, for comparisons. */
  get hiddenText(): string {
    return this.#hiddenText ??= canonicalText(this.#hidden);
  }

  /** Undefined: it is not there. */
  get(name: string): Value | undefined {
    if (this.#made.has(name)) return this.#made.get(name);
    const value = this.#read(name);
    this.#made.set(name, value);
    return value;
  }
}

/** `value` undefined: none. */
export class OptionalValue {
  constructor(readonly value: Value | undefined) {}
}

/** Equal values give equal text. */
function canonicalText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalText).join(",")}]`;
  if (!isRecord(value)) return JSON.stringify(value) ?? "null";
  return `{${
    Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonicalText(value[key])}`)
      .join(",")
  }}`;
}

/** Nanoseconds. */
export class Duration {
  constructor(readonly nanoseconds: bigint) {
    if (BigInt.asIntN(64, nanoseconds) !== nanoseconds) {
      throw new EvaluationError("duration overflow");
    }
  }
}

const FIRST_SECOND = -62_135_596_800n;
const LAST_SECOND = 253_402_300_799n;
export const SECOND = 1_000_000_000n;

/** Nanoseconds since 1970, from the year 1 to 9999. */
export class Timestamp {
  constructor(readonly nanoseconds: bigint) {
    if (nanoseconds < FIRST_SECOND * SECOND || nanoseconds >= (LAST_SECOND + 1n) * SECOND) {
      throw new EvaluationError("timestamp overflow");
    }
  }
}

export class TypeValue {
  constructor(readonly type: string) {}
}

/** A named format of Kubernetes' format library. */
export class FormatValue {
  constructor(readonly format: string, readonly validate: (value: string) => readonly string[]) {}
}

/** The name of a value's type, as `type()` gives it. */
export function typeName(value: Value): string {
  if (value === null) return "null_type";
  switch (typeof value) {
    case "bigint":
      return "int";
    case "number":
      return "double";
    case "string":
      return "string";
    case "boolean":
      return "bool";
  }
  if (value instanceof Uint8Array) return "bytes";
  if (value instanceof ListValue) return "list";
  if (value instanceof MapValue) return "map";
  if (value instanceof ObjectValue) return "object";
  if (value instanceof OptionalValue) return "optional_type";
  if (value instanceof Duration) return "google.protobuf.Duration";
  if (value instanceof Timestamp) return "google.protobuf.Timestamp";
  if (value instanceof TypeValue) return "type";
  if (value instanceof FormatValue) return "kubernetes.NamedFormat";
  return value.celType;
}

/** Whether the text has characters beyond U+FFFF, which JavaScript counts as two. */
function hasSurrogates(text: string): boolean {
  return /[\ud800-\udfff]/.test(text);
}

/** Code points of a text: what CEL counts and indexes. */
export function codePoints(text: string): readonly string[] {
  return hasSurrogates(text) ? [...text] : text.split("");
}

export function codePointLength(text: string): number {
  return hasSurrogates(text) ? [...text].length : text.length;
}

/** By code points, which is the order of UTF-8. */
function compareText(a: string, b: string): number {
  if (a === b) return 0;
  if (!hasSurrogates(a) && !hasSurrogates(b)) return a < b ? -1 : 1;
  const [left, right] = [[...a], [...b]];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const difference = (left[i]?.codePointAt(0) ?? 0) - (right[i]?.codePointAt(0) ?? 0);
    if (difference !== 0) return Math.sign(difference);
  }
  return Math.sign(left.length - right.length);
}

/** -1, 0 or 1; undefined: a NaN. @throws {EvaluationError} where the two have no order. */
export function compareValues(a: Value, b: Value, meter: Meter): number | undefined {
  const isNumber = (value: Value) => typeof value === "bigint" || typeof value === "number";
  if (isNumber(a) && isNumber(b)) {
    // Of an int and a double, as doubles.
    const areInts = typeof a === "bigint" && typeof b === "bigint";
    const [left, right] = areInts ? [a, b] : [Number(a), Number(b)];
    if (left !== left || right !== right) return undefined;
    return left < right ? -1 : left > right ? 1 : 0;
  }
  if (typeof a === "string" && typeof b === "string") {
    meter.spendBytes(Math.min(a.length, b.length));
    return compareText(a, b);
  }
  if (typeof a === "boolean" && typeof b === "boolean") return Number(a) - Number(b);
  if (
    (a instanceof Duration && b instanceof Duration) ||
    (a instanceof Timestamp && b instanceof Timestamp)
  ) {
    return a.nanoseconds < b.nanoseconds ? -1 : a.nanoseconds > b.nanoseconds ? 1 : 0;
  }
  if (a instanceof Uint8Array && b instanceof Uint8Array) {
    meter.spendBytes(Math.min(a.length, b.length));
    for (let i = 0; i < Math.min(a.length, b.length); i++) {
      const difference = (a[i] ?? 0) - (b[i] ?? 0);
      if (difference !== 0) return Math.sign(difference);
    }
    return Math.sign(a.length - b.length);
  }
  throw noSuchOverload();
}

/** Whether two values are equal; values of different types are not, except numbers. */
export function equalValues(a: Value, b: Value, meter: Meter): boolean {
  meter.spend(1);
  if (typeof a !== "object" || a === null) {
    if (typeof a === "string" && typeof b === "string") {
      meter.spendBytes(Math.min(a.length, b.length));
      return a === b;
    }
    const areNumbers = (typeof a === "bigint" || typeof a === "number") &&
      (typeof b === "bigint" || typeof b === "number");
    // deno-lint-ignore eqeqeq -- exact between a bigint and a number
    return areNumbers ? a == b : a === b;
  }
  if (a instanceof ListValue) return b instanceof ListValue && equalLists(a, b, meter);
  if (a instanceof MapValue) {
    if (!(b instanceof MapValue) || a.entries.size !== b.entries.size) return false;
    for (const [key, value] of a.entries) {
      const other = b.entries.get(key);
      if (other === undefined || !equalValues(value, other, meter)) return false;
    }
    return true;
  }
  if (a instanceof ObjectValue) {
    if (!(b instanceof ObjectValue) || a.names.length !== b.names.length) return false;
    meter.spendBytes(a.hiddenText.length);
    return a.hiddenText === b.hiddenText && a.names.every((name) => {
      const [left, right] = [a.get(name), b.get(name)];
      return left !== undefined && right !== undefined && equalValues(left, right, meter);
    });
  }
  if (a instanceof OptionalValue) {
    if (!(b instanceof OptionalValue)) return false;
    return a.value === undefined || b.value === undefined
      ? a.value === b.value
      : equalValues(a.value, b.value, meter);
  }
  if (
    a instanceof Uint8Array || a instanceof Duration || a instanceof Timestamp
  ) {
    return typeName(a) === typeName(b) && compareValues(a, b, meter) === 0;
  }
  if (a instanceof TypeValue) return b instanceof TypeValue && a.type === b.type;
  if (a instanceof FormatValue) return b instanceof FormatValue && a.format === b.format;
  return a.equals(b);
}

/** Sets and maps whatever their order. */
function equalLists(a: ListValue, b: ListValue, meter: Meter): boolean {
  if (a.items.length !== b.items.length) return false;
  if (a.rule.type === "atomic") {
    return a.items.every((item, i) => {
      const other = b.items[i];
      return other !== undefined && equalValues(item, other, meter);
    });
  }
  const places = indexItems(a.items, a.rule, meter);
  return b.items.every((item) => {
    const place = places.get(itemKey(item, a.rule, meter));
    const found = place === undefined ? undefined : a.items[place];
    return found !== undefined && equalValues(found, item, meter);
  });
}

/** What items of a set or map list are told apart by. */
export function itemKey(item: Value, rule: ListRule, meter: Meter): string {
  const parts = rule.type === "map" && item instanceof ObjectValue
    ? rule.keys.map((name) => item.get(name) ?? null)
    : [item];
  return parts.map((part) => {
    const text = typeof part === "object" ? comparableText(part, meter) : String(part);
    meter.spendBytes(text.length);
    return `${typeName(part)}:${text.length}:${text}`;
  }).join(",");
}

function comparableText(value: Value, meter: Meter): string {
  meter.spend(1);
  if (value instanceof Uint8Array) return value.toHex();
  if (value instanceof Duration || value instanceof Timestamp) return String(value.nanoseconds);
  if (value instanceof ObjectValue) return canonicalText(value.raw);
  if (value instanceof ListValue) {
    return value.items.map((item) => comparableText(item, meter)).join(",");
  }
  if (value instanceof MapValue) {
    return [...value.entries].map(([key, item]) => `${key}=${comparableText(item, meter)}`).sort()
      .join(",");
  }
  return String(value);
}

export function indexItems(
  items: readonly Value[],
  rule: ListRule,
  meter: Meter,
): Map<string, number> {
  const places = new Map<string, number>();
  items.forEach((item, i) => {
    meter.spend(1);
    places.set(itemKey(item, rule, meter), i);
  });
  return places;
}
