/** Whoever keeps presenting what nobody knows is slowed down; who is known never notices. */
import type { MiddlewareHandler } from "@hono/hono";
import type { ApiDeps } from "../deps.ts";
import type { ApiEnv } from "../http.ts";
import { answerError } from "./errors.ts";
import { createAddressLimit } from "./address_limit.ts";

/** Every 401 takes from the address's budget; without budget it becomes a 429. */
export function limitFailures(
  deps: Pick<ApiDeps, "limits" | "clock" | "log">,
): MiddlewareHandler<ApiEnv> {
  const limit = createAddressLimit(deps.limits.failures, deps.clock, "failures");
  const answer = answerError(deps.log);
  return async (c, next) => {
    await next();
    if (c.res.status !== 401) return;
    try {
      limit(c);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      c.header("WWW-Authenticate", undefined);
      c.res = answer(error, c);
    }
  };
}
