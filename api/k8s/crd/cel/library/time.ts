/** Durations and times: how they are written, counted with, and what they are made of. */
import type { Arguments, Signatures } from "../functions.ts";
import { Duration, EvaluationError, SECOND, Timestamp } from "../values.ts";

const UNITS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  "µs": 1_000n,
  "μs": 1_000n,
  ms: 1_000_000n,
  s: SECOND,
  m: 60n * SECOND,
  h: 3600n * SECOND,
};

/** Longest text of a duration or a time that is looked at. */
const MAX_LENGTH = 256;

/** Go's notation, such as `1h30m` or `-1.5s`. @throws {EvaluationError} */
export function parseDuration(text: string): Duration {
  const bad = () => new EvaluationError(`time: invalid duration "${text.slice(0, 64)}"`);
  if (text.length > MAX_LENGTH) throw bad();
  const match = /^([+-]?)((?:\d*(?:\.\d*)?(?:ns|us|µs|μs|ms|s|m|h))+|0)$/.exec(text);
  if (match === null) throw bad();
  let total = 0n;
  for (
    const [, whole = "", fraction = "", unit = ""] of (match[2] ?? "").matchAll(
      /(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/g,
    )
  ) {
    const scale = UNITS[unit];
    if (scale === undefined || (whole === "" && fraction === "")) throw bad();
    total += BigInt(whole === "" ? "0" : whole) * scale;
    if (fraction !== "") total += BigInt(fraction) * scale / 10n ** BigInt(fraction.length);
  }
  return new Duration(match[1] === "-" ? -total : total);
}

const DAY = 24n * 3600n * SECOND;
const LONG_UNITS: readonly [RegExp, bigint][] = [
  [/^(ns|nanos?|nanoseconds?)$/, 1n],
  [/^(us|µs|micros?|microseconds?)$/, 1_000n],
  [/^(ms|millis?|milliseconds?)$/, 1_000_000n],
  [/^(s|secs?|seconds?)$/, SECOND],
  [/^(m|mins?|minutes?)$/, 60n * SECOND],
  [/^(h|hrs?|hours?)$/, 3600n * SECOND],
  [/^(d|days?)$/, DAY],
  [/^(w|wks?|weeks?)$/, 7n * DAY],
];

/** What `format: duration` of a schema allows: Go's notation, or a number with a longer unit. */
export function parseFormattedDuration(text: string): Duration {
  try {
    return parseDuration(text);
  } catch (cause) {
    const match = /^(\d{1,18}) ?([a-zµ]+)$/i.exec(text);
    const unit = LONG_UNITS.find(([pattern]) => pattern.test(match?.[2]?.toLowerCase() ?? ""))?.[1];
    if (match === null || unit === undefined) throw cause;
    return new Duration(BigInt(match[1] ?? "0") * unit);
  }
}

/** As CEL writes it: seconds. */
export function durationText({ nanoseconds }: Duration): string {
  return `${decimal(nanoseconds)}s`;
}

function decimal(nanoseconds: bigint): string {
  const sign = nanoseconds < 0n ? "-" : "";
  const size = nanoseconds < 0n ? -nanoseconds : nanoseconds;
  const fraction = String(size % SECOND).padStart(9, "0").replace(/0+$/, "");
  return `${sign}${size / SECOND}${fraction === "" ? "" : `.${fraction}`}`;
}

/** RFC 3339, up to nanoseconds. @throws {EvaluationError} */
export function parseTimestamp(text: string): Timestamp {
  const match = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(Z|([+-])(\d\d):(\d\d))$/
    .exec(text);
  const bad = () =>
    new EvaluationError(`type conversion error from 'string' to 'google.protobuf.Timestamp'`);
  if (match === null || text.length > 64) throw bad();
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1, 7)
    .map(Number);
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  const isReal = date.getUTCMonth() === month - 1 && date.getUTCDate() === day && hour < 24 &&
    minute < 60 && second < 60;
  const [offsetHours, offsetMinutes] = [Number(match[10] ?? 0), Number(match[11] ?? 0)];
  if (!isReal || offsetHours > 23 || offsetMinutes > 59) throw bad();
  const offset = BigInt((offsetHours * 60 + offsetMinutes) * 60) * (match[9] === "-" ? -1n : 1n);
  const fraction = BigInt((match[7] ?? "").slice(0, 9).padEnd(9, "0"));
  return new Timestamp((BigInt(date.getTime()) / 1000n - offset) * SECOND + fraction);
}

/** `format: date` and `format: date-time` of a schema. @throws {EvaluationError} */
export function parseFormattedTime(text: string, format: "date" | "date-time"): Timestamp {
  if (format === "date") return parseTimestamp(`${text}T00:00:00Z`);
  return parseTimestamp(text.toUpperCase().replace(" ", "T"));
}

