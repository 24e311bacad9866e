/** Traces of the built file at a collector: by route, within the caller's trace, without secrets; off by default. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { asRecord, makePlace, runBinary, startMaster } from "./harness.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const CALLER = "b7ad6b7169203331";
const SECRET = "a-token-that-nobody-may-see-0123456789";

interface Span {
  readonly scope: string;
  readonly name: string;
  readonly traceId: string;
  readonly parentSpanId: string;
  readonly attributes: Readonly<Record<string, unknown>>;
}

function list(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.map(asRecord) : [];
}

function spansOf(payload: unknown): Span[] {
  return list(asRecord(payload)["resourceSpans"]).flatMap((resource) =>
    list(resource["scopeSpans"]).flatMap((scope) =>
      list(scope["spans"]).map((span) => ({
        scope: String(asRecord(scope["scope"])["name"]),
        name: String(span["name"]),
        traceId: String(span["traceId"]),
        parentSpanId: String(span["parentSpanId"]),
        attributes: Object.fromEntries(
          list(span["attributes"]).map(({ key, value }) =>
            [String(key), Object.values(asRecord(value))[0]] as const
          ),
        ),
      }))
    )
  );
}

/** OTLP over HTTP, as far as it takes to look at it. */
function collector() {
  const spans: Span[] = [];
  const texts: string[] = [];
  const waiting: (() => void)[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const text = await request.text();
    texts.push(text);
    if (new URL(request.url).pathname === "/v1/traces") spans.push(...spansOf(JSON.parse(text)));
    for (const wake of waiting.splice(0)) wake();
    return Response.json({});
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    texts,
    /** Resolves when such a span is there; a test's own time limit ends the wait. */
    async span(is: (span: Span) => boolean): Promise<Span> {
      for (;;) {
        const found = spans.find(is);
        if (found !== undefined) return found;
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

function telemetry(url: string): Record<string, string> {
  return {
    OTEL_DENO: "true",
    OTEL_EXPORTER_OTLP_ENDPOINT: url,
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    OTEL_SERVICE_NAME: "nautilus-under-test",
    OTEL_BSP_SCHEDULE_DELAY: "100",
  };
}

Deno.test("spans of requests reach the collector: route, trace of the caller, no secret", async () => {
  await using otlp = collector();
  await using place = await makePlace();
  const master = await startMaster(place, [], {
    ...telemetry(otlp.url),
    NAUTILUS_TELEMETRY_ENDPOINT: otlp.url,
  });
  await using _master = master;
  const response = await fetch(`${master.url}/api/v1/namespaces/team/secrets/name-of-mine`, {
    headers: {
      traceparent: `00-${TRACE}-${CALLER}-01`,
      Authorization: `Bearer ${SECRET}`,
      "X-Seal-Token": SECRET,
    },
  });
  assertEquals(response.status, 401);
  await response.body?.cancel();
  const span = await otlp.span(({ scope, traceId }) => scope === "nautilus" && traceId === TRACE);
  assertEquals(span.name, "GET /api/{version}/namespaces/{namespace}/{resource}/{name}");
  assertEquals(span.parentSpanId, CALLER);
  assertEquals(span.attributes, {
    "http.request.method": "GET",
    "http.route": "/api/{version}/namespaces/{namespace}/{resource}/{name}",
    "http.response.status_code": span.attributes["http.response.status_code"],
  });
  assertEquals(String(span.attributes["http.response.status_code"]), "401");
  assertEquals((await master.end("SIGTERM")).code, 0);
  assert(otlp.texts.some((text) => text.includes("nautilus-under-test")));
  assertEquals(otlp.texts.some((text) => text.includes(SECRET)), false);
});

Deno.test("telemetry that only the environment asks for does not start", async () => {
  await using place = await makePlace();
  const { code, stderr } = await runBinary(place, ["serve"], telemetry("http://127.0.0.1:9"));
  assertEquals(code, 2, stderr);
  assertStringIncludes(stderr, "--telemetry-endpoint");
});
