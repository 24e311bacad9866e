/** Functions and operators: what they take, what they give, and how to run them. */
import type { Meter } from "./meter.ts";
import {
  BOOL,
  BYTES,
  DOUBLE,
  DURATION,
  DYN,
  INT,
  listOf,
  mapOf,
  NULL,
  OPAQUE,
  optionalOf,
  STRING,
  TIMESTAMP,
  type Type,
} from "./types.ts";
import {
  Duration,
  FormatValue,
  ListValue,
  MapValue,
  noSuchOverload,
  ObjectValue,
  OptionalValue,
  Timestamp,
  typeName,
  TypeValue,
  type Value,
} from "./values.ts";

export type Handler = (args: Arguments, meter: Meter) => Value;

/** One signature of a function. The receiver of a member is its first parameter. */
export interface Overload {
  readonly member: boolean;
  readonly parameters: readonly Type[];
  readonly result: Type;
  readonly run: Handler;
}

/**
 * Signatures, such as `string.charAt(int): string` of a member, `_+_(list<A>, list<A>): list<A>` of an
 * operator, `optional::of(A): optional<A>` of a function in a namespace.
 */
export type Signatures = Readonly<Record<string, Handler>>;
export type FunctionTable = ReadonlyMap<string, readonly Overload[]>;

const NAMED: Readonly<Record<string, Type>> = {
  int: INT,
  double: DOUBLE,
  string: STRING,
  bool: BOOL,
  bytes: BYTES,
  null: NULL,
  dyn: DYN,
  duration: DURATION,
  timestamp: TIMESTAMP,
  type: { kind: "type", of: DYN },
  ...OPAQUE,
};

function parseType(text: string): Type {
  const known = NAMED[text];
  if (known !== undefined) return known;
  if (/^[A-Z]$/.test(text)) return { kind: "variable", name: text };
  const generic = /^(list|map|optional)<(.+)>$/.exec(text);
  const [first = "", second = ""] = generic === null ? [] : splitTypes(generic[2] ?? "");
  if (generic?.[1] === "list") return listOf(parseType(first));
  if (generic?.[1] === "map") return mapOf(parseType(first), parseType(second));
  if (generic?.[1] === "optional") return optionalOf(parseType(first));
  throw new TypeError(`no such type: ${text}`);
}

/** At the commas that stand in no brackets. */
function splitTypes(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === "<") depth++;
    else if (character === ">") depth--;
    else if (character === "," && depth === 0) {
      parts.push(text.slice(start, i).trim());
      start = i + 1;
    }
  }
  const last = text.slice(start).trim();
  return last === "" ? parts : [...parts, last];
}

/** The functions of all of them, by name. @throws {TypeError} for a signature that cannot be read. */
export function functionTable(...libraries: readonly Signatures[]): FunctionTable {
  const table = new Map<string, Overload[]>();
  for (const library of libraries) {
    for (const [signature, run] of Object.entries(library)) {
      const match = /^(?:([a-z]+(?:<.+?>)?)\.)?([^(.]+)\((.*)\): (.+)$/.exec(signature);
      if (match === null) throw new TypeError(`no signature: ${signature}`);
      const [, receiver, written = "", parameters = "", result = ""] = match;
      const name = written.replace("::", ".");
      const taken = splitTypes(parameters).map(parseType);
      const overload: Overload = {
        member: receiver !== undefined,
        parameters: receiver === undefined ? taken : [parseType(receiver), ...taken],
        result: parseType(result),
        run,
      };
      table.set(name, [...table.get(name) ?? [], overload]);
    }
  }
  return table;
}

/** Whether the value may be taken as the type; what lies in it is not looked at. */
export function isOfType(value: Value, type: Type): boolean {
  switch (type.kind) {
    case "dyn":
    case "variable":
      return true;
    case "list":
      return value instanceof ListValue;
    case "map":
      return value instanceof MapValue;
    case "optional":
      return value instanceof OptionalValue;
    case "type":
      return value instanceof TypeValue;
    case "object":
      return value instanceof ObjectValue;
    case "plain":
      if (type === NULL) return value === null;
      if (type === DURATION) return value instanceof Duration;
      if (type === TIMESTAMP) return value instanceof Timestamp;
      return typeName(value) === type.name;
  }
}

/** Arguments of a call, by place and type. @throws {EvaluationError} for another type. */
export class Arguments {
  constructor(readonly values: readonly Value[]) {}

  any(place: number): Value {
    const value = this.values[place];
    if (value === undefined) throw noSuchOverload();
    return value;
  }

  text(place: number): string {
    const value = this.any(place);
    if (typeof value !== "string") throw noSuchOverload();
    return value;
  }

  int(place: number): bigint {
    const value = this.any(place);
    if (typeof value !== "bigint") throw noSuchOverload();
    return value;
  }

  double(place: number): number {
    const value = this.any(place);
    if (typeof value !== "number") throw noSuchOverload();
    return value;
  }

  bool(place: number): boolean {
    const value = this.any(place);
    if (typeof value !== "boolean") throw noSuchOverload();
    return value;
  }

  #instance<T extends object>(place: number, type: abstract new (...args: never[]) => T): T {
    const value = this.any(place);
    if (!(value instanceof type)) throw noSuchOverload();
    return value;
  }

  of<T extends object>(place: number, type: abstract new (...args: never[]) => T): T {
    return this.#instance(place, type);
  }

  list(place: number): ListValue {
    return this.#instance(place, ListValue);
  }

  map(place: number): MapValue {
    return this.#instance(place, MapValue);
  }

  bytes(place: number): Uint8Array {
    return this.#instance(place, Uint8Array);
  }

  duration(place: number): Duration {
    return this.#instance(place, Duration);
  }

  timestamp(place: number): Timestamp {
    return this.#instance(place, Timestamp);
  }

  optional(place: number): OptionalValue {
    return this.#instance(place, OptionalValue);
  }

  format(place: number): FormatValue {
    return this.#instance(place, FormatValue);
  }
}
