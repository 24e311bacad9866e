/** Who was refused, and what the admin did through Kubernetes' paths, into the audit log. */
import type { MiddlewareHandler } from "@hono/hono";
import type { AuditEvent } from "../audit/mod.ts";
import type { ApiDeps } from "../deps.ts";
import { type ApiContext, type ApiEnv, bearerToken } from "../http.ts";
import { OWN_API_PATHS } from "../k8s/own_paths.ts";

/** Where a request came from and what it asked, as far as that is nobody's secret. */
export function callerOf(c: ApiContext): Pick<AuditEvent, "address" | "request" | "request_id"> {
  return {
    address: (c.env?.connection?.remoteAddress ?? "").slice(0, 64),
    request: `${c.req.method.slice(0, 16)} ${c.req.path}`.slice(0, 512),
    request_id: c.get("requestId"),
  };
}

function presentedToken(c: ApiContext): string | undefined {
  return bearerToken(c) ?? c.req.header("x-seal-token");
}

/** Takes note of every refused authentication: 401, and a registration's 403. */
export function auditRefusals(deps: Pick<ApiDeps, "audit">): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    await next();
    const { status } = c.res;
    const refused = status === 401 ||
      (status === 403 && c.req.path === OWN_API_PATHS.registerWorker);
    if (!refused) return;
    const token = presentedToken(c);
    deps.audit.refused({
      ...callerOf(c),
      action: "refused",
      actor: "",
      status,
      credential: token === undefined ? null : deps.audit.fingerprint(token),
      detail: "",
    });
  };
}

/**
 * Writes what the admin is about to do, before it is done; reading secrets counts as doing. What came
 * to nothing gets a second record.
 */
export async function auditedAct(
  c: ApiContext,
  deps: Pick<ApiDeps, "audit">,
  run: () => Promise<Response>,
): Promise<Response> {
  const token = bearerToken(c);
  const event = {
    ...callerOf(c),
    actor: "admin",
    credential: token === undefined ? null : deps.audit.fingerprint(token),
    detail: "",
  };
  await deps.audit.act({
    ...event,
    action: `kubernetes.${c.req.method.toLowerCase().slice(0, 16)}`,
    status: null,
  });
  try {
    return await run();
  } catch (error) {
    const status = error instanceof Error && "code" in error && typeof error.code === "number"
      ? error.code
      : error instanceof Error && "status" in error && typeof error.status === "number"
      ? error.status
      : 500;
    await deps.audit.act({ ...event, action: "outcome", status });
    throw error;
  }
}
