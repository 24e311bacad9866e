/** The string formats that Kubernetes checks in custom objects; others are documentation only. */

type Check = (value: string) => boolean;

const UUID = (version: string): Check => {
  const pattern = new RegExp(
    `^[0-9a-f]{8}-?[0-9a-f]{4}-?${version}[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$`,
    "i",
  );
  return (value) => pattern.test(value);
};

function isIpv4(value: string): boolean {
  const parts = value.split(".");
  return parts.length === 4 &&
    parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) <= 255);
}

function isIpv6(value: string): boolean {
  if (!value.includes(":") || value.includes("%")) return false;
  const halves = value.split("::");
  if (halves.length > 2) return false;
  const groups = halves.flatMap((half) => half === "" ? [] : half.split(":"));
  let count = groups.length;
  const last = groups.at(-1);
  if (last?.includes(".") === true) {
    if (!isIpv4(last)) return false;
    groups.pop();
    count++;
  }
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return false;
  return halves.length === 2 ? count <= 7 : count === 8;
}

function isCidr(value: string): boolean {
  const [address = "", bits = "", ...more] = value.split("/");
  if (more.length > 0 || !/^(0|[1-9][0-9]{0,2})$/.test(bits)) return false;
  return isIpv4(address) ? Number(bits) <= 32 : isIpv6(address) && Number(bits) <= 128;
}

function isDate(value: string): boolean {
  const match = /^(\d{4})-(\d\d)-(\d\d)$/.exec(value);
  if (match === null) return false;
  const time = new Date(`${value}T00:00:00Z`);
  return !Number.isNaN(time.getTime()) && time.toISOString().startsWith(value);
}

function isDateTime(value: string): boolean {
  const match =
    /^(\d{4}-\d\d-\d\d)[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/
      .exec(value);
  return match?.[1] !== undefined && isDate(match[1]);
}

function isUri(value: string): boolean {
  return value.startsWith("/") || URL.canParse(value);
}

function isBase64(value: string): boolean {
  return value.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(value);
}

const HOSTNAME =
  /^(?=.{1,255}$)[0-9a-z]([-0-9a-z]{0,61}[0-9a-z])?(\.[0-9a-z]([-0-9a-z]{0,61}[0-9a-z])?)*\.?$/i;

const CHECKS: ReadonlyMap<string, Check> = new Map<string, Check>([
  ["date", isDate],
  ["date-time", isDateTime],
  ["datetime", isDateTime],
  ["ipv4", isIpv4],
  ["ipv6", isIpv6],
  ["cidr", isCidr],
  ["uri", isUri],
  ["byte", isBase64],
  ["uuid", UUID("[0-9a-f]")],
  ["uuid3", UUID("3")],
  ["uuid4", UUID("4")],
  ["uuid5", UUID("5")],
  ["mac", (value) => /^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i.test(value)],
  ["email", (value) => /^[^\s@<>]{1,64}@[^\s@<>]{1,255}$/.test(value)],
  ["hostname", (value) => HOSTNAME.test(value)],
  ["hexcolor", (value) => /^#?([0-9a-f]{3}|[0-9a-f]{6})$/i.test(value)],
  [
    "duration",
    (value) =>
      /^[+-]?(\d+(\.\d*)?|\.\d+) ?(ns|us|µs|ms|s|m|h|d|w|[a-z]+)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*$/i
        .test(value) || value === "0",
  ],
]);

/** Whether the value is not of the format; false for formats that are not checked. */
export function formatProblem(value: string, format: string): boolean {
  const check = CHECKS.get(format);
  return check !== undefined && !check(value);
}
