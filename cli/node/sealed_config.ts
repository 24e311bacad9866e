/**
 * What the host must not choose: sealed at first boot, digest in the evidence. Its form in the
 * store: RFC 8785 JSON.
 */
import canonicalize from "canonicalize";
import * as v from "valibot";
import type { Bytes } from "../../backends/mod.ts";
import type { Config } from "../../config.ts";
import { formatTeePlugin } from "../../config_values.ts";
import { StoreError } from "../../store/mod.ts";
import { readPolicies } from "./policies.ts";
import { readWorkerPolicy } from "../worker_policy.ts";
import { sealedUpstream } from "./k8s_credential.ts";

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
  workerEvidenceMaxAgeSeconds: v.optional(v.number(), 86_400),
  grants: v.array(v.strictObject({
    address: v.string(),
    namespaces: v.array(v.string()),
    verbs: v.array(v.string()),
    resources: v.array(v.string()),
  })),
});

export type SealedConfig = v.InferOutput<typeof SCHEMA>;

/** Where it rests, in the `system` keyspace. */
export const SEALED_CONFIG_KEY = new TextEncoder().encode("/nautilus/config");

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
    workerEvidenceMaxAgeSeconds: config.workerEvidenceMaxAgeSeconds,
    grants: config.grants.map((grant) => ({
      address: grant.address,
      namespaces: [...grant.namespaces],
      verbs: [...grant.verbs],
      resources: [...grant.resources],
    })),
  };
}

/** What is sealed of the TEE itself. */
export function teePart(
  config: Pick<Config, "teePlugin" | "teePluginConfig" | "teeKey">,
): Pick<SealedConfig, "teePlugin" | "teePluginConfig" | "teeKey"> {
  return {
    teePlugin: config.teePlugin === undefined ? null : formatTeePlugin(config.teePlugin),
    teePluginConfig: config.teePluginConfig ?? null,
    teeKey: config.teeKey ?? null,
  };
}

/** The sealed form. */
export function encodeSealed(sealed: SealedConfig): Bytes {
  return new TextEncoder().encode(canonical(sealed));
}

/** @throws {StoreError} `format` for what this version does not know */
export function decodeSealed(value: Uint8Array): SealedConfig {
  try {
    return v.parse(SCHEMA, JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(value)));
  } catch (cause) {
    throw new StoreError("format", "the sealed configuration cannot be read by this version", {
      cause,
      hint: "start the version of nautilus that wrote it",
    });
  }
}

/** SHA-256 of the sealed configuration as RFC 8785 JSON. */
export async function configDigest(sealed: SealedConfig): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", encodeSealed(sealed)));
}

/** RFC 8785: equal values have equal texts. */
export function canonical(value: unknown): string {
  const text = canonicalize(value);
  if (text === undefined) throw new TypeError("a value without a JSON form");
  return text;
}