function parts({ nanoseconds }: Timestamp): { seconds: bigint; nanos: bigint } {
  const nanos = ((nanoseconds % SECOND) + SECOND) % SECOND;
  return { seconds: (nanoseconds - nanos) / SECOND, nanos };
}

export function timestampText(time: Timestamp): string {
  const { seconds, nanos } = parts(time);
  const whole = new Date(Number(seconds) * 1000).toISOString().replace(/\.\d+Z$/, "");
  const fraction = String(nanos).padStart(9, "0").replace(/0+$/, "");
  return `${whole}${fraction === "" ? "" : `.${fraction}`}Z`;
}

/** The time as UTC shows it where the zone's clocks are. @throws {EvaluationError} */
function inZone(time: Timestamp, zone: string | undefined): Date {
  const utc = new Date(Number(parts(time).seconds) * 1000);
  if (zone === undefined || zone === "UTC" || zone === "") return utc;
  const offset = /^([+-]?)(\d\d):(\d\d)$/.exec(zone);
  if (offset !== null) {
    const minutes = Number(offset[2]) * 60 + Number(offset[3]);
    return new Date(utc.getTime() + (offset[1] === "-" ? -minutes : minutes) * 60_000);
  }
  let shown: Intl.DateTimeFormatPart[];
  try {
    shown = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      hourCycle: "h23",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
    }).formatToParts(utc);
  } catch (cause) {
    throw new EvaluationError(`unknown time zone ${zone.slice(0, 64)}`, { cause });
  }
  const part = (type: string) => Number(shown.find((item) => item.type === type)?.value);
  const local = new Date(0);
  local.setUTCFullYear(part("year"), part("month") - 1, part("day"));
  local.setUTCHours(part("hour"), part("minute"), part("second"));
  return local;
}

function dayOfYear(date: Date): number {
  const first = new Date(date);
  first.setUTCMonth(0, 1);
  return Math.round((date.getTime() - first.getTime()) / 86_400_000);
}

const FIELDS: Readonly<Record<string, (date: Date) => number>> = {
  getFullYear: (date) => date.getUTCFullYear(),
  getMonth: (date) => date.getUTCMonth(),
  getDate: (date) => date.getUTCDate(),
  getDayOfMonth: (date) => date.getUTCDate() - 1,
  getDayOfWeek: (date) => date.getUTCDay(),
  getDayOfYear: dayOfYear,
  getHours: (date) => date.getUTCHours(),
  getMinutes: (date) => date.getUTCMinutes(),
  getSeconds: (date) => date.getUTCSeconds(),
};

function fields(): Signatures {
  return Object.fromEntries(
    Object.entries(FIELDS).flatMap(([name, read]) => {
      const run = (args: Arguments, meter: { spend(units: number): void }) => {
        const zone = args.values.length > 1 ? args.text(1) : undefined;
        // Names of zones are looked up.
        if (zone !== undefined) meter.spend(1000);
        return BigInt(read(inZone(args.timestamp(0), zone)));
      };
      return [[`timestamp.${name}(): int`, run], [`timestamp.${name}(string): int`, run]];
    }),
  );
}

export function timeFunctions(): Signatures {
  const units = (args: Arguments, unit: bigint) => args.duration(0).nanoseconds / unit;
  const milliseconds = (args: Arguments) => parts(args.timestamp(0)).nanos / 1_000_000n;
  return {
    ...fields(),
    "timestamp.getMilliseconds(): int": milliseconds,
    "timestamp.getMilliseconds(string): int": milliseconds,
    "duration.getHours(): int": (args) => units(args, 3600n * SECOND),
    "duration.getMinutes(): int": (args) => units(args, 60n * SECOND),
    "duration.getSeconds(): int": (args) => units(args, SECOND),
    "duration.getMilliseconds(): int": (args) => units(args, 1_000_000n),
    "_+_(duration, duration): duration": (args) =>
      new Duration(args.duration(0).nanoseconds + args.duration(1).nanoseconds),
    "_+_(timestamp, duration): timestamp": (args) =>
      new Timestamp(args.timestamp(0).nanoseconds + args.duration(1).nanoseconds),
    "_+_(duration, timestamp): timestamp": (args) =>
      new Timestamp(args.duration(0).nanoseconds + args.timestamp(1).nanoseconds),
    "_-_(duration, duration): duration": (args) =>
      new Duration(args.duration(0).nanoseconds - args.duration(1).nanoseconds),
    "_-_(timestamp, duration): timestamp": (args) =>
      new Timestamp(args.timestamp(0).nanoseconds - args.duration(1).nanoseconds),
    "_-_(timestamp, timestamp): duration": (args) =>
      new Duration(args.timestamp(0).nanoseconds - args.timestamp(1).nanoseconds),
    "-_(duration): duration": (args) => new Duration(-args.duration(0).nanoseconds),
  };
}
