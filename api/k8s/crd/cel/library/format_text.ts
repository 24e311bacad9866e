/** `format` of cel-go's extended strings: %s %d %f %e %b %o %x %X %%. */
import { type Meter, PARSE_COST } from "../meter.ts";
import {
  Duration,
  EvaluationError,
  ListValue,
  MapValue,
  Timestamp,
  TypeValue,
  type Value,
} from "../values.ts";
import { fixedText, scientificText } from "./decimal.ts";
import { durationText, timestampText } from "./time.ts";

const MAX_PRECISION = 100;

/** @throws {EvaluationError} */
export function formatText(format: string, args: readonly Value[], meter: Meter): string {
  let next = 0;
  let out = "";
  let at = 0;
  for (const match of format.matchAll(/%(?:\.(\d{1,9}))?(.)?/gs)) {
    out += format.slice(at, match.index);
    at = match.index + match[0].length;
    const [, precision, clause] = match;
    if (clause === "%" && precision === undefined) {
      out += "%";
      continue;
    }
    if (clause === undefined) throw new EvaluationError("unexpected end of format string");
    const value = args[next];
    if (value === undefined) throw new EvaluationError(`index ${next} out of range`);
    next++;
    const text = clauseText(clause, precision, value, meter);
    meter.spend(1);
    meter.spendBytes(text.length);
    out += text;
  }
  return out + format.slice(at);
}

function clauseText(
  clause: string,
  precision: string | undefined,
  value: Value,
  meter: Meter,
): string {
  const unfit = () =>
    new EvaluationError(`error during formatting: %${clause} cannot take such a value`);
  switch (clause) {
    case "s":
      return shown(value, false, meter);
    case "d":
      if (typeof value === "bigint") return String(value);
      if (typeof value === "number" && !Number.isFinite(value)) return infinite(value);
      throw unfit();
    case "e":
    case "f": {
      const digits = Number(precision ?? 6);
      if (digits > MAX_PRECISION) throw new EvaluationError("precision is too large");
      const number = typeof value === "bigint" ? Number(value) : value;
      if (typeof number !== "number") throw unfit();
      if (!Number.isFinite(number)) return infinite(number);
      meter.spend(PARSE_COST);
      return clause === "f" ? fixedText(number, digits) : scientificText(number, digits);
    }
    case "b":
      if (typeof value === "boolean") return value ? "1" : "0";
      if (typeof value === "bigint") return value.toString(2);
      throw unfit();
    case "o":
      if (typeof value === "bigint") return value.toString(8);
      throw unfit();
    case "x":
    case "X": {
      const text = hex(value, meter);
      if (text === undefined) throw unfit();
      return clause === "x" ? text : text.toUpperCase();
    }
    default:
      throw new EvaluationError(`could not parse formatting clause: unrecognized "%${clause}"`);
  }
}

function hex(value: Value, meter: Meter): string | undefined {
  if (typeof value === "bigint") return value.toString(16);
  if (typeof value === "string") {
    meter.spendBytes(value.length * 2);
    return new TextEncoder().encode(value).toHex();
  }
  return value instanceof Uint8Array ? value.toHex() : undefined;
}

function infinite(value: number): string {
  return Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}

function doubleDigits(value: number): string {
  if (!Number.isFinite(value)) return infinite(value);
  // All digits, no exponent.
  const text = String(value);
  if (!text.includes("e")) return text;
  return Math.abs(value) >= 1 ? String(BigInt(value)) : value.toFixed(100).replace(/\.?0+$/, "");
}

function shown(value: Value, quoted: boolean, meter: Meter): string {
  meter.spend(1);
  if (value === null) return "null";
  if (typeof value === "string") {
    meter.spendBytes(value.length);
    return quoted ? JSON.stringify(value) : value;
  }
  if (typeof value === "bigint" || typeof value === "boolean") return String(value);
  if (typeof value === "number") return doubleDigits(value);
  if (value instanceof Uint8Array) {
    meter.spendBytes(value.length);
    const text = new TextDecoder().decode(value);
    return quoted ? JSON.stringify(text) : text;
  }
  const wrapped = (text: string) => quoted ? `"${text}"` : text;
  if (value instanceof Timestamp) return wrapped(timestampText(value));
  if (value instanceof Duration) return wrapped(durationText(value));
  if (value instanceof TypeValue) return value.type;
  if (value instanceof ListValue) {
    return `[${value.items.map((item) => shown(item, true, meter)).join(", ")}]`;
  }
  if (value instanceof MapValue) {
    const entries = [...value.entries].map(([key, item]) =>
      `${shown(key, true, meter)}:${shown(item, true, meter)}`
    );
    return `{${entries.sort().join(", ")}}`;
  }
  throw new EvaluationError("error during formatting: no text for a value of that type");
}
