/** Kubernetes' quantity library. */
import type { Arguments, Signatures } from "../functions.ts";
import { PARSE_COST } from "../meter.ts";
import { EvaluationError } from "../values.ts";
import { Quantity } from "./quantity_value.ts";

function compare(args: Arguments): bigint {
  const [left, right] = [args.of(0, Quantity).nanos, args.of(1, Quantity).nanos];
  return left < right ? -1n : left > right ? 1n : 0n;
}

export function quantityFunctions(): Signatures {
  const nanos = (args: Arguments, place: number) => args.of(place, Quantity).nanos;
  const ofInt = (args: Arguments) => Quantity.ofInteger(args.int(1)).nanos;
  const sign = (args: Arguments) => nanos(args, 0) < 0n ? -1n : nanos(args, 0) > 0n ? 1n : 0n;
  return {
    "quantity(string): quantity": (args, meter) => {
      meter.spend(PARSE_COST);
      return Quantity.read(args.text(0));
    },
    "isQuantity(string): bool": (args, meter) => {
      meter.spend(PARSE_COST);
      return Quantity.parse(args.text(0)) !== undefined;
    },
    "quantity.sign(): int": sign,
    "sign(quantity): int": sign,
    "quantity.isInteger(): bool": (args) => args.of(0, Quantity).asInteger() !== undefined,
    "quantity.asInteger(): int": (args) => {
      const value = args.of(0, Quantity).asInteger();
      if (value === undefined) throw new EvaluationError("cannot convert value to integer");
      return value;
    },
    "quantity.asApproximateFloat(): double": (args) => args.of(0, Quantity).asFloat(),
    "quantity.add(quantity): quantity": (args) => new Quantity(nanos(args, 0) + nanos(args, 1)),
    "quantity.add(int): quantity": (args) => new Quantity(nanos(args, 0) + ofInt(args)),
    "quantity.sub(quantity): quantity": (args) => new Quantity(nanos(args, 0) - nanos(args, 1)),
    "quantity.sub(int): quantity": (args) => new Quantity(nanos(args, 0) - ofInt(args)),
    "quantity.isLessThan(quantity): bool": (args) => compare(args) < 0n,
    "quantity.isGreaterThan(quantity): bool": (args) => compare(args) > 0n,
    "quantity.compareTo(quantity): int": compare,
  };
}
