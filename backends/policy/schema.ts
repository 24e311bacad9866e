/** Pieces that every section of an appraisal policy is made of. Strict: what is not known is refused. */
import * as v from "valibot";

/** Lower-case hex of exactly so many bytes. */
export function hex(bytes: number): v.GenericSchema<string> {
  return v.pipe(
    v.string(),
    v.regex(
      new RegExp(`^[0-9a-f]{${2 * bytes}}$`),
      `must be ${2 * bytes} lower-case hex digits (${bytes} bytes)`,
    ),
  );
}

/** Reference values, or `"any"` said in so many words. An empty list would accept nothing and is refused. */
export function anyOrList<T>(item: v.GenericSchema<T>): v.GenericSchema<"any" | T[]> {
  const list: v.GenericSchema<T[]> = v.pipe(
    v.array(item),
    v.minLength(1, 'must not be empty; to accept every value write "any"'),
    v.maxLength(10_000),
  );
  return v.union([v.literal("any"), list], 'must be a list, or "any"');
}

/** `require`: without it nothing affirms. `if_given`: checked where it is there. */
export const Demand = v.picklist(["require", "if_given"], 'must be "require" or "if_given"');
export type Demand = v.InferOutput<typeof Demand>;

/** Whether report data or a nonce must be given and match. */
export const ReportDataDemand = v.picklist(["require", "any"], 'must be "require" or "any"');

/** An unsigned integer of JSON, at most 2^53 - 1. */
export function unsigned(max: number = Number.MAX_SAFE_INTEGER): v.GenericSchema<number> {
  return v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(max));
}

export const Byte = unsigned(255);
export const PositiveSeconds = v.pipe(v.number(), v.safeInteger(), v.minValue(1));

/** Whether a value is accepted by an `anyOrList()` field. */
export function accepts<T>(accepted: "any" | readonly T[], value: T): boolean {
  return accepted === "any" || accepted.includes(value);
}
