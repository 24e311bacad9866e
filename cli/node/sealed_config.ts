/**
 * What the host must not choose: sealed at first boot, digest in the evidence. Afterwards a value
 * that differs is refused, naming both. The simulation, which protects nothing, takes what it is
 * given at every start; its digest follows.
 */
import canonicalize from "canonicalize";
import * as v from "valibot";
import type { Bytes } from "../../backends/mod.ts";
import { type Config, ConfigError, flagName } from "../../config.ts";
import { formatTeePlugin } from "../../config_values.ts";
import { type Store, StoreError } from "../../store/mod.ts";
import { sealedUpstream } from "./k8s_credential.ts";
import { readPolicies } from "../policies.ts";
import { readWorkerPolicy } from "../worker_policy.ts";
import { reconcileRecoveryKeys } from "../recovery_keys.ts";

const SCHEMA = v.strictObject({
  v: v.literal(1),
  contractAddress: v.nullable(v.string()),
  suiEndpoints: v.array(v.string()),
  suiRegistry: v.nullable(v.string()),
  clusterId: v.nullable(v.string()),
  suiChainId: v.optional(v.nullable(v.string()), null),
  suiMasterCap: v.optional(v.nullable(v.string()), null),
  suiGasBudgetMist: v.optional(v.string(), "10000000"),
  maxChainAgeSeconds: v.optional(v.number(), 60),
  acceptZkLogin: v.optional(v.boolean(), false),
  minimumStakeMist: v.string(),
  legacyBearerTokens: v.boolean(),
  adminKey: v.optional(v.nullable(v.string()), null),
  teePlugin: v.optional(v.nullable(v.string()), null),
  teePluginConfig: v.optional(v.nullable(v.string()), null),
  teeKey: v.optional(v.nullable(v.string()), null),
  telemetryEndpoint: v.optional(v.nullable(v.string()), null),
  k8sApiEndpoint: v.optional(v.nullable(v.string()), null),
  k8sApiCa: v.optional(v.nullable(v.string()), null),
  /** A fingerprint; the credential itself is kept beside. */
  k8sApiCredential: v.optional(v.nullable(v.string()), null),
  k3sServerUrl: v.optional(v.nullable(v.string()), null),
  /** Fingerprints; the keys themselves stand in the key ring. */
  recoveryKey: v.optional(v.array(v.string()), []),
  policies: v.array(v.strictObject({ id: v.string(), text: v.string() })),
  workerPolicy: v.optional(v.nullable(v.strictObject({ id: v.string(), text: v.string() })), null),
  grants: v.array(v.strictObject({
    address: v.string(),
    namespaces: v.array(v.string()),
    verbs: v.array(v.string()),
    resources: v.array(v.string()),
  })),
});

export type SealedConfig = v.InferOutput<typeof SCHEMA>;

const KEY = new TextEncoder().encode("/nautilus/config");

/** The part of the configuration that is sealed. Recovery keys are what the key ring has. */
export async function sealedPart(
  config: Config,
  recoveryKey: readonly string[],
): Promise<SealedConfig> {
  return {
    v: 1,
    contractAddress: config.contractAddress ?? null,
    suiEndpoints: [...config.suiEndpoints],
    suiRegistry: config.suiRegistry ?? null,
    clusterId: config.clusterId ?? null,
    suiChainId: config.suiChainId ?? null,
    suiMasterCap: config.suiMasterCap ?? null,
    suiGasBudgetMist: config.suiGasBudgetMist.toString(),
    maxChainAgeSeconds: config.maxChainAgeSeconds,
    acceptZkLogin: config.acceptZkLogin,
    minimumStakeMist: config.minimumStakeMist.toString(),
    legacyBearerTokens: config.legacyBearerTokens,
    adminKey: config.adminKey ?? null,
    ...teePart(config),
    telemetryEndpoint: config.telemetryEndpoint ?? null,
    ...await sealedUpstream(config),
    k3sServerUrl: config.k3sServerUrl ?? null,
    recoveryKey: [...recoveryKey],
    policies: [...await readPolicies(config.policies)],
    workerPolicy: await readWorkerPolicy(config.workerPolicy),
    grants: config.grants.map((grant) => ({
      address: grant.address,
      namespaces: [...grant.namespaces],
      verbs: [...grant.verbs],
      resources: [...grant.resources],
    })),
  };
}

