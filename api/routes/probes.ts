/** `/livez` and `/readyz`, as Kubernetes prints them: `?verbose`, `?exclude=`, and a path per check. */
import type { Hono } from "@hono/hono";
import type { ApiDeps } from "../deps.ts";
import { type ApiContext, type ApiEnv, methodNotAllowed } from "../http.ts";
import { ApiProblem } from "../problem.ts";

interface Check {
  readonly name: string;
  /** `note`: not as it should be, yet no reason to keep requests away. */
  run(): { readonly outcome: "ok" | "note" | "failed"; readonly text: string };
}

const MARKS = { ok: "+", note: "!", failed: "-" } as const;

export function probeRoutes(app: Hono<ApiEnv>, deps: ApiDeps): void {
  const ping: Check = { name: "ping", run: () => ({ outcome: "ok", text: "ok" }) };
  const ready: readonly Check[] = [ping, ...readinessChecks(deps)];
  mount(app, "livez", [ping]);
  mount(app, "readyz", ready);
}

function readinessChecks(deps: ApiDeps): readonly Check[] {
  return [
    {
      name: "store",
      run: () => {
        if (deps.store.failure !== undefined) {
          return { outcome: "failed", text: "failed: reason withheld" };
        }
        const stalled = stalledDisk(deps.store);
        return stalled === undefined
          ? { outcome: "ok", text: "ok" }
          : { outcome: "failed", text: `failed: ${stalled}` };
      },
    },
    {
      name: "sui-events",
      run: () => {
        const { state, detail } = deps.chain.status();
        return state === "following"
          ? { outcome: "ok", text: "ok" }
          : { outcome: "note", text: `${state}: ${detail}` };
      },
    },
    {
      name: "admission",
      run: () =>
        deps.admission === "configured"
          ? { outcome: "ok", text: "ok" }
          : { outcome: "note", text: "not configured: workers cannot register" },
    },
    {
      name: "shutdown",
      run: () =>
        deps.stopping()
          ? { outcome: "failed", text: "failed: the master is stopping" }
          : { outcome: "ok", text: "ok" },
    },
  ];
}

/** Told from here on: requests are better sent elsewhere, or wait. */
const STALLED_MS = 5_000;

/** For people, where the disk has not answered a write for too long; nothing is acknowledged meanwhile. */
export function stalledDisk(store: Pick<ApiDeps["store"], "stats">): string | undefined {
  const { waitingMs } = store.stats();
  return waitingMs < STALLED_MS
    ? undefined
    : `the disk has not answered a write for ${Math.floor(waitingMs / 1000)} s`;
}

function mount(app: Hono<ApiEnv>, name: string, checks: readonly Check[]): void {
  app.get(`/${name}`, (c) => answer(c, name, checks));
  app.get(`/${name}/:check`, (c) => {
    const wanted = c.req.param("check");
    const check = checks.find((candidate) => candidate.name === wanted);
    if (check === undefined) {
      throw new ApiProblem(404, "no_such_check", `there is no check of this name in ${name}`);
    }
    return answer(c, name, [check]);
  });
  app.all(`/${name}`, methodNotAllowed("GET", "HEAD"));
  app.all(`/${name}/:check`, methodNotAllowed("GET", "HEAD"));
}

function answer(c: ApiContext, name: string, checks: readonly Check[]): Response {
  const excluded = new Set(c.req.queries("exclude") ?? []);
  const lines: string[] = [];
  let failed = false;
  for (const check of checks) {
    if (excluded.has(check.name)) {
      lines.push(`[+]${check.name} excluded: ok`);
      continue;
    }
    const { outcome, text } = check.run();
    failed ||= outcome === "failed";
    lines.push(`[${MARKS[outcome]}]${check.name} ${text}`);
  }
  const verbose = c.req.query("verbose") !== undefined;
  if (failed) return c.text([...lines, `${name} check failed`, ""].join("\n"), 503);
  return c.text(verbose ? [...lines, `${name} check passed`, ""].join("\n") : "ok");
}
