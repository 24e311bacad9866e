/** The policy that keys are sealed under: as configured, where the TEE can honour it. */
import { BackendError, type Sealer, type SealPolicy, type TeeBackend } from "../../backends/mod.ts";
import { type Config, ConfigError } from "../../config.ts";

/** What keys are sealed with; no sealer where the TEE has no sealing key (TDX). */
export interface Sealing {
  readonly sealer: Sealer | undefined;
  readonly sealPolicy: SealPolicy;
}

/**
 * The sealer and the policy that keys are sealed under here.
 * @throws {ConfigError} where the TEE cannot honour the policy
 */
export function sealingOf(tee: TeeBackend, config: Config): Sealing {
  if (tee.sealer === undefined) {
    if (config.sealPolicy === "default") return { sealer: undefined, sealPolicy: "measurement" };
    throw new ConfigError(
      `--seal-policy: ${tee.kind} has no sealing key and cannot honour "${config.sealPolicy}"`,
    );
  }
  const sealPolicy = config.sealPolicy !== "default"
    ? config.sealPolicy
    : tee.kind === "SIMULATION"
    ? "signer"
    : "measurement";
  if (!tee.sealer.policies.includes(sealPolicy)) {
    throw new ConfigError(
      `--seal-policy: ${tee.kind} cannot honour "${sealPolicy}"; ` +
        `it can: ${tee.sealer.policies.join(", ")}`,
    );
  }
  return { sealer: tee.sealer, sealPolicy };
}

/** As {@link sealingOf}. @throws {BackendError} `policy_unsupported` where the TEE has no sealing key */
export function requireSealing(
  tee: TeeBackend,
  config: Config,
): { readonly sealer: Sealer; readonly sealPolicy: SealPolicy } {
  const { sealer, sealPolicy } = sealingOf(tee, config);
  if (sealer !== undefined) return { sealer, sealPolicy };
  throw new BackendError("policy_unsupported", `${tee.kind} has no sealing key`, {
    kind: tee.kind,
    hint: "`nautilus serve` asks the operator's recovery key for the store's key at every start " +
      "(docs/KEYS.md); nothing else opens a store here",
  });
}
