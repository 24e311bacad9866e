/** What the operator demands of a worker's own TEE, as sealed, and who judges it. */
import type { Logger } from "@logtape/logtape";
import type { WorkerAppraiser } from "../api/worker_evidence.ts";
import { ConfigError } from "../config.ts";
import { readPolicies, type SealedPolicy } from "./node/policies.ts";
import type { SealedConfig } from "./node/sealed_config.ts";

/**
 * The policy's text, to be sealed; null where there is none.
 * @throws {ConfigError} naming the file: unreadable or unusable
 */
export async function readWorkerPolicy(path: string | undefined): Promise<SealedPolicy | null> {
  if (path === undefined) return null;
  const [policy] = await readPolicies([path], "--worker-policy");
  return policy ?? null;
}

/**
 * Who appraises workers; undefined where the operator demands nothing.
 * @throws {ConfigError} where the demand and bearer tokens, which prove nothing, are wanted at once
 */
export async function openWorkerAppraiser(
  { workerPolicy, legacyBearerTokens, workerEvidenceMaxAgeSeconds }: Pick<
    SealedConfig,
    "workerPolicy" | "legacyBearerTokens" | "workerEvidenceMaxAgeSeconds"
  >,
  log: Logger,
  clock: () => number,
): Promise<WorkerAppraiser | undefined> {
  if (workerPolicy === null) return undefined;
  if (legacyBearerTokens) {
    throw new ConfigError(
      "--worker-policy and --legacy-bearer-tokens contradict each other: a bare id carries no evidence",
    );
  }
  const [{ parsePolicy }, { lintPolicy }, verification, signatures, { createWorkerAppraiser }] =
    await Promise.all([
      import("../backends/policy/mod.ts"),
      import("../backends/policy/lint.ts"),
      import("../backends/verification.ts"),
      import("../backends/signatures.ts"),
      import("../api/worker_appraiser.ts"),
    ]);
  const policy = parsePolicy(workerPolicy.text);
  for (const { level, field, text } of lintPolicy(policy)) {
    // What a node's own statement says is no matter of workers.
    if (level === "note" || field.startsWith("node.")) continue;
    log.warn("the worker policy leaves something open: {field}: {text}", { field, text });
  }
  const evidence = verification.createEvidenceVerifier({
    signatures: signatures.createWebCryptoVerifier(),
  });
  const maxAgeMs = workerEvidenceMaxAgeSeconds * 1000;
  return createWorkerAppraiser({ policy, evidence, maxAgeMs, clock });
}
