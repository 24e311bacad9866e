/**
 * Flags, environment and file become one strict, frozen Config. Every refusal names the field,
 * where the value came from, the value, and what would be valid.
 */
import { parse as parseJsonc } from "@std/jsonc";
import { repeatedKey } from "./backends/policy/jsonc_keys.ts";
import { type Setting, SETTINGS } from "./config_settings.ts";
import type { GrantSetting, ListenAddress, Retention, TeePluginSetting } from "./config_values.ts";

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
  /** In the place of every built-in backend. */
  readonly teePlugin: TeePluginSetting | undefined;
  readonly teePluginConfig: string | undefined;
  /** P-256, SubjectPublicKeyInfo in base64. */
  readonly teeKey: string | undefined;
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
  /** 0: no quota. */
  readonly etcdQuotaBackendBytes: number;
  readonly etcdAutoCompactionMode: "periodic" | "revision";
  readonly etcdAutoCompactionRetention: Retention;
  /** A file on another medium that tells a store put back by accident. */
  readonly anchorFile: string | undefined;
  readonly nodeId: string;
  /** 0x + 64 hex, the original package id. */
  readonly contractAddress: string | undefined;
  readonly suiEndpoints: readonly string[];
  readonly suiRegistry: string | undefined;
  /** 32 hex digits. */
  readonly clusterId: string | undefined;
  /** Base58; undefined: the chain of the first answer. */
  readonly suiChainId: string | undefined;
  /** 0x + 64 hex; undefined: results are not written back. */
  readonly suiMasterCap: string | undefined;
  readonly suiGasBudgetMist: bigint;
  readonly maxChainAgeSeconds: number;
  readonly acceptZkLogin: boolean;
  readonly minimumStakeMist: bigint;
  /** Files; what stands in them is sealed. */
  readonly policies: readonly string[];
  /** A file; what stands in it is sealed. Undefined: no evidence is asked of workers. */
  readonly workerPolicy: string | undefined;
  readonly workerEvidenceMaxAgeSeconds: number;
  readonly legacyBearerTokens: boolean;
  /** Base64 SPKI of an Ed25519 key; undefined: none was given. */
  readonly adminKey: string | undefined;
  readonly grants: readonly GrantSetting[];
  readonly sealPolicy: SealPolicySetting;
  /** Origin of the OTLP collector that the environment may name. */
  readonly telemetryEndpoint: string | undefined;
  /** Origin of the kube-apiserver that Kubernetes paths are proxied to. */
  readonly k8sApiEndpoint: string | undefined;
  /** PEM. */
  readonly k8sApiCa: string | undefined;
  /** A file; what stands in it is sealed. */
  readonly k8sApiCredential: string | undefined;
  /** Origin of the K3s server that workers join; undefined: no join tokens are made. */
  readonly k3sServerUrl: string | undefined;
  /** Public key files; fingerprints are sealed. */
  readonly recoveryKey: readonly string[];
  /** The operator's word that the store may be lost with its TEE. */
  readonly noRecovery: boolean;
  /** Lets a store open whose anchor is gone; the simulation only, elsewhere the recovery key says so. */
  readonly acceptLostAnchor: boolean;
  readonly logLevel: LogLevel;
  readonly heartbeatTimeoutSeconds: number;
  readonly removeLostAfterSeconds: number;
  /** The fields that somebody set; the others are defaults. */
  readonly given: ReadonlySet<keyof Config>;
}

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
  const twice = repeatedKey(file.text);
  if (twice !== undefined) throw new ConfigError(`${file.path}: field ${twice} stands twice`);
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
    if (field in fromFile && fromFile[field] !== value && setting.mayBeFile !== true) {
      checked(setting, fromFile[field], `${sources.file?.path}: ${field}`);
    }
    const content = setting.mayBeFile ? () => contentOf(sources, value) : undefined;
    values[field] = checked(setting, value, origin, content);
  }
  if (values["noRecovery"] === true && given.has("recoveryKey")) {
    throw new ConfigError("--recovery-key and --no-recovery contradict each other: give one");
  }
  const config: Config = Object.freeze({ ...defaults(sources), ...values, given });
  if (config.teePlugin !== undefined && config.teeMode === "simulation") {
    throw new ConfigError("--tee-plugin and --tee-mode simulation contradict each other: give one");
  }
  if (config.teeKey !== undefined && config.teeMode === "simulation") {
    throw new ConfigError("--tee-key is for TrustZone, and --tee-mode is simulation");
  }
  if (config.teePlugin === undefined && config.teePluginConfig !== undefined) {
    throw new ConfigError("--tee-plugin-config is for a plugin: --tee-plugin is not set");
  }
  if (
    config.etcdAutoCompactionMode === "revision" &&
    config.etcdAutoCompactionRetention.kind === "duration"
  ) {
    throw new ConfigError(
      "--etcd-auto-compaction-mode=revision keeps a number of revisions: " +
        "--etcd-auto-compaction-retention is a duration",
    );
  }
  return config;
}

/**
 * @param content what is parsed in place of a value that names a file
 * @throws {ConfigError} naming where the value stands, the value, and what would be valid
 */
function checked(
  setting: Setting<unknown>,
  value: unknown,
  origin: string,
  content: () => unknown = () => value,
): unknown {
  try {
    return setting.parse(content());
  } catch (cause) {
    const shown = typeof value === "string" ? `"${value}"` : JSON.stringify(value);
    throw new ConfigError(`${origin}: ${shown}: ${(cause as Error).message}`, { cause });
  }
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
    teePlugin: undefined,
    teePluginConfig: undefined,
    teeKey: undefined,
    dataDir,
    runtimeDir: undefined,
    listen: { host: "127.0.0.1", port: 8080 },
    tlsListen: { host: "127.0.0.1", port: 6443 },
    tlsNames: [],
    etcdListen: undefined,
    etcdCertFile: undefined,
    etcdKeyFile: undefined,
    etcdClientCaFile: undefined,
    etcdQuotaBackendBytes: 2 * 1024 ** 3,
    etcdAutoCompactionMode: "periodic",
    etcdAutoCompactionRetention: { kind: "count", count: 0 },
    anchorFile: undefined,
    nodeId: safeName.replace(/[^a-z0-9]+$/, "") || "nautilus",
    contractAddress: undefined,
    suiEndpoints: [],
    suiRegistry: undefined,
    clusterId: undefined,
    suiChainId: undefined,
    suiMasterCap: undefined,
    suiGasBudgetMist: 10_000_000n,
    maxChainAgeSeconds: 60,
    acceptZkLogin: false,
    minimumStakeMist: 1_000_000_000n,
    policies: [],
    workerPolicy: undefined,
    workerEvidenceMaxAgeSeconds: 86_400,
    legacyBearerTokens: false,
    adminKey: undefined,
    grants: [],
    telemetryEndpoint: undefined,
    k8sApiEndpoint: undefined,
    k8sApiCa: undefined,
    k8sApiCredential: undefined,
    k3sServerUrl: undefined,
    sealPolicy: "default",
    recoveryKey: [],
    noRecovery: false,
    acceptLostAnchor: false,
    logLevel: "info",
    heartbeatTimeoutSeconds: 90,
    removeLostAfterSeconds: 3_600,
    given: new Set(),
  };
}
