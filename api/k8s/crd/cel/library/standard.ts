/** Operators and standard functions (cel-spec, langdef.md, "List of Standard Definitions"), without uint. */
import { mapKey } from "../compiled.ts";
import type { Arguments, Signatures } from "../functions.ts";
import { type Meter, PARSE_COST } from "../meter.ts";
import {
  codePointLength,
  compareValues,
  equalValues,
  EvaluationError,
  indexItems,
  itemKey,
  ListValue,
  MapValue,
  noSuchOverload,
  ObjectValue,
  OptionalValue,
  Timestamp,
  typeName,
  TypeValue,
  type Value,
} from "../values.ts";
import { durationText, parseDuration, parseTimestamp, timestampText } from "./time.ts";

function int64(value: bigint): bigint {
  if (BigInt.asIntN(64, value) !== value) throw new EvaluationError("integer overflow");
  return value;
}

function divided(a: bigint, b: bigint, what: "division" | "modulus"): bigint {
  if (b === 0n) {
    throw new EvaluationError(what === "division" ? "division by zero" : "modulus by zero");
  }
  return what === "division" ? int64(a / b) : a % b;
}

type Order = (order: number) => boolean;

function comparison(holds: Order) {
  return (args: Arguments, meter: Meter): boolean => {
    const order = compareValues(args.any(0), args.any(1), meter);
    return order !== undefined && holds(order);
  };
}

const ORDERED = ["int", "double", "string", "bool", "bytes", "duration", "timestamp"];
const MIXED = [["int", "double"], ["double", "int"]];

function comparisons(): Signatures {
  const operators: readonly [string, Order][] = [
    ["_<_", (order) => order < 0],
    ["_<=_", (order) => order <= 0],
    ["_>_", (order) => order > 0],
    ["_>=_", (order) => order >= 0],
  ];
  return Object.fromEntries(
    operators.flatMap(([name, holds]) =>
      [...ORDERED.map((type) => [type, type]), ...MIXED].map(([left, right]) => [
        `${name}(${left}, ${right}): bool`,
        comparison(holds),
      ])
    ),
  );
}

function sum(a: ListValue, b: ListValue, meter: Meter): ListValue {
  meter.spend(a.items.length + b.items.length);
  if (a.rule.type === "atomic") return new ListValue([...a.items, ...b.items]);
  const items = [...a.items];
  const places = indexItems(items, a.rule, meter);
  for (const item of b.items) {
    const key = itemKey(item, a.rule, meter);
    const place = places.get(key);
    if (place === undefined) {
      places.set(key, items.length);
      items.push(item);
    } else if (a.rule.type === "map") items[place] = item;
  }
  return new ListValue(items, a.rule);
}

function element(list: ListValue, index: Value): Value {
  const at = typeof index === "bigint" ? Number(index) : index;
  if (typeof at !== "number" || !Number.isInteger(at)) throw noSuchOverload();
  const value = list.items[at];
  if (value === undefined) throw new EvaluationError(`index out of bounds: ${index}`);
  return value;
}

function found(container: Value, key: Value): Value | undefined {
  if (container instanceof ListValue) return container.items[Number(key)];
  if (container instanceof MapValue) return container.entries.get(mapKey(key));
  if (container instanceof ObjectValue && typeof key === "string") return container.get(key);
  throw noSuchOverload();
}

function optionally(args: Arguments): OptionalValue {
  const container = args.any(0);
  const from = container instanceof OptionalValue ? container.value : container;
  return new OptionalValue(from === undefined ? undefined : found(from, args.any(1)));
}

export function standardOperators(): Signatures {
  return {
    "_==_(A, A): bool": (args, meter) => equalValues(args.any(0), args.any(1), meter),
    "_!=_(A, A): bool": (args, meter) => !equalValues(args.any(0), args.any(1), meter),
    ...comparisons(),
    "!_(bool): bool": (args) => !args.bool(0),
    "-_(int): int": (args) => int64(-args.int(0)),
    "-_(double): double": (args) => -args.double(0),
    "_+_(int, int): int": (args) => int64(args.int(0) + args.int(1)),
    "_+_(double, double): double": (args) => args.double(0) + args.double(1),
    "_+_(string, string): string": (args, meter) => {
      const [left, right] = [args.text(0), args.text(1)];
      meter.spendBytes(left.length + right.length);
      return left + right;
    },
    "_+_(bytes, bytes): bytes": (args, meter) => {
      const [left, right] = [args.bytes(0), args.bytes(1)];
      meter.spendBytes(left.length + right.length);
      const out = new Uint8Array(left.length + right.length);
      out.set(left);
      out.set(right, left.length);
      return out;
    },
    "_+_(list<A>, list<A>): list<A>": (args, meter) => sum(args.list(0), args.list(1), meter),
    "_-_(int, int): int": (args) => int64(args.int(0) - args.int(1)),
    "_-_(double, double): double": (args) => args.double(0) - args.double(1),
    "_*_(int, int): int": (args) => int64(args.int(0) * args.int(1)),
    "_*_(double, double): double": (args) => args.double(0) * args.double(1),
    "_/_(int, int): int": (args) => divided(args.int(0), args.int(1), "division"),
    "_/_(double, double): double": (args) => args.double(0) / args.double(1),
    "_%_(int, int): int": (args) => divided(args.int(0), args.int(1), "modulus"),
    "@in(A, list<A>): bool": (args, meter) => {
      const value = args.any(0);
      return args.list(1).items.some((item) => equalValues(item, value, meter));
    },
    "@in(A, map<A, B>): bool": (args) => args.map(1).entries.has(mapKey(args.any(0))),
    "_[_](list<A>, int): A": (args) => element(args.list(0), args.any(1)),
    "_[_](map<A, B>, A): B": (args) => {
      const key = mapKey(args.any(1));
      const value = args.map(0).entries.get(key);
      if (value === undefined) throw new EvaluationError(`no such key: ${key}`);
      return value;
    },
    "_[?_](list<A>, int): optional<A>": optionally,
    "_[?_](map<A, B>, A): optional<B>": optionally,
    "_[?_](optional<list<A>>, int): optional<A>": optionally,
    "_[?_](optional<map<A, B>>, A): optional<B>": optionally,
    "_[_](optional<list<A>>, int): optional<A>": optionally,
    "_[_](optional<map<A, B>>, A): optional<B>": optionally,
  };
}

