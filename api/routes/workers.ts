/** `POST /api/v1/register-worker` and `POST /api/v1/nodes/heartbeat`. */
import type { Hono } from "@hono/hono";
import type { ApiDeps } from "../deps.ts";
import { type ApiEnv, methodNotAllowed, readBody, requireJson } from "../http.ts";
import { OWN_API_PATHS } from "../k8s/own_paths.ts";
import { createAddressLimit } from "../middleware/address_limit.ts";
import { ApiProblem } from "../problem.ts";
import { decodeBody, HeartbeatRequest, RegisterWorkerRequest } from "../schemas.ts";

const TOKEN_HEADER = "x-seal-token";

export function workerRoutes(app: Hono<ApiEnv>, deps: ApiDeps): void {
  const limit = createAddressLimit(deps.limits.registrations, deps.clock, "registrations");
  app.post(OWN_API_PATHS.registerWorker, async (c) => {
    limit(c);
    requireJson(c);
    const request = decodeBody(RegisterWorkerRequest, await readBody(c, deps.limits.bodyBytes));
    const header = c.req.header(TOKEN_HEADER);
    if (header !== undefined && header !== request.seal_token) {
      throw new ApiProblem(400, "contradiction", "X-Seal-Token and seal_token differ", {
        field: "seal_token",
      });
    }
    const registration = await deps.workers.register(request);
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
    });
  });
  app.post(OWN_API_PATHS.heartbeat, async (c) => {
    requireJson(c);
    const token = c.req.header(TOKEN_HEADER);
    if (token === undefined) {
      throw new ApiProblem(401, "session_missing", "the header X-Seal-Token is missing", {
        hint: "it takes the session_token that register-worker answered with",
        headers: { "WWW-Authenticate": "SealToken" },
      });
    }
    const request = decodeBody(HeartbeatRequest, await readBody(c, deps.limits.bodyBytes));
    const { receivedAtMs } = await deps.workers.heartbeat(token, request);
    return c.json({ status: "acknowledged", timestamp: Math.floor(receivedAtMs / 1000) });
  });
  app.all(OWN_API_PATHS.registerWorker, methodNotAllowed("POST"));
}
