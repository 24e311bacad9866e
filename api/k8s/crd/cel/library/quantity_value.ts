/** A Kubernetes quantity, exactly: a number of thousand-millionths, as apimachinery's resource.Quantity keeps it. */
import { EvaluationError } from "../values.ts";

/** Quantities hold nothing finer than 10^-9, and round up what is. */
const SCALE = 1_000_000_000n;
const MAX_LENGTH = 256;

const SUFFIXES: Readonly<Record<string, readonly [numerator: bigint, denominator: bigint]>> = {
  n: [1n, 1_000_000_000n],
  u: [1n, 1_000_000n],
  m: [1n, 1_000n],
  "": [1n, 1n],
  k: [10n ** 3n, 1n],
  M: [10n ** 6n, 1n],
  G: [10n ** 9n, 1n],
  T: [10n ** 12n, 1n],
  P: [10n ** 15n, 1n],
  E: [10n ** 18n, 1n],
  Ki: [2n ** 10n, 1n],
  Mi: [2n ** 20n, 1n],
  Gi: [2n ** 30n, 1n],
  Ti: [2n ** 40n, 1n],
  Pi: [2n ** 50n, 1n],
  Ei: [2n ** 60n, 1n],
};

export class Quantity {
  readonly celType = "kubernetes.Quantity";

  constructor(readonly nanos: bigint) {}

  equals(other: unknown): boolean {
    return other instanceof Quantity && other.nanos === this.nanos;
  }

  /** Undefined: not a whole number, or beyond 64 bits. */
  asInteger(): bigint | undefined {
    if (this.nanos % SCALE !== 0n) return undefined;
    const value = this.nanos / SCALE;
    return BigInt.asIntN(64, value) === value ? value : undefined;
  }

  asFloat(): number {
    return Number(this.nanos) / Number(SCALE);
  }

  static ofInteger(value: bigint): Quantity {
    return new Quantity(value * SCALE);
  }

  /** Undefined: no quantity. */
  static parse(text: string): Quantity | undefined {
    const match = text.length > MAX_LENGTH
      ? null
      : /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)$/
        .exec(text);
    if (match === null) return undefined;
    const [, sign, whole = "", fraction = "", exponent, suffix = ""] = match;
    if (whole === "" && fraction === "") return undefined;
    let [numerator, denominator] = SUFFIXES[suffix] ?? [1n, 1n];
    if (exponent !== undefined) {
      const power = 10n ** BigInt(Math.abs(Number(exponent)));
      if (exponent.startsWith("-")) denominator = power;
      else numerator = power;
    }
    const digits = BigInt(`${whole}${fraction}` || "0") * numerator * SCALE;
    const divisor = denominator * 10n ** BigInt(fraction.length);
    // Up, away from zero.
    const nanos = (digits + divisor - 1n) / divisor;
    return new Quantity(sign === "-" ? -nanos : nanos);
  }

  /** @throws {EvaluationError} */
  static read(text: string): Quantity {
    const quantity = Quantity.parse(text);
    if (quantity !== undefined) return quantity;
    throw new EvaluationError(
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    );
  }
}