/** SHA-256 of the sealed configuration as RFC 8785 JSON. */
export async function configDigest(sealed: SealedConfig): Promise<Bytes> {
  const bytes = new TextEncoder().encode(canonical(sealed));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

function canonical(value: unknown): string {
  const text = canonicalize(value);
  if (text === undefined) throw new TypeError("a value without a JSON form");
  return text;
}

/**
 * The configuration in force.
 * @param mutable `true` in the simulation only.
 * @throws {ConfigError} when a given setting differs from the sealed one.
 */
export async function reconcileConfig(
  store: Store,
  config: Config,
  mutable: boolean,
): Promise<{ readonly sealed: SealedConfig; readonly digest: Bytes; readonly changed: boolean }> {
  const found = (await store.range("system", { key: KEY })).kvs[0];
  const current = found === undefined ? undefined : decode(found.value);
  if (current === undefined && !mutable) requireAdminKey(config);
  const recoveryKey = await reconcileRecoveryKeys(store, config, mutable || current === undefined);
  const wanted = await sealedPart(config, recoveryKey);
  if (current !== undefined && !mutable) refuseDifferences(current, wanted, config.given);
  const sealed = mutable || current === undefined ? wanted : { ...current, recoveryKey };
  const changed = current === undefined || canonical(current) !== canonical(sealed);
  if (changed) {
    await store.txn({
      compare: [],
      success: [{
        type: "put",
        keyspace: "system",
        key: KEY,
        value: new TextEncoder().encode(canonical(sealed)),
      }],
      failure: [],
    });
  }
  return { sealed, digest: await configDigest(sealed), changed };
}

/**
 * Seals another admin key in the place of the present one.
 * @returns the configuration in force from now on, and its digest
 * @throws {StoreError} where somebody else changed the configuration meanwhile
 */
export function replaceAdminKey(
  store: Store,
  adminKey: string,
): Promise<{ readonly sealed: SealedConfig; readonly digest: Bytes }> {
  return replaceFields(store, { adminKey });
}

/**
 * Seals what was said of the TEE that a store was recovered on, in the place of what was said of the
 * one that is gone: its plugin and its key. The operator has appraised its evidence.
 * @throws {StoreError} as {@link replaceAdminKey}
 */
export async function replaceTee(
  store: Store,
  config: Pick<Config, "teePlugin" | "teePluginConfig" | "teeKey">,
): Promise<void> {
  const [found] = (await store.range("system", { key: KEY })).kvs;
  // A master that ended before its first configuration was sealed has nothing to replace.
  if (found !== undefined) await replaceFields(store, teePart(config));
}

function teePart(config: Pick<Config, "teePlugin" | "teePluginConfig" | "teeKey">) {
  return {
    teePlugin: config.teePlugin === undefined ? null : formatTeePlugin(config.teePlugin),
    teePluginConfig: config.teePluginConfig ?? null,
    teeKey: config.teeKey ?? null,
  };
}

async function replaceFields(
  store: Store,
  fields: Partial<SealedConfig>,
): Promise<{ readonly sealed: SealedConfig; readonly digest: Bytes }> {
  const [found] = (await store.range("system", { key: KEY })).kvs;
  if (found === undefined) throw new StoreError("format", "there is no sealed configuration");
  const sealed: SealedConfig = { ...decode(found.value), ...fields };
  const { succeeded } = await store.txn({
    compare: [{
      keyspace: "system",
      key: KEY,
      target: "mod",
      result: "equal",
      operand: found.modRevision,
    }],
    success: [{
      type: "put",
      keyspace: "system",
      key: KEY,
      value: new TextEncoder().encode(canonical(sealed)),
    }],
    failure: [],
  });
  if (!succeeded) throw new StoreError("format", "the sealed configuration changed meanwhile");
  return { sealed, digest: await configDigest(sealed) };
}

/**
 * A master that nobody can administer is refused before it is made.
 * @throws {ConfigError}
 */
export function requireAdminKey(config: Pick<Config, "adminKey">): void {
  if (config.adminKey !== undefined) return;
  throw new ConfigError(
    "--admin-key: the first start of a production master needs the admin's public key; it is " +
      "sealed, and nobody can administer the master without it. " +
      "`nautilus admin keygen --out FILE` makes a key pair",
  );
}

function refuseDifferences(
  current: SealedConfig,
  wanted: SealedConfig,
  given: ReadonlySet<keyof Config>,
): void {
  for (const field of Object.keys(current) as (keyof SealedConfig)[]) {
    // Recovery keys were compared with the key ring itself.
    if (field === "v" || field === "recoveryKey") continue;
    // The TEE was opened by what is given now, so silence about the plugin is another one, too.
    if (!given.has(field) && field !== "teePlugin" && field !== "teePluginConfig") continue;
    const [was, is] = [canonical(current[field]), canonical(wanted[field])];
    if (was !== is) {
      throw new ConfigError(
        `--${flagName(field)}: ${shown(is)} differs from the sealed configuration, which has ${
          shown(was)
        }; ` +
          "only an authenticated admin can change it",
      );
    }
  }
}

/** Policies are whole files: their beginning tells which one it is. */
function shown(json: string): string {
  return json.length <= 200 ? json : `${json.slice(0, 200)}…`;
}

function decode(value: Uint8Array): SealedConfig {
  try {
    return v.parse(SCHEMA, JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(value)));
  } catch (cause) {
    throw new StoreError("format", "the sealed configuration cannot be read by this version", {
      cause,
      hint: "start the version of nautilus that wrote it",
    });
  }
}
