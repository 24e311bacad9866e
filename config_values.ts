/** From text or JSON to the value of one setting. Every refusal says what would be valid. */
import { formatEndpoint, parseEndpoint } from "./sui/endpoint.ts";

export interface ListenAddress {
  /** IP literal or `localhost`, without brackets. */
  readonly host: string;
  /** 0: the system picks one. */
  readonly port: number;
}

/** What a chain address may do: nothing that is not listed. */
export interface GrantSetting {
  readonly address: string;
  readonly namespaces: readonly string[];
  readonly verbs: readonly string[];
  readonly resources: readonly string[];
}

/** A library behind backends/native/nautilus_tee_plugin.h, and the file that is meant. */
export interface TeePluginSetting {
  /** The tee_type that it may serve. */
  readonly kind: "SGX" | "SEV" | "TrustZone" | "TDX" | "NITRO";
  /** Of the file: 64 lower-case hex digits. */
  readonly sha256: string;
  /** Absolute. */
  readonly path: string;
}

/** `TEE_TYPE:SHA256:/ABSOLUTE/PATH`. */
export function teePlugin(value: unknown): TeePluginSetting {
  const [type, sha256 = "", ...rest] = text(value).split(":");
  const path = rest.join(":");
  const form = "TEE_TYPE:SHA256:/ABSOLUTE/PATH is wanted";
  const kinds = ["SGX", "SEV", "TrustZone", "TDX", "NITRO"] as const;
  const kind = kinds.find((candidate) => candidate === type);
  if (kind === undefined) throw new Error(`${form}; TEE_TYPE is one of ${kinds.join(", ")}`);
  if (!/^[0-9a-fA-F]{64}$/.test(sha256)) {
    throw new Error(`${form}; SHA256 is what sha256sum says of the file, 64 hex digits`);
  }
  if (!path.startsWith("/")) throw new Error(`${form}; a relative path is another file elsewhere`);
  return Object.freeze({ kind, sha256: sha256.toLowerCase(), path });
}

/** The same as text. */
export function formatTeePlugin({ kind, sha256, path }: TeePluginSetting): string {
  return `${kind}:${sha256}:${path}`;
}

/** A P-256 public key: SubjectPublicKeyInfo in base64. */
export function p256Key(value: unknown): string {
  const found = text(value);
  if (!/^MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE[A-Za-z0-9+/]{86}==$/.test(found)) {
    throw new Error("a P-256 public key is wanted: base64 of its SubjectPublicKeyInfo");
  }
  return found;
}

export function choice<T extends string>(...valid: readonly T[]): (value: unknown) => T {
  return (value) => {
    const found = valid.find((candidate) => candidate === value);
    if (found === undefined) throw new Error(`valid are: ${valid.join(", ")}`);
    return found;
  };
}

export function text(value: unknown): string {
  if (typeof value !== "string" || value === "") throw new Error("a non-empty string is wanted");
  if (/\p{Cc}/u.test(value)) throw new Error("control characters are not allowed");
  return value;
}

export function hex(bytes: number, prefix: "0x" | ""): (value: unknown) => string {
  return (value) => {
    const wanted = `${prefix}${"…"} with exactly ${bytes * 2} hex digits is wanted`;
    if (typeof value !== "string" || !value.startsWith(prefix)) throw new Error(wanted);
    const digits = value.slice(prefix.length);
    if (digits.length !== bytes * 2 || !/^[0-9a-fA-F]*$/.test(digits)) throw new Error(wanted);
    return prefix + digits.toLowerCase();
  };
}

/** `host:port`, `[v6]:port`. */
export function parseListen(value: unknown): ListenAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(String(value));
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port > 65535) {
    throw new Error("HOST:PORT is wanted, such as 127.0.0.1:8080 or [::1]:0");
  }
  return Object.freeze({ host, port });
}

export function optionalListen(value: unknown): ListenAddress | undefined {
  return value === "off" ? undefined : parseListen(value);
}

function url(value: string): string {
  const parsed = URL.canParse(value) ? new URL(value) : undefined;
  if (parsed === undefined || (parsed.protocol !== "http:" && parsed.protocol !== "https:")) {
    throw new Error("an http:// or https:// URL is wanted");
  }
  if (parsed.username !== "" || parsed.password !== "") {
    throw new Error("a URL must not carry credentials");
  }
  return parsed.href.replace(/\/$/, "");
}

/** `http[s]://host[:port]`, nothing behind it. */
export function origin(value: unknown): string {
  const found = url(text(value));
  if (new URL(found).origin !== found) {
    throw new Error("http(s)://HOST:PORT without a path is wanted");
  }
  return found;
}

/** `https://host[:port]`, nothing behind it. */
export function httpsOrigin(value: unknown): string {
  const found = url(text(value));
  if (!found.startsWith("https://") || new URL(found).origin !== found) {
    throw new Error("https://HOST:PORT without a path is wanted");
  }
  return found;
}

/** One certificate or more in PEM, and nothing else. */
export function pemCertificates(value: unknown): string {
  const pem = typeof value === "string" ? value.trim() : "";
  if (!/^(-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)+$/.test(pem)) {
    throw new Error("certificates in PEM are wanted, or @FILE that holds them");
  }
  return `${pem}\n`;
}

