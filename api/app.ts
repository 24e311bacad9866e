/** The HTTP API as one value: give it what it needs, get a `fetch`. Opens nothing. */
import { Hono, type MiddlewareHandler } from "@hono/hono";
import type { ApiDeps } from "./deps.ts";
import { createDirectRoutes, type DirectRoute, type DirectRoutes } from "./direct.ts";
import { etcdCertificateRoutes } from "./etcd/certificate_routes.ts";
import type { ApiEnv } from "./http.ts";
import { OWN_API_PATHS } from "./k8s/own_paths.ts";
import { auditRefusals } from "./middleware/audit.ts";
import { answerError } from "./middleware/errors.ts";
import { limitFailures } from "./middleware/failure_limit.ts";
import { createRequestIds, requestId } from "./middleware/request_id.ts";
import { traceRequests } from "./middleware/trace.ts";
import { securityHeaders } from "./middleware/security_headers.ts";
import { ApiProblem } from "./problem.ts";
import { accessReviewRoutes } from "./routes/access_review.ts";
import { admissionRoutes } from "./routes/admission.ts";
import { adminKeyRoutes } from "./routes/admin_keys.ts";
import { adminSignerRoutes } from "./routes/admin_signer.ts";
import { adminRoutes } from "./routes/admin.ts";
import { attestationRoutes } from "./routes/attestation.ts";
import { backupRoutes } from "./routes/backup.ts";
import { healthHandler, healthRoutes } from "./routes/health.ts";
import { kubernetesProxyRoutes } from "./routes/kubernetes_proxy.ts";
import { kubernetesRoutes } from "./routes/kubernetes.ts";
import { metricsRoutes } from "./routes/metrics.ts";
import { openApiRoutes } from "./routes/openapi.ts";
import { probeRoutes } from "./routes/probes.ts";
import { requestRoutes } from "./routes/requests.ts";
import { statusRoutes } from "./routes/status.ts";
import { suiEventsRoutes } from "./routes/sui_events.ts";
import { verifyRoutes } from "./routes/verify.ts";
import { versionRoutes } from "./routes/version.ts";
import { heartbeatHandler, workerRoutes } from "./routes/workers.ts";

/** The app, and beside it what is answered without it. */
export type App = Hono<ApiEnv> & { readonly direct: DirectRoutes };

/** Everything served over HTTP. Call `app.request(…)` in tests, `listen` of server.ts otherwise. */
export function createApp(deps: ApiDeps): App {
  const app = new Hono<ApiEnv>();
  const answer = answerError(deps.log);
  app.onError(answer);
  // Answered, not thrown: what is thrown here would pass by the middleware that counts.
  app.notFound((c) => answer(new ApiProblem(404, "not_found", "there is nothing at this path"), c));
  const requestIds = createRequestIds(deps.random);
  app.use(requestId(requestIds));
  if (deps.tracer !== undefined) app.use(traceRequests(deps.tracer));
  app.use(securityHeaders());
  // Before all others, because it counts them.
  const counts = metricsRoutes(app, deps);
  app.use(limitFailures(deps));
  // Within it: a refusal is noted before a rate may turn it into another answer.
  app.use(auditRefusals(deps));
  app.use(answerFailed);
  statusRoutes(app, deps);
  openApiRoutes(app, deps);
  healthRoutes(app, deps);
  probeRoutes(app, deps);
  attestationRoutes(app, deps);
  admissionRoutes(app, deps);
  workerRoutes(app, deps);
  requestRoutes(app, deps);
  suiEventsRoutes(app, deps);
  verifyRoutes(app, deps);
  adminRoutes(app, deps);
  adminKeyRoutes(app, deps);
  adminSignerRoutes(app, deps);
  backupRoutes(app, deps);
  etcdCertificateRoutes(app, {
    authority: deps.etcdAuthority,
    isAdminToken: deps.isAdminToken,
    audit: deps.audit,
  });
  // After all of our own under /api.
  kubernetesProxyRoutes(app, deps);
  versionRoutes(app, deps);
  accessReviewRoutes(app, deps);
  // Last: /api/v1/nodes/heartbeat may be a node too, for any method but POST.
  kubernetesRoutes(app, deps);
  const direct = new Map<string, DirectRoute>();
  for (
    const [method, path, handler] of [
      ["GET", "/health", healthHandler(deps)],
      ["POST", OWN_API_PATHS.heartbeat, heartbeatHandler(deps)],
    ] as const
  ) direct.set(`${method} ${path}`, { handler, counted: counts.direct(method, path) });
  return Object.assign(app, { direct: createDirectRoutes(direct, requestIds) });
}

/** What failed in the direct lane is answered here; `/health` has an answer of its own to failing. */
const answerFailed: MiddlewareHandler<ApiEnv> = async (c, next) => {
  const failed = c.env?.connection?.failed;
  if (failed !== undefined && c.req.path !== "/health") throw failed;
  await next();
};