function size(value: Value, meter: Meter): bigint {
  if (typeof value === "string") {
    meter.spendBytes(value.length);
    return BigInt(codePointLength(value));
  }
  if (value instanceof Uint8Array) return BigInt(value.length);
  if (value instanceof ListValue) return BigInt(value.items.length);
  if (value instanceof MapValue) return BigInt(value.entries.size);
  throw noSuchOverload();
}

/** @throws {EvaluationError} beyond 64 bits, or not finite. */
export function intOfDouble(value: number): bigint {
  if (!Number.isFinite(value) || value >= 2 ** 63 || value <= -(2 ** 63)) {
    throw new EvaluationError("integer overflow");
  }
  return BigInt(Math.trunc(value));
}

function intOfText(text: string): bigint {
  if (!/^[+-]?\d{1,40}$/.test(text)) {
    throw new EvaluationError(`type conversion error from 'string' to 'int': ${text.slice(0, 64)}`);
  }
  return int64(BigInt(text.replace("+", "")));
}

function doubleOfText(text: string): number {
  const special = /^([+-]?)(inf|infinity|nan)$/i.exec(text);
  if (special !== null) {
    if (special[2]?.toLowerCase() === "nan") return NaN;
    return special[1] === "-" ? -Infinity : Infinity;
  }
  const value = /^[+-]?(\d+(?:\.\d*)?|\.\d+)([eE][+-]?\d+)?$/.test(text) ? Number(text) : NaN;
  if (!Number.isFinite(value)) {
    throw new EvaluationError(
      `type conversion error from 'string' to 'double': ${text.slice(0, 64)}`,
    );
  }
  return value;
}

/** As Go's strconv writes a double with 'g' and the shortest digits. */
export function doubleText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  if (Object.is(value, -0)) return "-0";
  if (value === 0) return "0";
  const exponent = Number(value.toExponential().split("e")[1]);
  if (exponent >= -4 && exponent < 21) {
    return exponent < 0
      ? value.toFixed(Math.max(digitsOf(value) - exponent - 1, 0))
      : String(value);
  }
  return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
}

function digitsOf(value: number): number {
  return (value.toExponential().split("e")[0] ?? "").replace(/[-.]/g, "").length;
}

function boolOfText(text: string): boolean {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(text)) return false;
  throw new EvaluationError(`type conversion error from 'string' to 'bool'`);
}

function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new EvaluationError("invalid UTF-8 in bytes, cannot convert to string", { cause });
  }
}

const SIZED = ["string", "bytes", "list<A>", "map<A, B>"];

function sizes(): Signatures {
  return Object.fromEntries(SIZED.flatMap((type) => [
    [`size(${type}): int`, (args: Arguments, meter: Meter) => size(args.any(0), meter)],
    [`${type}.size(): int`, (args: Arguments, meter: Meter) => size(args.any(0), meter)],
  ]));
}

export function standardFunctions(): Signatures {
  return {
    ...sizes(),
    "dyn(A): dyn": (args) => args.any(0),
    "type(A): type": (args) => new TypeValue(typeName(args.any(0))),
    "int(int): int": (args) => args.int(0),
    "int(double): int": (args) => intOfDouble(args.double(0)),
    "int(string): int": (args) => intOfText(args.text(0)),
    "int(timestamp): int": (args) => {
      const { nanoseconds } = args.timestamp(0);
      return (nanoseconds - ((nanoseconds % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n) /
        1_000_000_000n;
    },
    "double(double): double": (args) => args.double(0),
    "double(int): double": (args) => Number(args.int(0)),
    "double(string): double": (args, meter) => {
      meter.spendBytes(args.text(0).length);
      return doubleOfText(args.text(0));
    },
    "bool(bool): bool": (args) => args.bool(0),
    "bool(string): bool": (args) => boolOfText(args.text(0)),
    "string(string): string": (args) => args.text(0),
    "string(bool): string": (args) => String(args.bool(0)),
    "string(int): string": (args) => String(args.int(0)),
    "string(double): string": (args) => doubleText(args.double(0)),
    "string(bytes): string": (args, meter) => {
      meter.spendBytes(args.bytes(0).length);
      return utf8(args.bytes(0));
    },
    "string(timestamp): string": (args) => timestampText(args.timestamp(0)),
    "string(duration): string": (args) => durationText(args.duration(0)),
    "bytes(bytes): bytes": (args) => args.bytes(0),
    "bytes(string): bytes": (args, meter) => {
      meter.spendBytes(args.text(0).length);
      return new TextEncoder().encode(args.text(0));
    },
    "timestamp(timestamp): timestamp": (args) => args.timestamp(0),
    "timestamp(string): timestamp": (args, meter) => {
      meter.spend(PARSE_COST);
      return parseTimestamp(args.text(0));
    },
    "timestamp(int): timestamp": (args) => new Timestamp(args.int(0) * 1_000_000_000n),
    "duration(duration): duration": (args) => args.duration(0),
    "duration(string): duration": (args, meter) => {
      meter.spend(PARSE_COST);
      return parseDuration(args.text(0));
    },
  };
}
