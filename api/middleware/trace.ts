/**
 * A span for every request, named by its route and never by its path, within the trace that the caller's
 * `traceparent` names (W3C Trace Context): what the request asks of others is then part of the same trace.
 */
import type { MiddlewareHandler } from "@hono/hono";
import {
  context,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import type { ApiContext, ApiEnv } from "../http.ts";
import { OWN_API_PATHS, REQUESTS_PREFIX } from "../k8s/own_paths.ts";
import { parseResourcePath } from "../k8s/paths.ts";

const FIXED: ReadonlySet<string> = new Set([
  ...Object.values(OWN_API_PATHS),
  "/",
  "/health",
  "/livez",
  "/readyz",
  "/version",
  "/metrics",
  "/openapi.json",
  "/status/events",
  "/api",
  "/apis",
  "/openapi/v3",
]);

const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]);

const HEADERS: TextMapGetter<Headers> = {
  get: (headers, name) => headers.get(name) ?? undefined,
  keys: (headers) => [...headers.keys()],
};

export function traceRequests(tracer: Tracer): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    const method = METHODS.has(c.req.method) ? c.req.method : "_OTHER";
    const route = routeOf(c);
    const parent = propagation.extract(ROOT_CONTEXT, c.req.raw.headers, HEADERS);
    const span = tracer.startSpan(`${method} ${route}`, {
      kind: SpanKind.SERVER,
      attributes: { "http.request.method": method, "http.route": route },
    }, parent);
    try {
      await context.with(trace.setSpan(parent, span), next);
      const { status } = c.res;
      span.setAttribute("http.response.status_code", status);
      if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
    } finally {
      span.end();
    }
  };
}

/** What may stand in a span's name: of Kubernetes' paths the form, not the names. */
export function routeOf(c: ApiContext): string {
  const { path } = c.req;
  if (FIXED.has(path)) return path;
  if (path.startsWith(REQUESTS_PREFIX)) return `${REQUESTS_PREFIX}{id}`;
  if (path.startsWith("/readyz/") || path.startsWith("/livez/")) return "/readyz/{check}";
  if (path.startsWith("/openapi/v3/")) return "/openapi/v3/{group_version}";
  return resourceRoute(path) ?? "other";
}

function resourceRoute(path: string): string | undefined {
  if (!path.startsWith("/api/") && !path.startsWith("/apis/")) return undefined;
  let found: ReturnType<typeof parseResourcePath>;
  try {
    found = parseResourcePath(path);
  } catch {
    return undefined; // refused further down, with its own words
  }
  const base = path.startsWith("/api/") ? "/api/{version}" : "/apis/{group}/{version}";
  if (found === undefined) return base;
  const { namespace, name, subresource } = found;
  return [
    base,
    ...(namespace === "" ? [] : ["namespaces/{namespace}"]),
    "{resource}",
    ...(name === "" ? [] : ["{name}"]),
    ...(subresource === undefined ? [] : ["{subresource}"]),
  ].join("/");
}