/** Endpoints of the chain, each in its one spelling. */
export function chainEndpoints(value: unknown): readonly string[] {
  const list = Array.isArray(value) ? value.map(text) : text(value).split(",");
  const found = list.map((item) => formatEndpoint(parseEndpoint(item.trim())));
  // The same one twice agrees with itself.
  const twice = found.find((item, i) => found.indexOf(item) !== i);
  if (twice !== undefined) throw new Error(`${twice} is named twice`);
  return Object.freeze(found);
}

export function paths(value: unknown): readonly string[] {
  const list = Array.isArray(value) ? value.map(text) : text(value).split(",");
  return Object.freeze(list.map((item) => text(item.trim())));
}

export function names(value: unknown): readonly string[] {
  const list = Array.isArray(value) ? value.map(text) : text(value).split(",");
  return Object.freeze(list.map((item) => {
    const name = item.trim().toLowerCase();
    const isAddress = name.includes(":") ? URL.canParse(`http://[${name}]`) : false;
    if (!isAddress && !/^(\*\.)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name)) {
      throw new Error("host names or IP addresses are wanted, separated by commas");
    }
    return name;
  }));
}

export function integer(
  minimum: number,
  maximum: number,
  unit: string,
): (value: unknown) => number {
  return (value) => {
    const number = typeof value === "number"
      ? value
      : /^\d+$/.test(String(value))
      ? Number(value)
      : NaN;
    if (!Number.isSafeInteger(number) || number < minimum || number > maximum) {
      throw new Error(`a whole number of ${unit} from ${minimum} to ${maximum} is wanted`);
    }
    return number;
  };
}

export function mist(value: unknown): bigint {
  const digits = typeof value === "number" && Number.isSafeInteger(value) ? String(value) : value;
  if (typeof digits !== "string" || !/^\d{1,20}$/.test(digits) || BigInt(digits) >= 1n << 64n) {
    throw new Error("a whole number of MIST below 2^64 is wanted");
  }
  return BigInt(digits);
}

/** Base58 digest of a genesis checkpoint, 32 bytes. */
export function chainId(value: unknown): string {
  if (typeof value !== "string" || !/^[1-9A-HJ-NP-Za-km-z]{32,44}$/.test(value)) {
    throw new Error("the base58 digest of the network's genesis checkpoint is wanted");
  }
  return value;
}

export function boolean(value: unknown): boolean {
  if (value === true || value === "true") return true;
  if (value === false || value === "false") return false;
  throw new Error("valid are: true, false");
}

export function nodeId(value: unknown): string {
  if (typeof value !== "string" || !/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(value)) {
    throw new Error("a DNS subdomain is wanted: lower case letters, digits, '-' and '.'");
  }
  return value;
}

const strings = (value: unknown, field: string): readonly string[] => {
  if (!Array.isArray(value) || value.length === 0) throw new Error(`${field}: a list is wanted`);
  return Object.freeze(value.map(text));
};

export function grants(value: unknown): readonly GrantSetting[] {
  if (!Array.isArray(value)) {
    throw new Error("a list of grants is wanted (configuration file only)");
  }
  return Object.freeze(value.map((item: unknown, index) => {
    if (typeof item !== "object" || item === null) {
      throw new Error(`[${index}]: an object is wanted`);
    }
    const { address, namespaces, verbs, resources, ...rest } = item as Record<string, unknown>;
    const unknown = Object.keys(rest)[0];
    if (unknown !== undefined) throw new Error(`[${index}]: unknown field "${unknown}"`);
    return Object.freeze({
      address: hex(32, "0x")(address),
      namespaces: strings(namespaces, `[${index}].namespaces`),
      verbs: strings(verbs, `[${index}].verbs`),
      resources: strings(resources, `[${index}].resources`),
    });
  }));
}

/** How much history etcd's automatic compaction keeps. */
export type Retention =
  /** Hours or revisions, as the mode has it; 0: everything. */
  | { readonly kind: "count"; readonly count: number }
  | { readonly kind: "duration"; readonly ms: number };

const DURATION_UNITS_MS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1_000,
};

/** As etcd's `--auto-compaction-retention`: a number, or a duration such as `1h30m`. */
export function retention(value: unknown): Retention {
  const written = String(value);
  if (/^\d{1,12}$/.test(written)) return { kind: "count", count: Number(written) };
  const parts = [...written.matchAll(/(\d{1,9})([hms])/g)];
  const ms = parts.reduce(
    (sum, [, number, unit]) => sum + Number(number) * (DURATION_UNITS_MS[unit ?? ""] ?? 0),
    0,
  );
  if (parts.map(([part]) => part).join("") !== written || ms === 0) {
    throw new Error("a number or a duration such as 72h or 1h30m is wanted; 0: off");
  }
  return { kind: "duration", ms };
}

/** Bytes, or `off` for no limit (0). */
export function optionalBytes(minimum: number): (value: unknown) => number {
  const bytes = integer(minimum, Number.MAX_SAFE_INTEGER, "bytes");
  return (value) => value === "off" ? 0 : bytes(value);
}
