/** `GET /api/v1/admin/signer`: who signs results of chain requests, and what it needs of an operator. */
import type { Hono } from "@hono/hono";
import type { ApiDeps } from "../deps.ts";
import { type ApiEnv, methodNotAllowed } from "../http.ts";
import { OWN_API_PATHS } from "../k8s/own_paths.ts";
import type { WriteBackStatus } from "../result_writer.ts";
import { requireAdmin } from "./admin.ts";

export function adminSignerRoutes(app: Hono<ApiEnv>, deps: ApiDeps): void {
  app.get(OWN_API_PATHS.adminSigner, async (c) => {
    requireAdmin(c, deps);
    await deps.countResults();
    return c.json(signerJson(deps.writeBack()));
  });
  app.all(OWN_API_PATHS.adminSigner, methodNotAllowed("GET", "HEAD"));
}

/** MIST are decimal text: they may be more than a JSON number holds. */
function signerJson(status: WriteBackStatus) {
  return {
    address: status.address ?? null,
    state: status.state,
    detail: status.detail,
    master_cap: status.masterCap ?? null,
    balance_mist: status.balanceMist?.toString() ?? null,
    gas_budget_mist: status.gasBudgetMist?.toString() ?? null,
    waiting: status.waiting,
    written: status.written,
    answered: status.answered,
    given_up: status.givenUp,
    failures: status.failures,
  };
}
