/**
 * Flags, environment and file become one strict, frozen Config. Every refusal names the field,
 * where the value came from, the value, and what would be valid.
 */
import { parse as parseJsonc } from "@std/jsonc";
import { parseAdminKey } from "./api/admin/public_key.ts";
import {
  boolean,
  choice,
  grants,
  type GrantSetting,
  hex,
  integer,
  type ListenAddress,
  mist,
  names,
  nodeId,
  optionalListen,
  parseListen,
  paths,
  text,
  urls,
} from "./config_values.ts";

/** A setting that cannot be used. Exit code 2. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly code = "config_invalid";
}

export type TeeMode = "simulation" | "production" | "auto";
export type LogLevel = "debug" | "info" | "warn" | "error";
export type SealPolicySetting = "measurement" | "signer" | "default";

export interface Config {
  readonly teeMode: TeeMode;
  readonly dataDir: string;
  /** `undefined`: chosen at boot from the TEE (see docs/OPERATIONS.md). */
  readonly runtimeDir: string | undefined;
  readonly listen: ListenAddress;
  readonly tlsListen: ListenAddress | undefined;
  /** Names and addresses in the TLS certificate beside localhost, the loopback and the host name. */
  readonly tlsNames: readonly string[];
  readonly etcdListen: ListenAddress | undefined;
  readonly etcdCertFile: string | undefined;
  readonly etcdKeyFile: string | undefined;
  readonly etcdClientCaFile: string | undefined;
  /** A file on another medium that tells a store put back by accident. */
  readonly anchorFile: string | undefined;
  readonly nodeId: string;
  /** 0x + 64 hex, the original package id. */
  readonly contractAddress: string | undefined;
  readonly suiEndpoints: readonly string[];
  readonly suiRegistry: string | undefined;
  /** 32 hex digits. */
  readonly clusterId: string | undefined;
  readonly minimumStakeMist: bigint;
  /** Files; what stands in them is sealed. */
  readonly policies: readonly string[];
  readonly legacyBearerTokens: boolean;
  /** Base64 SPKI of an Ed25519 key; undefined: none was given. */
  readonly adminKey: string | undefined;
  readonly grants: readonly GrantSetting[];
  readonly sealPolicy: SealPolicySetting;
  /** Public key files; fingerprints are sealed. */
  readonly recoveryKey: readonly string[];
  /** The operator's word that the store may be lost with its TEE. */
  readonly noRecovery: boolean;
  readonly logLevel: LogLevel;
  readonly heartbeatTimeoutSeconds: number;
  /** The fields that somebody set; the others are defaults. */
  readonly given: ReadonlySet<keyof Config>;
}

/** One setting: its names in the three places, how text becomes a value, and what to say of it. */
export interface Setting<T> {
  /** Name in the configuration file; the flag is its kebab-case. */
  readonly field: keyof Config;
  readonly env: string | undefined;
  readonly isSwitch?: boolean;
  /** `@PATH` in the place of the value: it stands in that file. */
  readonly mayBeFile?: boolean;
  readonly help: string;
  /** @throws {Error} whose message says what would be valid. */
  parse(value: unknown): T;
}

