/** Who a request comes from: the admin, a worker's session, or nobody. */
import type { ApiDeps } from "../deps.ts";
import { type ApiContext, bearerToken } from "../http.ts";
import { ADMIN_GROUP, NODE_GROUP, type User } from "../k8s/authorize.ts";
import { StatusError } from "../k8s/status.ts";

/** @throws {StatusError} Unauthorized without a token that is known here. */
export function requireUser(c: ApiContext, deps: Pick<ApiDeps, "isAdminToken" | "workers">): User {
  const token = bearerToken(c);
  if (token !== undefined) {
    if (deps.isAdminToken(token)) {
      return { name: "admin", groups: [ADMIN_GROUP, "system:authenticated"] };
    }
    const nodeId = deps.workers.authenticate(token);
    if (nodeId !== undefined) {
      return { name: `system:node:${nodeId}`, groups: [NODE_GROUP, "system:authenticated"] };
    }
  }
  throw new StatusError("Unauthorized", "Unauthorized", {
    headers: { "WWW-Authenticate": 'Bearer realm="nautilus"' },
  });
}
