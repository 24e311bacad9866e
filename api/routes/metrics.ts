/** `GET /metrics`, and what counts the requests. No path, name or token of a caller becomes a label. */
import type { Hono, MiddlewareHandler } from "@hono/hono";
import type { ApiDeps } from "../deps.ts";
import { type ApiContext, type ApiEnv, methodNotAllowed } from "../http.ts";
import { isKubernetesPath, OWN_API_PATHS } from "../k8s/own_paths.ts";
import { createMetrics, type Metrics } from "../metrics.ts";
import { StoreError } from "../../store/mod.ts";

const BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export interface RequestCounts {
  /** Counts and times every request by what it was for. Streams are timed until they begin. */
  readonly middleware: MiddlewareHandler<ApiEnv>;
  /** For good answers that no middleware sees; takes seconds. */
  direct(method: string, route: string): (seconds: number) => void;
}

export function countRequests(metrics: Metrics): RequestCounts {
  const requests = metrics.counter("nautilus_http_requests_total", "Requests answered.");
  const durations = metrics.histogram(
    "nautilus_http_request_duration_seconds",
    "Time until the answer was ready.",
    BUCKETS_SECONDS,
  );
  return {
    async middleware(c, next) {
      const start = performance.now();
      await next();
      const route = routeOf(c);
      requests.add({ route, method: methodOf(c), code: String(c.res.status) });
      durations.observe((performance.now() - start) / 1000, { route });
    },
    direct(method, route) {
      const count = requests.of({ route, method, code: "200" });
      const time = durations.of({ route });
      return (seconds) => {
        count();
        time(seconds);
      };
    },
  };
}

const FIXED: ReadonlySet<string> = new Set([
  ...Object.values(OWN_API_PATHS),
  "/health",
  "/livez",
  "/readyz",
  "/version",
  "/metrics",
]);

function routeOf(c: ApiContext): string {
  const { path } = c.req;
  if (FIXED.has(path)) return path;
  return isKubernetesPath(path) ? "kubernetes" : "other";
}

const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]);

function methodOf(c: ApiContext): string {
  return METHODS.has(c.req.method) ? c.req.method : "other";
}

/** What the rest of the process can say of itself, read when asked. */
export function registerStateMetrics(metrics: Metrics, deps: ApiDeps): void {
  metrics.gauge("nautilus_info", "What runs here; always 1.", () => [{
    labels: {
      version: deps.version,
      tee_type: deps.tee.kind,
      covers: deps.tee.covers,
      aead: deps.store.stats().aeadProvider,
    },
    value: 1,
  }]);
  metrics.gauge(
    "nautilus_workers",
    "Workers by state.",
    () =>
      Object.entries(deps.workers.counts()).map(([state, value]) => ({ labels: { state }, value })),
  );
  metrics.gauge(
    "nautilus_store_keys",
    "Keys by keyspace.",
    () =>
      Object.entries(deps.store.stats().keys).map(([keyspace, value]) => ({
        labels: { keyspace },
        value,
      })),
  );
  metrics.observedCounter(
    "nautilus_store_sequence",
    "Sequence of the newest durable append.",
    () => Number(deps.store.head().sequence),
  );
  metrics.gauge(
    "nautilus_store_live_records",
    "Sealed records that count.",
    () => deps.store.stats().liveRecords,
  );
  metrics.gauge(
    "nautilus_store_record_key_uses",
    "Records sealed under the current record key.",
    () => deps.store.stats().recordKeyUses,
  );
  metrics.gauge(
    "nautilus_store_failed",
    "1 once the store failed.",
    () => deps.store.failure === undefined ? 0 : 1,
  );
  metrics.gauge(
    "nautilus_chain_following",
    "1 while the chain's events are followed.",
    () => deps.chain.status().state === "following" ? 1 : 0,
  );
  metrics.gauge(
    "nautilus_chain_subscribed",
    "Endpoints that announce new checkpoints; 0: the chain is asked every half second.",
    () => deps.chain.status().subscribed,
  );
  metrics.observedCounter(
    "nautilus_chain_events_applied_total",
    "Chain events applied.",
    () => deps.chain.status().eventsApplied,
  );
  metrics.gauge(
    "nautilus_chain_results_waiting",
    "Results of chain requests that wait to be written back on chain.",
    () => deps.writeBack().waiting,
  );
  metrics.observedCounter(
    "nautilus_chain_results_total",
    "Results written back on chain, found answered there by somebody else, and given up.",
    () => {
      const { written, answered, givenUp } = deps.writeBack();
      return [
        { labels: { outcome: "written" }, value: written },
        { labels: { outcome: "answered" }, value: answered },
        { labels: { outcome: "given_up" }, value: givenUp },
      ];
    },
  );
  metrics.observedCounter(
    "nautilus_chain_result_failures_total",
    "Tries to write a result back that did not work.",
    () => deps.writeBack().failures,
  );
  metrics.gauge(
    "nautilus_chain_result_signer_balance_mist",
    "MIST for gas that the signer of results held when it last looked.",
    () => {
      const { balanceMist } = deps.writeBack();
      return balanceMist === undefined ? [] : [{ value: Number(balanceMist) }];
    },
  );
  metrics.gauge(
    "nautilus_chain_result_gas_budget_mist",
    "MIST that one result may cost: a balance below it writes nothing.",
    () => {
      const { gasBudgetMist } = deps.writeBack();
      return gasBudgetMist === undefined ? [] : [{ value: Number(gasBudgetMist) }];
    },
  );
  metrics.gauge(
    "nautilus_chain_last_event_timestamp_seconds",
    "When the last event was applied.",
    () => {
      const at = deps.chain.status().lastEventAt;
      return at === undefined ? [] : [{ value: at / 1000 }];
    },
  );
  metrics.gauge(
    "nautilus_process_resident_memory_bytes",
    "Resident memory.",
    () => Deno.memoryUsage().rss,
  );
}

/** One registry for the app; `/metrics` tells no names, keys or tokens. */
export function metricsRoutes(app: Hono<ApiEnv>, deps: ApiDeps): RequestCounts {
  const metrics = createMetrics();
  const counts = countRequests(metrics);
  app.use(counts.middleware);
  registerStateMetrics(metrics, deps);
  app.get("/metrics", async (c) => {
    try {
      await deps.countResults();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      // The last count stands; that the store is lost is told by other metrics.
    }
    c.header("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    return c.body(metrics.text());
  });
  app.all("/metrics", methodNotAllowed("GET", "HEAD"));
  return counts;
}
