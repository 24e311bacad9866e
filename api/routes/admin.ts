/** `/api/v1/admin/…` and `/api/v1/audit`: the admin's login, key, tokens, and what was done. */
import type { Hono } from "@hono/hono";
import type { AdminCaller } from "../admin/service.ts";
import type { ApiDeps } from "../deps.ts";
import {
  type ApiContext,
  type ApiEnv,
  bearerToken,
  methodNotAllowed,
  readBody,
  requireJson,
} from "../http.ts";
import { OWN_API_PATHS } from "../k8s/own_paths.ts";
import { callerOf } from "../middleware/audit.ts";
import { createAddressLimit } from "../middleware/address_limit.ts";
import { ApiProblem } from "../problem.ts";
import { decodeBody } from "../schemas.ts";
import {
  AdminKeyRequest,
  AdminLoginRequest,
  AdminRevokeRequest,
  decodeAuditQuery,
} from "../admin_schemas.ts";
import { DEFAULT_ADMIN_TOKEN_TTL_SECONDS } from "../admin/tokens.ts";

export function adminRoutes(app: Hono<ApiEnv>, deps: ApiDeps): void {
  const limit = createAddressLimit(deps.limits.adminLogins, deps.clock, "logins");
  const body = async (c: ApiContext) => {
    requireJson(c);
    return await readBody(c, deps.limits.bodyBytes);
  };

  app.post(OWN_API_PATHS.adminChallenge, (c) => {
    limit(c);
    const { challenge, expiresAtMs } = deps.admin.challenge();
    return c.json({ challenge: challenge.toBase64(), expires_at: Math.floor(expiresAtMs / 1000) });
  });
  app.all(OWN_API_PATHS.adminChallenge, methodNotAllowed("POST"));

  app.post(OWN_API_PATHS.adminLogin, async (c) => {
    limit(c);
    const request = decodeBody(AdminLoginRequest, await body(c));
    const { token, claims, caPem } = await deps.admin.login({
      challenge: Uint8Array.fromBase64(request.challenge),
      signature: Uint8Array.fromBase64(request.signature),
      ttlSeconds: request.ttl_seconds ?? DEFAULT_ADMIN_TOKEN_TTL_SECONDS,
    }, adminCaller(c));
    return c.json({
      token,
      token_id: claims.id,
      expires_at: Math.floor(claims.exp / 1000),
      certificate_authority: caPem ?? null,
    });
  });
  app.all(OWN_API_PATHS.adminLogin, methodNotAllowed("POST"));

  app.post(OWN_API_PATHS.adminKey, async (c) => {
    requireAdmin(c, deps);
    const request = decodeBody(AdminKeyRequest, await body(c));
    await deps.admin.rotate({
      key: request.public_key,
      challenge: Uint8Array.fromBase64(request.challenge),
      signature: Uint8Array.fromBase64(request.signature),
    }, adminCaller(c));
    return c.json({ status: "changed", public_key: request.public_key });
  });
  app.all(OWN_API_PATHS.adminKey, methodNotAllowed("POST"));

  app.post(OWN_API_PATHS.adminRevoke, async (c) => {
    const own = requireAdmin(c, deps);
    const { token_id: wanted } = decodeBody(AdminRevokeRequest, await body(c));
    const tokenId = wanted === "self" ? own : wanted;
    if (tokenId === undefined) {
      throw new ApiProblem(400, "invalid_field", "the simulation's own token cannot be revoked", {
        field: "token_id",
      });
    }
    await deps.admin.revoke(tokenId, adminCaller(c));
    return c.json({ status: "revoked", token_id: tokenId });
  });
  app.all(OWN_API_PATHS.adminRevoke, methodNotAllowed("POST"));

  app.get(OWN_API_PATHS.audit, async (c) => {
    requireAdmin(c, deps);
    const { chain, after, limit: most } = decodeAuditQuery((name) => c.req.queries(name) ?? []);
    return c.json(await deps.audit.read(chain, after, most));
  });
  app.all(OWN_API_PATHS.audit, methodNotAllowed("GET", "HEAD"));
}

/** @returns the id of the admin's token; undefined for the simulation's. @throws 401, 403 */
export function requireAdmin(c: ApiContext, deps: ApiDeps): string | undefined {
  const token = bearerToken(c);
  if (token !== undefined && deps.isAdminToken(token)) return deps.admin.verify(token)?.id;
  if (token !== undefined && deps.workers.authenticate(token) !== undefined) {
    throw new ApiProblem(403, "not_admin", "only the admin may do this");
  }
  throw new ApiProblem(401, "unauthorized", "the admin's token is missing or not good any more", {
    hint: "`nautilus admin login` gives one",
    headers: { "WWW-Authenticate": 'Bearer realm="nautilus"' },
  });
}

export function adminCaller(c: ApiContext): AdminCaller {
  return { encrypted: c.env?.connection?.encrypted === true, event: callerOf(c) };
}