/** Every setting, in the order of `--help`. */
export const SETTINGS: readonly Setting<unknown>[] = [
  {
    field: "teeMode",
    env: "TEE_MODE",
    help: "simulation | production | auto (default: auto, which takes what hardware there is)",
    parse: choice("simulation", "production", "auto"),
  },
  {
    field: "dataDir",
    env: "NAUTILUS_DATA_DIR",
    help: "where the sealed store rests (default: /var/lib/nautilus as root)",
    parse: text,
  },
  {
    field: "runtimeDir",
    env: "NAUTILUS_RUNTIME_DIR",
    help: "sockets and endpoints.json, 0700 (default: /run/nautilus as root; simulation: DATA/run)",
    parse: text,
  },
  {
    field: "listen",
    env: "NAUTILUS_LISTEN",
    help: "plain HTTP (default: 127.0.0.1:8080; port 0: any)",
    parse: parseListen,
  },
  {
    field: "tlsListen",
    env: "NAUTILUS_TLS_LISTEN",
    help: "HTTPS (default: 127.0.0.1:6443; off: none)",
    parse: optionalListen,
  },
  {
    field: "tlsNames",
    env: "NAUTILUS_TLS_NAMES",
    help: "more names and addresses for the TLS certificate, separated by commas",
    parse: names,
  },
  {
    field: "etcdListen",
    env: "NAUTILUS_ETCD_LISTEN",
    help: "etcd v3 listener, or off (default: off)",
    parse: optionalListen,
  },
  {
    field: "etcdCertFile",
    env: "NAUTILUS_ETCD_CERT_FILE",
    help: "PEM certificate of the etcd listener (default: of the master's own CA)",
    parse: text,
  },
  {
    field: "etcdKeyFile",
    env: "NAUTILUS_ETCD_KEY_FILE",
    help: "its PEM key",
    parse: text,
  },
  {
    field: "etcdClientCaFile",
    env: "NAUTILUS_ETCD_CLIENT_CA_FILE",
    help: "PEM of the CA whose clients may connect",
    parse: text,
  },
  {
    field: "anchorFile",
    env: "NAUTILUS_ANCHOR_FILE",
    help: "a file on another medium that notices an older store put back by accident",
    parse: text,
  },
  {
    field: "nodeId",
    env: "NAUTILUS_NODE_ID",
    help: "name of this master in logs (default: the host name)",
    parse: nodeId,
  },
  {
    field: "contractAddress",
    env: "CONTRACT_ADDRESS",
    help: "package id of k8s_gateway on Sui, 0x and 64 hex digits",
    parse: hex(32, "0x"),
  },
  {
    field: "suiEndpoints",
    env: "SUI_RPC_ENDPOINT",
    help: "gRPC endpoint of a Sui full node (URL; several: separated by commas)",
    parse: urls,
  },
  {
    field: "suiRegistry",
    env: "NAUTILUS_SUI_REGISTRY",
    help: "object id of the shared WorkerRegistry, 0x and 64 hex digits",
    parse: hex(32, "0x"),
  },
  {
    field: "clusterId",
    env: "NAUTILUS_CLUSTER_ID",
    help: "32 hex digits; tokens of another cluster are refused (default: the registry's own)",
    parse: hex(16, ""),
  },
  {
    field: "minimumStakeMist",
    env: "NAUTILUS_MIN_STAKE_MIST",
    help: "least stake that admits a worker, in MIST (default: 1000000000, 1 SUI)",
    parse: mist,
  },
  {
    field: "policies",
    env: "NAUTILUS_POLICIES",
    help: "appraisal policies of POST /api/v1/verify (files, separated by commas; sealed)",
    parse: paths,
  },
  {
    field: "legacyBearerTokens",
    env: "NAUTILUS_LEGACY_BEARER_TOKENS",
    isSwitch: true,
    help: "accept the bare string seal_0x… (ids are public: anybody can present one)",
    parse: boolean,
  },
  {
    field: "adminKey",
    env: "NAUTILUS_ADMIN_KEY",
    mayBeFile: true,
    help: "the admin's Ed25519 public key: base64 SPKI, PEM, ssh-ed25519 line, or @FILE (sealed)",
    parse: parseAdminKey,
  },
  {
    field: "grants",
    env: undefined,
    help: "what chain addresses may do (configuration file only)",
    parse: grants,
  },
  {
    field: "sealPolicy",
    env: "NAUTILUS_SEAL_POLICY",
    help: "measurement | signer | default (measurement; the simulation: signer)",
    parse: choice("measurement", "signer", "default"),
  },
  {
    field: "recoveryKey",
    env: "NAUTILUS_RECOVERY_KEYS",
    help: "public keys of `key recovery-init` that bring the store back elsewhere (files, commas)",
    parse: paths,
  },
  {
    field: "noRecovery",
    env: "NAUTILUS_NO_RECOVERY",
    isSwitch: true,
    help: "make a production store that is lost with its TEE",
    parse: boolean,
  },
  {
    field: "logLevel",
    env: "LOG_LEVEL",
    help: "debug | info | warn | error (default: info)",
    parse: choice("debug", "info", "warn", "error"),
  },
  {
    field: "heartbeatTimeoutSeconds",
    env: "NAUTILUS_HEARTBEAT_TIMEOUT_SECONDS",
    help: "a worker silent for longer is lost (default: 90)",
    parse: integer(1, 86_400, "seconds"),
  },
];

/** Variables that the launcher and the tests use; they configure nothing. */
const INTERNAL_VARIABLES = /^NAUTILUS_(INTERNAL_|TEST_|NIGHTLY$|FORM$|CONFIG$)/;

/** Where configuration comes from; injected so that tests own it. */
export interface ConfigSources {
  /** Flags by file field name. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string>>;
  /** Text of the `--config` file and its path for messages. */
  readonly file?: { readonly path: string; readonly text: string } | undefined;
  readonly isRoot: boolean;
  readonly hostName: string;
  /** Text of a file that a setting names with `@`. @throws what the system says */
  readonly readFile?: (path: string) => string;
}

