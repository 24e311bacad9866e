/** Optional values (cel-go, "OptionalTypes"). */
import type { Signatures } from "../functions.ts";
import { EvaluationError, ListValue, MapValue, OptionalValue, type Value } from "../values.ts";

function isZero(value: Value): boolean {
  if (value === null || value === 0 || value === 0n || value === "" || value === false) return true;
  if (value instanceof Uint8Array) return value.length === 0;
  if (value instanceof ListValue) return value.items.length === 0;
  return value instanceof MapValue && value.entries.size === 0;
}

export function optionalFunctions(): Signatures {
  return {
    "optional::none(): optional<A>": () => new OptionalValue(undefined),
    "optional::of(A): optional<A>": (args) => new OptionalValue(args.any(0)),
    "optional::ofNonZeroValue(A): optional<A>": (args) =>
      new OptionalValue(isZero(args.any(0)) ? undefined : args.any(0)),
    "optional<A>.hasValue(): bool": (args) => args.optional(0).value !== undefined,
    "optional<A>.value(): A": (args) => {
      const { value } = args.optional(0);
      if (value === undefined) throw new EvaluationError("optional.none() dereference");
      return value;
    },
    "optional<A>.orValue(A): A": (args) => args.optional(0).value ?? args.any(1),
    "optional<A>.or(optional<A>): optional<A>": (args) =>
      args.optional(0).value === undefined ? args.optional(1) : args.optional(0),
  };
}
