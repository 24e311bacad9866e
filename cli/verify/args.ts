/** The command line of `nautilus verify`: some flags take several files, up to the next flag. */
import type { Bytes, TeeType } from "../../backends/mod.ts";
import { nearest } from "../../config.ts";
import { UsageError } from "../command.ts";

export interface VerifyArgs {
  readonly tee: TeeType | "auto";
  readonly files: readonly string[];
  /** The node to ask, instead of files. */
  readonly url: URL | undefined;
  readonly endorsements: readonly string[];
  /** Files or folders. */
  readonly collateral: readonly string[];
  readonly policy: string;
  readonly nonce: Bytes | undefined;
  readonly reportData: Bytes | undefined;
  /** Milliseconds since the epoch; undefined: now. */
  readonly at: number | undefined;
  readonly json: boolean;
  readonly insecureTransport: boolean;
}

const TEES: Readonly<Record<string, TeeType | "auto">> = {
  auto: "auto",
  sgx: "SGX",
  sev: "SEV",
  "sev-snp": "SEV",
  snp: "SEV",
  tdx: "TDX",
  nitro: "NITRO",
  trustzone: "TrustZone",
  "op-tee": "TrustZone",
  optee: "TrustZone",
  simulation: "SIMULATION",
};

const MANY = ["endorsements", "collateral"];
const ONE = ["tee", "policy", "nonce", "report-data", "at", "from", "out"];
const SWITCHES = ["json", "insecure-transport", "accept-lost-anchor"];

/** Flags and their values; shared with `nautilus policy`. */
export interface RawArgs {
  readonly positionals: readonly string[];
  readonly one: ReadonlyMap<string, string>;
  readonly many: ReadonlyMap<string, readonly string[]>;
  readonly switches: ReadonlySet<string>;
}

/** @throws {UsageError} naming the flag */
export function rawArgs(args: readonly string[], allowed: readonly string[]): RawArgs {
  const positionals: string[] = [];
  const one = new Map<string, string>();
  const many = new Map<string, string[]>();
  const switches = new Set<string>();
  let collecting: string[] | undefined;
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? "";
    if (arg === "--") {
      positionals.push(...args.slice(i + 1));
      break;
    }
    if (!arg.startsWith("-") || arg === "-") {
      (collecting ?? positionals).push(arg);
      continue;
    }
    const [, name = "", inline] = /^--([a-z-]+)(?:=(.*))?$/s.exec(arg) ?? [];
    if (!allowed.includes(name)) {
      const guess = nearest(name === "" ? arg : name, [...allowed]);
      throw new UsageError(
        `unknown flag ${arg}${guess === undefined ? "" : `; did you mean --${guess}?`}`,
      );
    }
    collecting = undefined;
    if (SWITCHES.includes(name)) {
      if (inline !== undefined) throw new UsageError(`--${name} takes no value`);
      switches.add(name);
    } else if (MANY.includes(name)) {
      const list = many.get(name) ?? [];
      many.set(name, list);
      if (inline === undefined) collecting = list;
      else list.push(inline);
    } else {
      const value = inline ?? args[++i];
      if (value === undefined || value === "") throw new UsageError(`--${name} wants a value`);
      if (one.has(name)) throw new UsageError(`--${name} is given twice`);
      one.set(name, value);
    }
  }
  for (const [name, list] of many) {
    if (list.length === 0) throw new UsageError(`--${name} wants a file`);
  }
  return { positionals, one, many, switches };
}

/** @throws {UsageError} naming the flag and what would be valid */
export function parseVerifyArgs(args: readonly string[]): VerifyArgs {
  const raw = rawArgs(args, [
    ...MANY,
    ...ONE.filter((name) => !["from", "out"].includes(name)),
    ...SWITCHES.filter((name) => name !== "accept-lost-anchor"),
  ]);
  const policy = raw.one.get("policy");
  if (policy === undefined) {
    throw new UsageError(
      "--policy is missing: nothing is affirmed without one (`nautilus policy init` makes one)",
    );
  }
  const name = (raw.one.get("tee") ?? "auto").toLowerCase();
  const tee = TEES[name];
  if (tee === undefined) {
    throw new UsageError(`--tee "${name}" is unknown; one of ${Object.keys(TEES).join(", ")}`);
  }
  const [first] = raw.positionals;
  const url = first !== undefined && /^https?:\/\//i.test(first) ? nodeUrl(first) : undefined;
  if (raw.positionals.length === 0) {
    throw new UsageError("a FILE with evidence, or the URL of a node, is missing");
  }
  if (url !== undefined && raw.positionals.length > 1) {
    throw new UsageError("one URL, and no files beside it");
  }
  const nonce = hexFlag(raw, "nonce", 1, 512);
  const reportData = hexFlag(raw, "report-data", 64, 64);
  if (nonce !== undefined && reportData !== undefined) {
    throw new UsageError("either --nonce or --report-data");
  }
  if (url !== undefined && (nonce !== undefined || reportData !== undefined || raw.one.has("at"))) {
    throw new UsageError(
      "a node is asked with a fresh nonce and judged by the clock: no --nonce, --report-data or --at",
    );
  }
  return {
    tee,
    files: url === undefined ? raw.positionals : [],
    url,
    endorsements: raw.many.get("endorsements") ?? [],
    collateral: raw.many.get("collateral") ?? [],
    policy,
    nonce,
    reportData,
    at: timeFlag(raw.one.get("at")),
    json: raw.switches.has("json"),
    insecureTransport: raw.switches.has("insecure-transport"),
  };
}

function nodeUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new UsageError(`"${text}" is no URL`);
  }
  if (url.username !== "" || url.search !== "" || url.hash !== "" || url.pathname !== "/") {
    throw new UsageError("the node's URL is https://HOST:PORT and no more");
  }
  return url;
}

function hexFlag(raw: RawArgs, name: string, min: number, max: number): Bytes | undefined {
  const text = raw.one.get(name);
  if (text === undefined) return undefined;
  const length = text.length / 2;
  if (!/^(?:[0-9a-fA-F]{2})+$/.test(text) || length < min || length > max) {
    const wanted = min === max ? `${min} bytes` : `${min} to ${max} bytes`;
    throw new UsageError(`--${name} must be hex of ${wanted}, not "${text.slice(0, 32)}"`);
  }
  return Uint8Array.fromHex(text.toLowerCase());
}

function timeFlag(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const shape = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2})$/;
  const time = shape.test(text) ? Date.parse(text) : NaN;
  if (Number.isNaN(time)) {
    throw new UsageError(`--at must be RFC 3339, such as 2026-01-31T12:00:00Z, not "${text}"`);
  }
  return time;
}
