/** `POST /api/v1/admission/challenge`: the first half of a worker's proof. */
import type { Hono } from "@hono/hono";
import type { AdmissionChallenge } from "../../sui/admission.ts";
import type { ApiDeps } from "../deps.ts";
import { type ApiEnv, methodNotAllowed, readBody, requireJson } from "../http.ts";
import { OWN_API_PATHS } from "../k8s/own_paths.ts";
import { createAddressLimit } from "../middleware/address_limit.ts";
import { ApiProblem } from "../problem.ts";
import { AdmissionChallengeRequest, decodeBody } from "../schemas.ts";

export function admissionRoutes(app: Hono<ApiEnv>, deps: ApiDeps): void {
  const limit = createAddressLimit(deps.limits.challenges, deps.clock, "challenges");
  app.post(OWN_API_PATHS.admissionChallenge, async (c) => {
    limit(c);
    requireJson(c);
    const request = decodeBody(AdmissionChallengeRequest, await readBody(c, deps.limits.bodyBytes));
    if (deps.admissions === undefined) throw notConfigured();
    const { admissions } = deps;
    return c.json({
      ...challengeJson(admissions.challenge(request.node_id, request.address)),
      ...(admissions.demandsEvidence ? { worker_evidence: "required" } : {}),
    });
  });
  app.all(OWN_API_PATHS.admissionChallenge, methodNotAllowed("POST"));
}

/** Admission by proof is off. */
export function notConfigured(): ApiProblem {
  return new ApiProblem(
    503,
    "admission_not_configured",
    "admission by proof is not configured, so nobody can be admitted by it",
    {
      hint: "set CONTRACT_ADDRESS, SUI_RPC_ENDPOINT, NAUTILUS_SUI_REGISTRY and " +
        "NAUTILUS_CLUSTER_ID and start the master again",
    },
  );
}

function challengeJson(challenge: AdmissionChallenge) {
  return {
    challenge: challenge.challenge.toHex(),
    node_id: challenge.nodeId,
    address: challenge.address,
    chain_id: challenge.chainId,
    cluster_id: challenge.clusterId.toHex(),
    measurement: challenge.measurement.toHex(),
    identity_key: challenge.identityKey.toBase64(),
    tls_key: challenge.tlsKey.toBase64(),
    issued_at_ms: challenge.issuedAtMs,
    expires_at_ms: challenge.expiresAtMs,
  };
}
