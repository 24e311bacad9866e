/** `GET /api/v1/requests/{id}`: what became of the chain's requests, for the admin. */
import type { Hono } from "@hono/hono";
import type { StoredResult } from "../chain_results.ts";
import type { ApiDeps } from "../deps.ts";
import { type ApiEnv, bearerToken, methodNotAllowed } from "../http.ts";
import { REQUESTS_PREFIX } from "../k8s/own_paths.ts";
import { ApiProblem } from "../problem.ts";

const MAX_ID_LENGTH = 1024;

export function requestRoutes(app: Hono<ApiEnv>, deps: ApiDeps): void {
  const path = `${REQUESTS_PREFIX}:id`;
  app.get(path, async (c) => {
    const token = bearerToken(c);
    if (token === undefined || !deps.isAdminToken(token)) {
      throw new ApiProblem(401, "unauthorized", "results of requests are the admin's to read", {
        headers: { "WWW-Authenticate": 'Bearer realm="nautilus"' },
      });
    }
    const id = c.req.param("id");
    if (id.length > MAX_ID_LENGTH) {
      throw new ApiProblem(400, "invalid_field", "the request id is too long", { field: "id" });
    }
    const results = await deps.requestResults(id);
    if (results.length === 0) {
      throw new ApiProblem(404, "not_found", "no event with this request id was applied here");
    }
    return c.json({
      request_id: id,
      written_back: results.every(({ writeBack }) => writeBack === "written"),
      results: results.map(resultJson),
    });
  });
  app.all(path, methodNotAllowed("GET", "HEAD"));
}

function resultJson({ event, checkpoint, appliedAtMs, writeBack, result }: StoredResult) {
  return {
    event,
    checkpoint,
    applied_at: new Date(appliedAtMs).toISOString(),
    requester: result.requester ?? null,
    success: result.success,
    code: result.code,
    reason: result.reason ?? null,
    digest: result.digest ?? null,
    change: result.change ?? null,
    write_back: writeBack,
  };
}
