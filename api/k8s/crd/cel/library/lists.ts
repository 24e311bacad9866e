/** Functions of lists: Kubernetes' list library, and cel-go's sets. */
import type { Arguments, Handler, Signatures } from "../functions.ts";
import type { Meter } from "../meter.ts";
import {
  compareValues,
  Duration,
  equalValues,
  EvaluationError,
  ListValue,
  noSuchOverload,
  type Value,
} from "../values.ts";

const ORDERED = ["int", "double", "bool", "duration", "timestamp", "string", "bytes"];

function isSorted(args: Arguments, meter: Meter): boolean {
  const { items } = args.list(0);
  return items.every((item, i) => {
    meter.spend(1);
    const next = items[i + 1];
    return next === undefined || (compareValues(item, next, meter) ?? 0) <= 0;
  });
}

function extreme(name: "min" | "max", sign: 1 | -1): Handler {
  return (args, meter) => {
    const [first, ...rest] = args.list(0).items;
    if (first === undefined) throw new EvaluationError(`${name} called on empty list`);
    return rest.reduce((best, item) => {
      meter.spend(1);
      return (compareValues(item, best, meter) ?? 0) * sign > 0 ? item : best;
    }, first);
  };
}

function sumOf(items: readonly Value[], meter: Meter, zero: Value): Value {
  return items.reduce((total, item) => {
    meter.spend(1);
    if (typeof total === "bigint" && typeof item === "bigint") {
      const sum = total + item;
      if (BigInt.asIntN(64, sum) !== sum) throw new EvaluationError("integer overflow");
      return sum;
    }
    if (typeof total === "number" && typeof item === "number") return total + item;
    if (total instanceof Duration && item instanceof Duration) {
      return new Duration(total.nanoseconds + item.nanoseconds);
    }
    throw noSuchOverload();
  }, zero);
}

function position(args: Arguments, meter: Meter, last: boolean): bigint {
  const { items } = args.list(0);
  const value = args.any(1);
  const matches = (item: Value) => equalValues(item, value, meter);
  return BigInt(last ? items.findLastIndex(matches) : items.findIndex(matches));
}

/** Whether every item of `part` is in `whole`. */
function covers(whole: ListValue, part: ListValue, meter: Meter): boolean {
  return part.items.every((item) => whole.items.some((other) => equalValues(item, other, meter)));
}

export function listFunctions(): Signatures {
  const ordered = ORDERED.flatMap((type): [string, Handler][] => [
    [`list<${type}>.isSorted(): bool`, isSorted],
    [`list<${type}>.min(): ${type}`, extreme("min", -1)],
    [`list<${type}>.max(): ${type}`, extreme("max", 1)],
  ]);
  return {
    ...Object.fromEntries(ordered),
    "list<int>.sum(): int": (args, meter) => {
      const { items } = args.list(0);
      return sumOf(items, meter, items.length > 0 && typeof items[0] === "number" ? 0 : 0n);
    },
    "list<double>.sum(): double": (args, meter) => sumOf(args.list(0).items, meter, 0),
    "list<duration>.sum(): duration": (args, meter) =>
      sumOf(args.list(0).items, meter, new Duration(0n)),
    "list<A>.indexOf(A): int": (args, meter) => position(args, meter, false),
    "list<A>.lastIndexOf(A): int": (args, meter) => position(args, meter, true),
    "sets::contains(list<A>, list<A>): bool": (args, meter) =>
      covers(args.list(0), args.list(1), meter),
    "sets::equivalent(list<A>, list<A>): bool": (args, meter) =>
      covers(args.list(0), args.list(1), meter) && covers(args.list(1), args.list(0), meter),
    "sets::intersects(list<A>, list<A>): bool": (args, meter) =>
      args.list(0).items.some((item) =>
        args.list(1).items.some((other) => equalValues(item, other, meter))
      ),
  };
}