/** `--data-dir` for `dataDir`. */
export function flagName(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** The nearest of `names` within two edits, for "did you mean". */
export function nearest(name: string, names: readonly string[]): string | undefined {
  const scored = names.map((candidate) => ({ candidate, distance: editDistance(name, candidate) }));
  const best = scored.sort((a, b) => a.distance - b.distance)[0];
  return best !== undefined && best.distance <= Math.max(2, name.length / 4)
    ? best.candidate
    : undefined;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function unknownName(kind: string, name: string, valid: readonly string[]): ConfigError {
  const guess = nearest(name, valid);
  return new ConfigError(
    `unknown ${kind} ${name}` + (guess === undefined ? "" : `; did you mean ${guess}?`),
  );
}

function fileFields(file: NonNullable<ConfigSources["file"]>): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = parseJsonc(file.text);
  } catch (cause) {
    throw new ConfigError(`${file.path}: not JSONC: ${(cause as Error).message}`, { cause });
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new ConfigError(`${file.path}: an object is wanted`);
  }
  const fields: Record<string, unknown> = { ...parsed };
  const valid = SETTINGS.map(({ field }) => field);
  for (const name of Object.keys(fields)) {
    if (!valid.some((field) => field === name)) {
      throw unknownName(`field in ${file.path}:`, name, valid);
    }
  }
  return fields;
}

/**
 * Defaults, then the file, then the environment, then flags; the later wins.
 * @throws {ConfigError} for the first thing that is wrong.
 */
export function loadConfig(sources: ConfigSources): Config {
  const fromFile = sources.file === undefined ? {} : fileFields(sources.file);
  const knownVariables = SETTINGS.flatMap(({ env }) => env === undefined ? [] : [env]);
  for (const name of Object.keys(sources.env)) {
    if (
      name.startsWith("NAUTILUS_") && !knownVariables.includes(name) &&
      !INTERNAL_VARIABLES.test(name)
    ) {
      throw unknownName("environment variable", name, knownVariables);
    }
  }
  const values: Record<string, unknown> = {};
  const given = new Set<keyof Config>();
  for (const setting of SETTINGS) {
    const { field, env } = setting;
    const variable = env === undefined ? undefined : sources.env[env];
    const [value, origin] = field in sources.flags
      ? [sources.flags[field], `--${flagName(field)}`]
      : env !== undefined && variable !== undefined && variable !== ""
      ? [variable, `environment variable ${env}`]
      : field in fromFile
      ? [fromFile[field], `${sources.file?.path}: ${field}`]
      : [undefined, ""];
    if (value === undefined) continue;
    given.add(field);
    try {
      values[field] = setting.parse(setting.mayBeFile ? contentOf(sources, value) : value);
    } catch (cause) {
      const shown = typeof value === "string" ? `"${value}"` : JSON.stringify(value);
      throw new ConfigError(`${origin}: ${shown}: ${(cause as Error).message}`, { cause });
    }
  }
  if (values["noRecovery"] === true && given.has("recoveryKey")) {
    throw new ConfigError("--recovery-key and --no-recovery contradict each other: give one");
  }
  return Object.freeze({ ...defaults(sources), ...values, given });
}

function contentOf({ readFile }: ConfigSources, value: unknown): unknown {
  if (typeof value !== "string" || !value.startsWith("@") || readFile === undefined) return value;
  return readFile(value.slice(1));
}

function defaults({ isRoot, env, hostName }: ConfigSources): Config {
  const home = env["HOME"];
  const dataHome = env["XDG_DATA_HOME"] || (home ? `${home}/.local/share` : undefined);
  const dataDir = isRoot || dataHome === undefined ? "/var/lib/nautilus" : `${dataHome}/nautilus`;
  const safeName = hostName.toLowerCase().replace(/[^a-z0-9.-]/g, "-").replace(/^[^a-z0-9]+/, "");
  return {
    teeMode: "auto",
    dataDir,
    runtimeDir: undefined,
    listen: { host: "127.0.0.1", port: 8080 },
    tlsListen: { host: "127.0.0.1", port: 6443 },
    tlsNames: [],
    etcdListen: undefined,
    etcdCertFile: undefined,
    etcdKeyFile: undefined,
    etcdClientCaFile: undefined,
    anchorFile: undefined,
    nodeId: safeName.replace(/[^a-z0-9]+$/, "") || "nautilus",
    contractAddress: undefined,
    suiEndpoints: [],
    suiRegistry: undefined,
    clusterId: undefined,
    minimumStakeMist: 1_000_000_000n,
    policies: [],
    legacyBearerTokens: false,
    adminKey: undefined,
    grants: [],
    sealPolicy: "default",
    recoveryKey: [],
    noRecovery: false,
    logLevel: "info",
    heartbeatTimeoutSeconds: 90,
    given: new Set(),
  };
}
