/** Doubles in decimal digits, exactly rounded, halves to even: as Go's strconv writes them. */

/** Of a finite double. */
function ratio(value: number): readonly [numerator: bigint, denominator: bigint] {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const raw = Number(bits >> 52n & 0x7ffn);
  const mantissa = bits & 0xfffffffffffffn | (raw === 0 ? 0n : 1n << 52n);
  const exponent = BigInt(Math.max(raw, 1) - 1075);
  return exponent >= 0n ? [mantissa << exponent, 1n] : [mantissa, 1n << -exponent];
}

function rounded(numerator: bigint, denominator: bigint): bigint {
  const whole = numerator / denominator;
  const twice = (numerator % denominator) * 2n;
  const isUp = twice > denominator || (twice === denominator && whole % 2n === 1n);
  return isUp ? whole + 1n : whole;
}

function sign(value: number): string {
  return value < 0 || Object.is(value, -0) ? "-" : "";
}

/** `%.2f`. */
export function fixedText(value: number, digits: number): string {
  const [numerator, denominator] = ratio(value);
  const text = String(rounded(numerator * 10n ** BigInt(digits), denominator))
    .padStart(digits + 1, "0");
  const whole = text.slice(0, text.length - digits);
  return `${sign(value)}${whole}${digits === 0 ? "" : `.${text.slice(-digits)}`}`;
}

/** `%.2e`. */
export function scientificText(value: number, digits: number): string {
  let exponent = value === 0 ? 0 : Number(value.toExponential().split("e")[1]);
  const [numerator, denominator] = ratio(value);
  const scaled = (power: number) =>
    power >= 0
      ? rounded(numerator * 10n ** BigInt(power), denominator)
      : rounded(numerator, denominator * 10n ** BigInt(-power));
  let text = String(scaled(digits - exponent));
  if (text.length > digits + 1) text = String(scaled(digits - ++exponent));
  const fraction = text.slice(1).padEnd(digits, "0");
  const power = `${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  return `${sign(value)}${text.charAt(0)}${digits === 0 ? "" : `.${fraction}`}e${power}`;
}
