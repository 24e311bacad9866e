/** Whoever keeps presenting what nobody knows is slowed down; who is known never notices. */
import type { MiddlewareHandler } from "@hono/hono";
import type { ApiDeps } from "../deps.ts";
import type { ApiContext, ApiEnv } from "../http.ts";
import { isKubernetesPath } from "../k8s/own_paths.ts";
import { ApiProblem } from "../problem.ts";
import { answerError } from "./errors.ts";
import { createAddressLimit } from "./address_limit.ts";

/**
 * Every 401 takes from the address's budget; without budget it becomes a 429. Refusals of every kind
 * have a larger one; without it they are held, so that a flood of them costs its sender most.
 */
export function limitFailures(
  deps: Pick<ApiDeps, "limits" | "clock" | "log">,
): MiddlewareHandler<ApiEnv> {
  const failures = createAddressLimit(deps.limits.failures, deps.clock, "failures");
  const refusals = createAddressLimit(deps.limits.refusals, deps.clock, "refusals");
  const answer = answerError(deps.log);
  return async (c, next) => {
    await next();
    if (c.res.status === 401) {
      try {
        failures(c);
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        c.header("WWW-Authenticate", undefined);
        c.res = answer(error, c);
      }
    }
    if (!isRefusal(c)) return;
    try {
      refusals(c);
    } catch (error) {
      if (!(error instanceof ApiProblem)) throw error;
      c.env?.connection?.hold?.();
    }
  };
}

/**
 * What a client with credentials gets for asking (no such object, a stale version) is part of its
 * work: below the Kubernetes paths only the missing credential and the exceeded rate count.
 */
function isRefusal(c: ApiContext): boolean {
  const { status } = c.res;
  if (status === 401 || status === 429) return true;
  return status >= 400 && status < 500 && !isKubernetesPath(c.req.path);
}
