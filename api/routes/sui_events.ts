/** `POST /api/v1/sui-events`: anyone may say that something happened; nobody is believed. */
import type { Hono } from "@hono/hono";
import type { ApiDeps } from "../deps.ts";
import { type ApiEnv, methodNotAllowed, readBody, requireJson } from "../http.ts";
import { OWN_API_PATHS } from "../k8s/own_paths.ts";
import { createAddressLimit } from "../middleware/address_limit.ts";
import { decodeBody, SuiEventsRequest } from "../schemas.ts";

export function suiEventsRoutes(app: Hono<ApiEnv>, deps: ApiDeps): void {
  const limit = createAddressLimit(deps.limits.suiEvents, deps.clock, "hints");
  app.post(OWN_API_PATHS.suiEvents, async (c) => {
    limit(c);
    requireJson(c);
    const { digest } = decodeBody(SuiEventsRequest, await readBody(c, deps.limits.bodyBytes));
    deps.chain.wake();
    return c.json({ status: "accepted", digest }, 202);
  });
  app.all(OWN_API_PATHS.suiEvents, methodNotAllowed("POST"));
}
