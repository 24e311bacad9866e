/** Traces of the built file at a collector: by route, within the caller's trace, without secrets; off by default. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { openTlsIdentity } from "../../api/tls/identity.ts";
import { memoryStore } from "../fakes/api.ts";
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

/** Remembers the `traceparent` of everything it is asked. */
function recorder(tls: { readonly key: string; readonly cert: string } | undefined) {
  const seen: string[] = [];
  const handler = (request: Request) => {
    seen.push(request.headers.get("traceparent") ?? "");
    return Response.json({ kind: "PodList" }, { status: tls === undefined ? 503 : 200 });
  };
  const options = { hostname: "127.0.0.1", port: 0, onListen() {} };
  const server = tls === undefined
    ? Deno.serve(options, handler)
    : Deno.serve({ ...options, ...tls }, handler);
  return {
    url: `${tls === undefined ? "http" : "https"}://127.0.0.1:${server.addr.port}`,
    seen,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

Deno.test("what a request asks of the chain and of a kube-apiserver carries the caller's trace on", async () => {
  await using otlp = collector();
  await using place = await makePlace();
  await using store = await memoryStore();
  const identity = await openTlsIdentity({
    store,
    clock: Date.now,
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    names: [],
  });
  const { key, certificateChain: cert } = identity.issue().credentials;
  await using chain = recorder(undefined);
  await using upstream = recorder({ key, cert });
  const credential = `${place.cwd}/token`;
  await Deno.writeTextFile(credential, SECRET);
  const id = "0x" + "c".repeat(64);
  await using master = await startMaster(place, [], {
    ...telemetry(otlp.url),
    NAUTILUS_TELEMETRY_ENDPOINT: otlp.url,
    CONTRACT_ADDRESS: id,
    SUI_RPC_ENDPOINT: chain.url,
    NAUTILUS_SUI_REGISTRY: id,
    NAUTILUS_LEGACY_BEARER_TOKENS: "true",
    K8S_API_ENDPOINT: upstream.url,
    NAUTILUS_K8S_API_CA: identity.caPem,
    NAUTILUS_K8S_API_CREDENTIAL: credential,
  });
  const headers = { traceparent: `00-${TRACE}-${CALLER}-01` };
  const registered = await fetch(`${master.url}/api/v1/register-worker`, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ node_id: "n", seal_token: `seal_${id}`, timestamp: 1 }),
  });
  assertEquals(registered.status, 503, await registered.text());
  const token = await adminToken(place);
  const listed = await fetch(`${master.url}/api/v1/namespaces/default/pods?watch=0`, {
    headers: { ...headers, Authorization: `Bearer ${token}` },
  });
  assertEquals(await listed.json(), { kind: "PodList" });
  for (const { seen } of [chain, upstream]) {
    const mine = seen.filter((text) => text.includes(TRACE));
    assert(mine.length > 0, `none of ${seen.length} requests is in the trace`);
    // A span of ours asked, not the caller's.
    assertEquals(mine.some((text) => text.includes(CALLER)), false, mine.join());
  }
  assertEquals((await master.end("SIGTERM")).code, 0);
  assertEquals(otlp.texts.some((text) => text.includes(SECRET) || text.includes(token)), false);
});

/** Of the kubeconfig that the simulation writes. */
async function adminToken(place: { readonly data: string }): Promise<string> {
  const text = await Deno.readTextFile(`${place.data}/admin.kubeconfig`);
  const token = /"?token"?: *"?([A-Za-z0-9_.~-]+)"?/.exec(text)?.[1];
  assert(token !== undefined, "the kubeconfig holds no token");
  return token;
}

Deno.test("telemetry that only the environment asks for does not start", async () => {
  await using place = await makePlace();
  const { code, stderr } = await runBinary(place, ["serve"], telemetry("http://127.0.0.1:9"));
  assertEquals(code, 2, stderr);
  assertStringIncludes(stderr, "--telemetry-endpoint");
});
