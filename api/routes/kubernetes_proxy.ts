/**
 * Kubernetes paths in front of a real kube-apiserver: who asks is told by impersonation, the credential
 * is the master's own, and no token of ours ever leaves.
 */
import type { Hono } from "@hono/hono";
import type { ApiDeps } from "../deps.ts";
import { type ApiContext, type ApiEnv, bearerToken, readBody } from "../http.ts";
import { ADMIN_GROUP, NODE_GROUP, type User } from "../k8s/authorize.ts";
import { MAX_OBJECT_BYTES } from "../k8s/decode.ts";
import { isKubernetesPath } from "../k8s/own_paths.ts";
import { StatusError } from "../k8s/status.ts";
import type { KubernetesUpstream } from "../k8s/upstream.ts";
import { auditedAct } from "../middleware/audit.ts";
import { requireUser } from "../middleware/authenticate.ts";
import { upstreamError } from "./kubernetes_proxy_errors.ts";
import { WatchGate } from "./kubernetes_watch.ts";

/** Until the headers of an answer; what a watch then streams has no end of its own. */
const ANSWER_TIMEOUT_MS = 60_000;

/** Request headers that go through; everything else stays here, above all credentials. */
const FORWARDED = ["accept", "content-type", "user-agent", "if-none-match"];
/** These, too, where this server has no part in the trace; where it has, its own span is told. */
const TRACE_HEADERS = ["traceparent", "tracestate"];

/** Response headers that are about one connection (RFC 9110, 7.6.1), or that are ours to say. */
const NOT_RETURNED = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "content-length",
  "content-encoding",
  "set-cookie",
  "www-authenticate",
  "x-request-id",
];

/** Before `/version` and the embedded Kubernetes routes, which then see nothing. */
export function kubernetesProxyRoutes(app: Hono<ApiEnv>, deps: ApiDeps): void {
  const { upstream } = deps;
  if (upstream === undefined) return;
  const gate = new WatchGate(deps.limits.watches);
  const handle = async (c: ApiContext) => {
    const user = requireUser(c, deps);
    const run = () => proxy(c, deps, upstream, gate, user);
    return isAudited(c, user) ? await auditedAct(c, deps, run) : await run();
  };
  // Whoever is known asks which release serves those paths; anybody else is told ours.
  app.get("/version", (c, next) => bearerToken(c) === undefined ? next() : handle(c));
  for (const path of ["/api", "/api/*", "/apis", "/apis/*", "/openapi/*"]) app.all(path, handle);
}

/** As for the embedded resources: what the admin changes, and any look at secrets. */
function isAudited(c: ApiContext, user: User): boolean {
  if (!user.groups.includes(ADMIN_GROUP)) return false;
  const isRead = c.req.method === "GET" || c.req.method === "HEAD";
  return !isRead || /\/secrets(\/|$)/.test(meant(new URL(c.req.url).pathname));
}

/** A path as the kube-apiserver reads it: `%73ecrets` are secrets. */
function meant(pathname: string): string {
  try {
    return decodeURIComponent(pathname);
  } catch {
    return "/secrets"; // whatever it is, it is told
  }
}

async function proxy(
  c: ApiContext,
  deps: ApiDeps,
  upstream: KubernetesUpstream,
  gate: WatchGate,
  user: User,
): Promise<Response> {
  const { pathname, search } = new URL(c.req.url);
  if (!isKubernetesPath(pathname)) {
    throw new StatusError("NotFound", "the server could not find the requested resource");
  }
  if (c.req.header("upgrade") !== undefined) {
    throw new StatusError(
      "BadRequest",
      "upgraded connections (exec, attach, port-forward) are not proxied: ask the kube-apiserver itself",
    );
  }
  const hasBody = c.req.method !== "GET" && c.req.method !== "HEAD";
  const body = hasBody ? await readBody(c, MAX_OBJECT_BYTES) : undefined;
  const leave = isStream(c) ? gate.enter() : () => {};
  const ended = new AbortController();
  const stop = () => ended.abort();
  const disconnected = c.env?.connection?.disconnected();
  disconnected?.addEventListener("abort", stop, { once: true });
  const stopListening = untilSessionEnds(user, deps, stop);
  const finish = () => {
    leave();
    stopListening();
    disconnected?.removeEventListener("abort", stop);
  };
  try {
    const request = new Request(`${upstream.origin}${pathname}${search}`, {
      method: c.req.method,
      headers: requestHeaders(c, user, deps.tracer !== undefined),
      redirect: "manual",
      signal: ended.signal,
      ...(body === undefined || body.length === 0 ? {} : { body }),
    });
    const timeoutMs = upstream.answerTimeoutMs ?? ANSWER_TIMEOUT_MS;
    const answer = await withinTime(c, upstream.fetch(request), ended, timeoutMs);
    return await respond(c, answer, finish, ended);
  } catch (error) {
    finish();
    throw error;
  }
}

