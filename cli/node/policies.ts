/** The operator's appraisal policies, as sealed, behind `POST /api/v1/verify`. */
import type { Policy } from "../../backends/policy/mod.ts";
import type { VerifyServiceDeps } from "../../backends/verify_request.ts";
import { ConfigError } from "../../config.ts";
import { readBoundedText } from "../files/bounded_read.ts";
import { fileReason } from "../files/reason.ts";
import { VERSION } from "../../version.ts";

const MAX_POLICY_BYTES = 1 << 20;

/** A policy's text, as it was when the configuration was sealed. */
export interface SealedPolicy {
  readonly id: string;
  readonly text: string;
}

/**
 * Reads and checks the policies that the configuration names.
 * @throws {ConfigError} naming the file: unreadable, unusable, or an id that stands twice
 */
export async function readPolicies(
  paths: readonly string[],
  flag = "--policies",
): Promise<readonly SealedPolicy[]> {
  if (paths.length === 0) return [];
  const { parsePolicy } = await import("../../backends/policy/mod.ts");
  const policies: SealedPolicy[] = [];
  for (const path of paths) {
    let text: string;
    let policy: Policy;
    try {
      text = await readBoundedText(path, MAX_POLICY_BYTES);
      policy = parsePolicy(text);
    } catch (cause) {
      throw new ConfigError(`${flag}: ${path}: ${fileReason(cause)}`, { cause });
    }
    if (policies.some(({ id }) => id === policy.id)) {
      throw new ConfigError(`${flag}: ${path}: another policy has the id "${policy.id}" too`);
    }
    policies.push({ id: policy.id, text });
  }
  return policies;
}

/** The service over the sealed policies; undefined where there are none. */
export async function openVerifier(
  sealed: readonly SealedPolicy[],
  clock: () => number,
): Promise<VerifyServiceDeps | undefined> {
  if (sealed.length === 0) return undefined;
  const [{ parsePolicy }, { createEvidenceVerifier }, { loadLibcryptoVerifier }, signatures] =
    await Promise.all([
      import("../../backends/policy/mod.ts"),
      import("../../backends/verification.ts"),
      import("../../backends/ffi/libcrypto_verify.ts"),
      import("../../backends/signatures.ts"),
    ]);
  const fast = loadLibcryptoVerifier();
  const verifier = fast.loaded ? fast.verifier : signatures.createWebCryptoVerifier();
  return {
    policies: new Map(sealed.map(({ id, text }) => [id, parsePolicy(text)])),
    evidence: createEvidenceVerifier({ signatures: verifier }),
    signatures: verifier,
    clock,
    verifierName: `nautilus ${VERSION}`,
  };
}
