/** Addresses and networks of IP, as Go's net/netip reads them, without zones and IPv4-mapped IPv6. */
import type { Arguments, Signatures } from "../functions.ts";
import { type Meter, PARSE_COST } from "../meter.ts";
import { EvaluationError } from "../values.ts";

/** Undefined: no IPv4 address. */
function parseV4(text: string): bigint | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  let bits = 0n;
  for (const part of match.slice(1)) {
    if (Number(part) > 255 || (part.length > 1 && part.startsWith("0"))) return undefined;
    bits = bits << 8n | BigInt(part);
  }
  return bits;
}

function groups(text: string): readonly bigint[] | undefined {
  if (text === "") return [];
  const parts = text.split(":");
  const last = parts.at(-1) ?? "";
  const out: bigint[] = [];
  for (const part of last.includes(".") ? parts.slice(0, -1) : parts) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
    out.push(BigInt(`0x${part}`));
  }
  if (last.includes(".")) {
    const v4 = parseV4(last);
    if (v4 === undefined) return undefined;
    out.push(v4 >> 16n, v4 & 0xffffn);
  }
  return out;
}

/** Undefined: no IPv6 address. */
function parseV6(text: string): bigint | undefined {
  const halves = text.split("::");
  if (halves.length > 2 || text.length > 45) return undefined;
  const [head, tail] = [groups(halves[0] ?? ""), groups(halves[1] ?? "")];
  if (head === undefined || tail === undefined) return undefined;
  // Only at the end may an IPv4 address stand.
  if (halves.length === 2 && (halves[0] ?? "").includes(".")) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const all = [...head, ...Array.from({ length: missing }, () => 0n), ...tail];
  return all.reduce((bits, group) => bits << 16n | group, 0n);
}

export class Ip {
  readonly celType = "net.IP";

  constructor(readonly family: 4 | 6, readonly bits: bigint) {}

  get width(): number {
    return this.family === 4 ? 32 : 128;
  }

  equals(other: unknown): boolean {
    return other instanceof Ip && other.family === this.family && other.bits === this.bits;
  }

  static parse(text: string): Ip | undefined {
    const v4 = parseV4(text);
    if (v4 !== undefined) return new Ip(4, v4);
    const v6 = parseV6(text);
    // ::ffff:0:0/96
    return v6 === undefined || v6 >> 32n === 0xffffn ? undefined : new Ip(6, v6);
  }

  /** @throws {EvaluationError} */
  static read(text: string): Ip {
    const ip = Ip.parse(text);
    if (ip !== undefined) return ip;
    throw new EvaluationError(
      `IP Address "${text.slice(0, 64)}" parse error during conversion from string`,
    );
  }

  /** RFC 5952 for IPv6. */
  toString(): string {
    const width = this.family === 4 ? 8n : 16n;
    const parts: bigint[] = [];
    for (let shift = BigInt(this.width) - width; shift >= 0n; shift -= width) {
      parts.push(this.bits >> shift & ((1n << width) - 1n));
    }
    if (this.family === 4) return parts.join(".");
    const texts = parts.map((part) => part.toString(16));
    const zeros = longestZeros(parts);
    if (zeros === undefined) return texts.join(":");
    const [from, to] = zeros;
    return `${texts.slice(0, from).join(":")}::${texts.slice(to).join(":")}`;
  }

  startsWith(prefix: bigint, length: number): boolean {
    return this.bits >> BigInt(this.width - length) === prefix;
  }
}

/** Of two or more, the first of the longest. */
function longestZeros(parts: readonly bigint[]): readonly [number, number] | undefined {
  let best: readonly [number, number] | undefined;
  for (let from = 0; from < parts.length; from++) {
    let to = from;
    while (to < parts.length && parts[to] === 0n) to++;
    if (to - from >= 2 && to - from > (best === undefined ? 0 : best[1] - best[0])) {
      best = [from, to];
    }
  }
  return best;
}

export class Cidr {
  readonly celType = "net.CIDR";

  constructor(readonly ip: Ip, readonly length: number) {}

  equals(other: unknown): boolean {
    return other instanceof Cidr && other.length === this.length && this.ip.equals(other.ip);
  }