function isStream(c: ApiContext): boolean {
  return isOn(c, "watch") || isOn(c, "follow") || /^\/apis?\/.*\/watch(\/|$)/.test(c.req.path);
}

/** As kube-apiserver reads a boolean parameter. */
function isOn(c: ApiContext, parameter: string): boolean {
  const value = c.req.query(parameter);
  return value !== undefined && value !== "0" && value !== "false";
}

function untilSessionEnds(user: User, deps: ApiDeps, ended: () => void): () => void {
  if (!user.groups.includes(NODE_GROUP)) return () => {};
  return deps.workers.onSessionEnd(user.name.slice("system:node:".length), ended);
}

function requestHeaders(c: ApiContext, user: User, isTraced: boolean): Headers {
  const headers = new Headers();
  for (const name of isTraced ? FORWARDED : [...FORWARDED, ...TRACE_HEADERS]) {
    const value = c.req.header(name);
    if (value !== undefined) headers.set(name, value);
  }
  headers.set("Accept-Encoding", "identity");
  headers.set("X-Request-Id", c.get("requestId"));
  headers.set("Impersonate-User", user.name);
  for (const group of user.groups) {
    // Every authenticated user is in it there, and it cannot be impersonated twice.
    if (group !== "system:authenticated") headers.append("Impersonate-Group", group);
  }
  return headers;
}

/** @throws {StatusError} 502, 503, 504 */
async function withinTime(
  c: ApiContext,
  answer: Promise<Response>,
  ended: AbortController,
  timeoutMs: number,
): Promise<Response> {
  let isLate = false;
  // The log of a silent container has no beginning until it says something.
  const timer = isOn(c, "follow") ? undefined : setTimeout(() => {
    isLate = true;
    ended.abort();
  }, timeoutMs);
  try {
    return await Promise.race([answer, abortOf(ended.signal)]);
  } catch (cause) {
    answer.then((late) => late.body?.cancel()).catch(() => {}); // nobody waits for it any more
    if (isLate) {
      throw new StatusError("Timeout", "the kube-apiserver did not answer in time", { cause });
    }
    throw upstreamError(cause, c.req.method);
  } finally {
    clearTimeout(timer);
  }
}

/** Rejects once it is aborted. */
function abortOf(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });
}

async function respond(
  c: ApiContext,
  answer: Response,
  finish: () => void,
  ended: AbortController,
): Promise<Response> {
  const isRedirect = answer.status >= 300 && answer.status < 400 && answer.status !== 304;
  const location = isRedirect ? sameResource(c, answer) : undefined;
  if (answer.status === 401 || (isRedirect && location === undefined) || answer.status < 200) {
    await answer.body?.cancel();
    throw new StatusError(
      "InternalError",
      answer.status === 401
        ? "the kube-apiserver does not accept the master's credential"
        : "the kube-apiserver sent an answer that is not passed on",
      { code: 502 },
    );
  }
  const headers = new Headers(answer.headers);
  const named = (headers.get("connection") ?? "").split(",").map((name) => name.trim());
  for (const name of [...NOT_RETURNED, ...named]) if (name !== "") headers.delete(name);
  if (location !== undefined) headers.set("Location", location);
  // Ours with what the middleware has to say, under its status and headers.
  const like = new Response(null, { status: answer.status, headers });
  if (answer.body === null) {
    finish();
    return c.newResponse(null, like);
  }
  // What the listener streams; anything else it would hold until it is whole, and a watch never is.
  like.headers.set("Transfer-Encoding", "chunked");
  if (!isStream(c)) c.env?.connection?.finite?.();
  const body = relayed(answer.body, finish, ended);
  return c.newResponse(body, like);
}

/**
 * Where a redirect leads, if only the query is another one: an OpenAPI document that has changed since
 * its hash was told is asked for by its new hash.
 */
function sameResource(c: ApiContext, answer: Response): string | undefined {
  const asked = new URL(c.req.url);
  const target = URL.parse(answer.headers.get("location") ?? "", asked);
  // kube-apiserver names a path alone.
  if (target === null || target.origin !== asked.origin) return undefined;
  if (target.pathname !== asked.pathname || target.search === asked.search) return undefined;
  return `${target.pathname}${target.search}`;
}

/** The body as it comes, at the pace of whoever reads it, until it or `ended` ends it. */
function relayed(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  finish: () => void,
  ended: AbortController,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const reader = body.getReader();
  const release = (reason: unknown) => {
    finish();
    reader.cancel(reason).catch(() => {}); // it is aborted in any case
  };
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      // Deno 2.9.6 ends the body of a fetch that is aborted only while its Response is not yet collected.
      abortOf(ended.signal).catch((reason) => {
        release(reason);
        controller.error(reason); // cut off, so that nobody takes half an answer for a whole one
      });
    },
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (ended.signal.aborted) return;
        if (done) {
          finish();
          controller.close();
        } else controller.enqueue(value);
      } catch (error) {
        finish();
        controller.error(error);
      }
    },
    cancel(reason) {
      release(reason);
      ended.abort();
    },
  });
}
