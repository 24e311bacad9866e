/** `POST /api/v1/register-worker`, `/api/v1/nodes/heartbeat` and `/api/v1/nodes/leave`. */
import type { Hono } from "@hono/hono";
import type { Bytes } from "../../backends/mod.ts";
import {
  type BeatPurpose,
  readBeat,
  SEQUENCE_HEADER,
  SIGNATURE_HEADER,
} from "../beat_signature.ts";
import type { ApiDeps } from "../deps.ts";
import type { DirectHandler, DirectRequest } from "../direct.ts";
import {
  type ApiEnv,
  directRequest,
  methodNotAllowed,
  readBody,
  requireJson,
  requireJsonType,
} from "../http.ts";
import { OWN_API_PATHS } from "../k8s/own_paths.ts";
import { createAddressLimit } from "../middleware/address_limit.ts";
import { ApiProblem } from "../problem.ts";
import { decodeBody, HeartbeatRequest, LeaveRequest, RegisterWorkerRequest } from "../schemas.ts";
import { k3sNotConfigured } from "../k3s_join.ts";
import type { Registration } from "../workers.ts";
import { notConfigured } from "./admission.ts";

const TOKEN_HEADER = "x-seal-token";
/** A quote with Intel's collateral has some 60 KB in base64. */
const EVIDENCE_BODY_BYTES = 128 * 1024;

export function workerRoutes(app: Hono<ApiEnv>, deps: ApiDeps): void {
  const limit = createAddressLimit(deps.limits.registrations, deps.clock, "registrations");
  app.post(OWN_API_PATHS.registerWorker, async (c) => {
    limit(c);
    requireJson(c);
    const most = deps.admissions?.demandsEvidence === true
      ? EVIDENCE_BODY_BYTES
      : deps.limits.bodyBytes;
    const request = decodeBody(RegisterWorkerRequest, await readBody(c, most));
    const header = c.req.header(TOKEN_HEADER);
    if (header !== undefined && header !== request.seal_token) {
      throw new ApiProblem(400, "contradiction", "X-Seal-Token and seal_token differ", {
        field: "seal_token",
      });
    }
    if (request.k3s === true && (deps.k3s === undefined || request.proof === undefined)) {
      throw k3sNotConfigured();
    }
    const registration = await register(deps, request);
    const k3s = request.k3s === true
      ? await deps.k3s?.issue(registration.nodeId, registration.admission)
      : undefined;
    deps.log.info("worker {node_id} registered", {
      node_id: registration.nodeId,
      request_id: c.get("requestId"),
    });
    return c.json({
      status: "registered",
      node_id: registration.nodeId,
      message: registration.created
        ? "Worker node registered with Seal token"
        : "Worker node registered again with Seal token; earlier sessions have ended",
      state: registration.state,
      session_token: registration.sessionToken,
      session_expires_at: Math.floor(registration.sessionExpiresAtMs / 1000),
      heartbeat_timeout_seconds: Math.floor(registration.heartbeatTimeoutMs / 1000),
      ...(k3s === undefined ? {} : {
        k3s: {
          server_url: k3s.serverUrl,
          token: k3s.token,
          expires_at: Math.floor(k3s.expiresAtMs / 1000),
        },
      }),
      ...(registration.evidence === undefined ? {} : { worker_evidence: registration.evidence }),
    });
  });
  const heartbeat = heartbeatHandler(deps);
  app.post(OWN_API_PATHS.heartbeat, async (c) => {
    const answer = await heartbeat(directRequest(c));
    return c.body(answer, 200, { "Content-Type": "application/json" });
  });
  app.post(OWN_API_PATHS.leave, async (c) => {
    requireJson(c);
    const token = sessionToken(c.req.header(TOKEN_HEADER));
    const body = await readBody(c, deps.limits.bodyBytes);
    const { node_id: nodeId } = decodeBody(LeaveRequest, body);
    await deps.workers.leave(token, nodeId, signedBy(directRequest(c), "leave", token, body));
    deps.log.info("worker {node_id} left", { node_id: nodeId, request_id: c.get("requestId") });
    return c.json({ status: "left", node_id: nodeId });
  });
  app.all(OWN_API_PATHS.registerWorker, methodNotAllowed("POST"));
}

/** `POST /api/v1/nodes/heartbeat`, for the app and for the direct lane. */
export function heartbeatHandler(deps: Pick<ApiDeps, "workers" | "limits">): DirectHandler {
  return async (incoming) => {
    requireJsonType(incoming.header("content-type"));
    const token = sessionToken(incoming.header(TOKEN_HEADER));
    const body = await incoming.readBody(deps.limits.bodyBytes);
    const request = decodeBody(HeartbeatRequest, body);
    const beat = signedBy(incoming, "heartbeat", token, body);
    const { receivedAtMs, renewed } = await deps.workers.heartbeat(token, request, beat);
    return JSON.stringify({
      status: "acknowledged",
      timestamp: Math.floor(receivedAtMs / 1000),
      ...(renewed === undefined ? {} : {
        session_token: renewed.sessionToken,
        session_expires_at: Math.floor(renewed.expiresAtMs / 1000),
      }),
    });
  };
}

/** By proof, or by the bare id where the master takes that. */
function register(deps: ApiDeps, request: RegisterWorkerRequest): Promise<Registration> {
  const { proof } = request;
  if (proof === undefined) return deps.workers.register(request);
  if (deps.admissions === undefined) throw notConfigured();
  if (!request.seal_token.startsWith("seal_")) {
    throw new ApiProblem(
      400,
      "invalid_field",
      'field "seal_token": must be seal_0x and 64 digits',
      {
        field: "seal_token",
      },
    );
  }
  const { evidence } = proof;
  return deps.admissions.register({
    nodeId: request.node_id,
    address: proof.address,
    tokenId: request.seal_token.slice("seal_".length),
    nodeKey: proof.node_key,
    challenge: Uint8Array.fromHex(proof.challenge),
    walletSignature: proof.wallet_signature,
    nodeSignature: proof.node_signature,
  }, evidence === undefined ? undefined : { ...evidence, teeType: evidence.tee_type });
}

function sessionToken(token: string | undefined): string {
  if (token !== undefined) return token;
  throw new ApiProblem(401, "session_missing", "the header X-Seal-Token is missing", {
    hint: "it takes the session_token that register-worker answered with",
    headers: { "WWW-Authenticate": "SealToken" },
  });
}

function signedBy(request: DirectRequest, purpose: BeatPurpose, token: string, body: Bytes) {
  return readBeat(request.header(SEQUENCE_HEADER), request.header(SIGNATURE_HEADER), {
    purpose,
    sessionToken: token,
    body,
  });
}
