/** `GET /`: the status page; `GET /status/events`: its values as they change. For anyone. */
import type { Hono } from "@hono/hono";
import type { ApiDeps } from "../deps.ts";
import { type ApiContext, type ApiEnv, methodNotAllowed } from "../http.ts";
import { ApiProblem } from "../problem.ts";
import { pagePolicy } from "../status/assets.ts";
import { StatusPage } from "../status/page.tsx";
import { liveStatus } from "../status/view.ts";

/** Open pages; each costs a timer. */
const MAX_STREAMS = 200;
const INTERVAL_MS = 2_000;
/** A page that is left open asks again after that; EventSource does so by itself. */
const MAX_STREAM_MS = 15 * 60_000;

export function statusRoutes(app: Hono<ApiEnv>, deps: ApiDeps): void {
  let policy: Promise<string> | undefined;
  let streams = 0;

  app.get("/", async (c) => {
    c.header("Content-Security-Policy", await (policy ??= pagePolicy()));
    c.header("Referrer-Policy", "no-referrer");
    const page = StatusPage({
      version: deps.version,
      tee: deps.tee,
      enclaveId: deps.attestor.enclaveId,
      rollback: deps.rollbackProtection().level,
      chainTrust: deps.chainTrust,
      admission: deps.admission,
      origin: originOf(c),
      live: liveStatus(deps),
    });
    return c.html(`<!doctype html>${page.toString()}`);
  });
  app.all("/", methodNotAllowed("GET", "HEAD"));

  app.get("/status/events", (c) => {
    if (c.req.method === "HEAD") return c.body(null, 200, { "Content-Type": "text/event-stream" });
    if (streams >= MAX_STREAMS) {
      throw new ApiProblem(429, "too_many_streams", "too many status pages are open", {
        retryAfterSeconds: 30,
      });
    }
    streams++;
    return eventStream(c, deps, () => void streams--);
  });
  app.all("/status/events", methodNotAllowed("GET", "HEAD"));
}

/** Server-sent events (HTML, 9.2): everything at once, then again whenever something changed. */
function eventStream(c: ApiContext, deps: ApiDeps, onEnd: () => void): Response {
  const encoder = new TextEncoder();
  let timer: ReturnType<typeof setInterval> | undefined;
  let ticks = 0;
  const finish = () => {
    if (timer === undefined) return;
    clearInterval(timer);
    timer = undefined;
    onEnd();
  };
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      const push = () => {
        // Whoever does not read gets the newest when there is room, and nothing in between.
        if ((controller.desiredSize ?? 0) <= 0) return;
        controller.enqueue(encoder.encode(`data: ${JSON.stringify(liveStatus(deps))}\n\n`));
      };
      timer = setInterval(() => {
        if (++ticks * INTERVAL_MS < MAX_STREAM_MS && !deps.stopping()) return push();
        finish();
        controller.close();
      }, INTERVAL_MS);
      push();
    },
    cancel: finish,
  });
  c.env?.connection?.disconnected().addEventListener("abort", finish, { once: true });
  return c.body(stream, 200, {
    "Content-Type": "text/event-stream",
    "Transfer-Encoding": "chunked",
  });
}

/** As the reader's browser has it; only shown, in a command that the reader copies. */
function originOf(c: ApiContext): string {
  const host = c.req.header("host") ?? "";
  const scheme = c.env?.connection?.encrypted === true ? "https" : "http";
  return `${scheme}://${/^[A-Za-z0-9.:[\]-]{1,255}$/.test(host) ? host : "HOST:PORT"}`;
}
