import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { ADMIN_TOKEN, testApi } from "../tests/fakes/api.ts";
import { createMetrics } from "./metrics.ts";

Deno.test("createMetrics() writes the text format", () => {
  const metrics = createMetrics();
  const counter = metrics.counter("a_total", "Things.");
  counter.add({ x: 'quo"te\n\\' });
  counter.add({ x: 'quo"te\n\\' }, 2);
  metrics.gauge("g", "Now.", () => [{ labels: { k: "v" }, value: 1.5 }]);
  metrics.histogram("h", "Times.", [1, 2]).observe(1.5);
  assertEquals(
    metrics.text(),
    `# HELP a_total Things.
# TYPE a_total counter
a_total{x="quo\\"te\\n\\\\"} 3
# HELP g Now.
# TYPE g gauge
g{k="v"} 1.5
# HELP h Times.
# TYPE h histogram
h_bucket{le="1"} 0
h_bucket{le="2"} 1
h_bucket{le="+Inf"} 1
h_sum 1.5
h_count 1
`,
  );
  assertThrows(() => metrics.counter("a_total", "again"), TypeError, "twice");
  assertThrows(() => metrics.counter("A b", "bad"), TypeError);
});

Deno.test("createMetrics() keeps a bounded number of series", () => {
  const metrics = createMetrics();
  const counter = metrics.counter("a_total", "Things.");
  for (let i = 0; i < 5_000; i++) counter.add({ i: String(i) });
  assertEquals(metrics.text().split("\n").length, 1_003);
});

Deno.test("/metrics counts by route and code, and tells nothing of anybody", async () => {
  await using api = await testApi();
  for (const path of ["/health", "/health", "/secret-path", "/api/v1/namespaces/private/pods"]) {
    await (await api.app.request(path)).body?.cancel();
  }
  await (await api.admin("GET", "/api/v1/pods")).body?.cancel();
  await (await api.app.request("/health", { method: "FROB" })).body?.cancel();
  const response = await api.app.request("/metrics");
  assertEquals(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  const text = await response.text();
  assertMatch(text, /nautilus_http_requests_total\{route="\/health",method="GET",code="200"\} 2/);
  assertMatch(text, /nautilus_http_requests_total\{route="other",method="GET",code="404"\} 1/);
  assertMatch(text, /nautilus_http_requests_total\{route="kubernetes",method="GET",code="401"\} 1/);
  assertMatch(text, /nautilus_http_requests_total\{route="kubernetes",method="GET",code="200"\} 1/);
  assertMatch(text, /nautilus_http_requests_total\{route="\/health",method="other",code="405"\} 1/);
  assertMatch(text, /nautilus_workers\{state="active"\} 0/);
  assertMatch(text, /nautilus_store_keys\{keyspace="k8s"\} 4/);
  assert(!text.includes("private") && !text.includes("secret-path") && !text.includes(ADMIN_TOKEN));
});