  static parse(text: string): Cidr | undefined {
    const [address = "", length = "", ...more] = text.split("/");
    const ip = Ip.parse(address);
    if (ip === undefined || more.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(length)) return undefined;
    return Number(length) > ip.width ? undefined : new Cidr(ip, Number(length));
  }

  /** @throws {EvaluationError} */
  static read(text: string): Cidr {
    const cidr = Cidr.parse(text);
    if (cidr !== undefined) return cidr;
    throw new EvaluationError(
      `network address parse error during conversion from string: "${text.slice(0, 64)}"`,
    );
  }

  masked(): Cidr {
    const rest = BigInt(this.ip.width - this.length);
    return new Cidr(new Ip(this.ip.family, this.ip.bits >> rest << rest), this.length);
  }

  contains(ip: Ip): boolean {
    const rest = BigInt(this.ip.width - this.length);
    return ip.family === this.ip.family && ip.bits >> rest === this.ip.bits >> rest;
  }

  toString(): string {
    return `${this.ip}/${this.length}`;
  }
}

function isLoopback(ip: Ip): boolean {
  return ip.family === 4 ? ip.startsWith(127n, 8) : ip.bits === 1n;
}

function isLinkLocalUnicast(ip: Ip): boolean {
  return ip.family === 4 ? ip.startsWith(0xa9fen, 16) : ip.startsWith(0x3fan, 10);
}

function isMulticast(ip: Ip): boolean {
  return ip.family === 4 ? ip.startsWith(0xen, 4) : ip.startsWith(0xffn, 8);
}

function isGlobalUnicast(ip: Ip): boolean {
  const isBroadcast = ip.family === 4 && ip.bits === 0xffffffffn;
  return ip.bits !== 0n && !isBroadcast && !isLoopback(ip) && !isMulticast(ip) &&
    !isLinkLocalUnicast(ip);
}

export function addressFunctions(): Signatures {
  const ip = (args: Arguments) => args.of(0, Ip);
  const cidr = (args: Arguments) => args.of(0, Cidr);
  const containsCidr = (outer: Cidr, inner: Cidr) =>
    outer.length <= inner.length && outer.contains(inner.ip);
  const paid = (args: Arguments, meter: Meter, place = 0) => {
    meter.spend(PARSE_COST);
    return args.text(place);
  };
  return {
    "ip(string): ip": (args, meter) => Ip.read(paid(args, meter)),
    "isIP(string): bool": (args, meter) => Ip.parse(paid(args, meter)) !== undefined,
    "ip::isCanonical(string): bool": (args, meter) =>
      Ip.read(paid(args, meter)).toString() === paid(args, meter),
    "string(ip): string": (args) => ip(args).toString(),
    "ip.family(): int": (args) => BigInt(ip(args).family),
    "ip.isUnspecified(): bool": (args) => ip(args).bits === 0n,
    "ip.isLoopback(): bool": (args) => isLoopback(ip(args)),
    "ip.isLinkLocalMulticast(): bool": (args) =>
      ip(args).family === 4
        ? ip(args).startsWith(0xe00000n, 24)
        : ip(args).startsWith(0xffn, 8) && (ip(args).bits >> 112n & 0xfn) === 2n,
    "ip.isLinkLocalUnicast(): bool": (args) => isLinkLocalUnicast(ip(args)),
    "ip.isGlobalUnicast(): bool": (args) => isGlobalUnicast(ip(args)),
    "cidr(string): cidr": (args, meter) => Cidr.read(paid(args, meter)),
    "isCIDR(string): bool": (args, meter) => Cidr.parse(paid(args, meter)) !== undefined,
    "string(cidr): string": (args) => cidr(args).toString(),
    "cidr.ip(): ip": (args) => cidr(args).ip,
    "cidr.prefixLength(): int": (args) => BigInt(cidr(args).length),
    "cidr.masked(): cidr": (args) => cidr(args).masked(),
    "cidr.containsIP(ip): bool": (args) => cidr(args).contains(args.of(1, Ip)),
    "cidr.containsIP(string): bool": (args, meter) =>
      cidr(args).contains(Ip.read(paid(args, meter, 1))),
    "cidr.containsCIDR(cidr): bool": (args) => containsCidr(cidr(args), args.of(1, Cidr)),
    "cidr.containsCIDR(string): bool": (args, meter) =>
      containsCidr(cidr(args), Cidr.read(paid(args, meter, 1))),
  };
}
