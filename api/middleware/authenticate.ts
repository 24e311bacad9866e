/** Who a request comes from: the admin, a worker's session, or nobody. */
import type { ApiDeps } from "../deps.ts";
import { type ApiContext, bearerToken } from "../http.ts";
import { ADMIN_GROUP, NODE_GROUP, type User } from "../k8s/authorize.ts";
import { StatusError } from "../k8s/status.ts";

/**
 * What `kubectl --as` sends: -User, -Group, -Uid and -Extra-ANY. Whoever asks for another's rights
 * must not be answered with their own.
 */
const IMPERSONATION = "impersonate-";

/** @throws {StatusError} Unauthorized without a token that is known here, Forbidden to impersonate. */
export function requireUser(c: ApiContext, deps: Pick<ApiDeps, "isAdminToken" | "workers">): User {
  const user = knownUser(c, deps);
  if (user !== undefined) {
    if (!impersonates(c.req.raw.headers)) return user;
    throw new StatusError("Forbidden", `${user.name} cannot impersonate: nobody can here`);
  }
  throw new StatusError("Unauthorized", "Unauthorized", {
    headers: { "WWW-Authenticate": 'Bearer realm="nautilus"' },
  });
}

function impersonates(headers: Headers): boolean {
  for (const name of headers.keys()) if (name.startsWith(IMPERSONATION)) return true;
  return false;
}

function knownUser(
  c: ApiContext,
  deps: Pick<ApiDeps, "isAdminToken" | "workers">,
): User | undefined {
  const token = bearerToken(c);
  if (token === undefined) return undefined;
  if (deps.isAdminToken(token)) {
    return { name: "admin", groups: [ADMIN_GROUP, "system:authenticated"] };
  }
  const nodeId = deps.workers.authenticate(token);
  return nodeId === undefined
    ? undefined
    : { name: `system:node:${nodeId}`, groups: [NODE_GROUP, "system:authenticated"] };
}
