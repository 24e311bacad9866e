/** `GET /api/v1/attestation?nonce=` and `GET /api/v1/security-context`. */
import type { Hono } from "@hono/hono";
import type { ApiDeps, TeeFacts } from "../deps.ts";
import { type ApiEnv, methodNotAllowed } from "../http.ts";
import { OWN_API_PATHS } from "../k8s/own_paths.ts";
import { createTokenBucket } from "../middleware/token_bucket.ts";
import { ApiProblem } from "../problem.ts";
import { decodeNonce } from "../schemas.ts";

export function attestationRoutes(app: Hono<ApiEnv>, deps: ApiDeps): void {
  const budget = createTokenBucket(deps.limits.attestations, deps.clock);
  app.get(OWN_API_PATHS.attestation, async (c) => {
    const nonces = c.req.queries("nonce") ?? [];
    if (nonces.length > 1) {
      throw new ApiProblem(400, "invalid_nonce", `query parameter "nonce" stands twice`, {
        field: "nonce",
      });
    }
    const [text] = nonces;
    const nonce = text === undefined ? undefined : decodeNonce(text);
    const wait = budget.take();
    if (wait !== undefined) {
      throw new ApiProblem(429, "attestation_budget", "no report can be given at this moment", {
        retryAfterSeconds: wait,
      });
    }
    return c.json(await deps.attestor.attestation(nonce));
  });
  app.all(OWN_API_PATHS.attestation, methodNotAllowed("GET", "HEAD"));

  const context = securityContext(deps.tee);
  app.get(OWN_API_PATHS.securityContext, (c) => c.json(context));
  app.all(OWN_API_PATHS.securityContext, methodNotAllowed("GET", "HEAD"));
}

/** The first implementation's fields; each is true only where the hardware makes it so. */
export interface SecurityContext {
  readonly secret_sealing: boolean;
  readonly remote_attestation: boolean;
  readonly memory_encryption: boolean;
  readonly code_integrity: boolean;
  readonly tee_vendor: string;
}

/** Whose hardware it is; memory encryption as the TEE itself promises it to its guest. */
const VENDORS: Readonly<Record<TeeFacts["kind"], { vendor: string; encryptsMemory: boolean }>> = {
  SGX: { vendor: "Intel", encryptsMemory: true },
  TDX: { vendor: "Intel", encryptsMemory: true },
  SEV: { vendor: "AMD", encryptsMemory: true },
  TrustZone: { vendor: "Arm", encryptsMemory: false },
  // Isolated by the hypervisor; encryption is not part of what the evidence says.
  NITRO: { vendor: "AWS", encryptsMemory: false },
  SIMULATION: { vendor: "none (simulation)", encryptsMemory: false },
};

/** What the backend's facts come to. A simulation seals and attests with files: that counts for nothing. */
export function securityContext(tee: TeeFacts): SecurityContext {
  const real = tee.kind !== "SIMULATION";
  const { vendor, encryptsMemory } = VENDORS[tee.kind];
  return {
    secret_sealing: real && tee.sealPolicies !== undefined && tee.sealPolicies.length > 0,
    remote_attestation: real && tee.attests,
    // With a helper only the keys are inside; this program's memory is not.
    memory_encryption: encryptsMemory && (tee.covers === "program" || tee.covers === "image"),
    code_integrity: tee.covers === "program" || tee.covers === "image",
    tee_vendor: vendor,
  };
}
