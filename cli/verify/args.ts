/** The command line of `nautilus verify`. */
import type { Bytes, TeeType } from "../../backends/mod.ts";
import { parseOrigin } from "../client/origin.ts";
import { UsageError } from "../command.ts";
import { type Flags, type FlagSpec, parseFlags } from "../flags.ts";

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

const FLAGS: FlagSpec = {
  strings: ["tee", "policy", "nonce", "report-data", "at"],
  switches: ["json", "insecure-transport"],
  lists: ["endorsements", "collateral"],
};

/** @throws {UsageError} naming the flag and what would be valid */
export function parseVerifyArgs(args: readonly string[]): VerifyArgs {
  return verifyArgs(parseFlags(args, { ...FLAGS, positionals: ["FILE…"] }));
}

/** The same of flags that were parsed. @throws {UsageError} */
export function verifyArgs({ strings, switches, lists, positionals }: Flags): VerifyArgs {
  const policy = strings["policy"];
  if (policy === undefined) {
    throw new UsageError(
      "--policy is missing: nothing is affirmed without one (`nautilus policy init` makes one)",
    );
  }
  const name = (strings["tee"] ?? "auto").toLowerCase();
  const tee = TEES[name];
  if (tee === undefined) {
    throw new UsageError(`--tee "${name}" is unknown; one of ${Object.keys(TEES).join(", ")}`);
  }
  const [first] = positionals;
  const url = first !== undefined && /^https?:\/\//i.test(first) ? nodeUrl(first) : undefined;
  if (positionals.length === 0) {
    throw new UsageError("a FILE with evidence, or the URL of a node, is missing");
  }
  if (url !== undefined && positionals.length > 1) {
    throw new UsageError("one URL, and no files beside it");
  }
  const nonce = hexFlag(strings, "nonce", 1, 512);
  const reportData = hexFlag(strings, "report-data", 64, 64);
  if (nonce !== undefined && reportData !== undefined) {
    throw new UsageError("either --nonce or --report-data");
  }
  if (url !== undefined && (nonce !== undefined || reportData !== undefined || "at" in strings)) {
    throw new UsageError(
      "a node is asked with a fresh nonce and judged by the clock: no --nonce, --report-data or --at",
    );
  }
  return {
    tee,
    files: url === undefined ? positionals : [],
    url,
    endorsements: lists["endorsements"] ?? [],
    collateral: lists["collateral"] ?? [],
    policy,
    nonce,
    reportData,
    at: timeFlag(strings["at"]),
    json: switches.has("json"),
    insecureTransport: switches.has("insecure-transport"),
  };
}

function nodeUrl(text: string): URL {
  const url = parseOrigin(text);
  if (url === undefined) throw new UsageError(`"${text}": https://HOST:PORT and no more is wanted`);
  return url;
}

function hexFlag(
  strings: Flags["strings"],
  name: string,
  min: number,
  max: number,
): Bytes | undefined {
  const text = strings[name];
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
