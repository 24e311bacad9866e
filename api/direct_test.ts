/** The direct lane over a real listener: its answers are those of the app, and the app words every no. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { connect } from "node:net";
import { SEAL_TOKEN, type TestApi, testApi } from "../tests/fakes/api.ts";
import { type ApiServer, DEFAULT_SERVER_LIMITS, listen } from "./server.ts";

const NODE = "worker-1";

interface Served extends AsyncDisposable {
  readonly api: TestApi;
  readonly server: ApiServer;
}

async function served(): Promise<Served> {
  const api = await testApi();
  api.validator.admit(SEAL_TOKEN, { nodeId: NODE });
  const server = await listen(api.app, {
    host: "127.0.0.1",
    port: 0,
    tls: undefined,
    limits: DEFAULT_SERVER_LIMITS,
    log: api.deps.log,
  });
  return {
    api,
    server,
    async [Symbol.asyncDispose]() {
      await server.close(100);
      await api[Symbol.asyncDispose]();
    },
  };
}

async function session(api: TestApi): Promise<string> {
  const body = { node_id: NODE, seal_token: SEAL_TOKEN, timestamp: 1 };
  const { session_token } = await (await api.post("/api/v1/register-worker", body)).json();
  return String(session_token);
}

function beatBody(more: Record<string, unknown> = {}): string {
  return JSON.stringify({
    node_id: NODE,
    timestamp: 1,
    stake_status: "active",
    stake_amount: "1",
    running_pods: 2,
    resource_usage: { cpu_percent: 0, memory_percent: 10, disk_percent: 10 },
    ...more,
  });
}

interface RawAnswer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** Sends bytes, and reads until the master closes the connection. */
function raw(server: ApiServer, text: string): Promise<RawAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<RawAnswer>();
  let received = "";
  const socket = connect(server.port, "127.0.0.1", () => socket.write(text));
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => received += chunk);
  socket.on("error", reject);
  socket.on("end", () => {
    socket.end();
    const [head = "", body = ""] = received.split("\r\n\r\n", 2);
    const [first = "", ...lines] = head.split("\r\n");
    const headers = Object.fromEntries(lines.map((line) => {
      const at = line.indexOf(": ");
      return [line.slice(0, at).toLowerCase(), line.slice(at + 2)];
    }));
    resolve({ status: Number(first.split(" ")[1]), headers, body });
  });
  return promise;
}

function request(line: string, headers: readonly string[], body = ""): string {
  const length = new TextEncoder().encode(body).length;
  const sized = body === "" ? [] : [`Content-Length: ${length}`];
  return [`${line} HTTP/1.1`, "Host: x", "Connection: close", ...headers, ...sized, "", body]
    .join("\r\n");
}

const BEAT = "POST /api/v1/nodes/heartbeat";

Deno.test("the direct lane answers /health as the app does, header by header", async () => {
  await using it = await served();
  const fast = await raw(it.server, request("GET /health", ["X-Request-Id: abc"]));
  const byApp = await it.api.app.request("/health", { headers: { "X-Request-Id": "abc" } });
  assertEquals([fast.status, fast.body], [byApp.status, await byApp.text()]);
  for (const [name, value] of byApp.headers) assertEquals(fast.headers[name], value, name);
});

Deno.test("a query or another method is for the app, and so is a request id that is none", async () => {
  await using it = await served();
  assertEquals((await raw(it.server, request("GET /health?x=1", []))).status, 200);
  assertEquals((await raw(it.server, request("DELETE /health", []))).status, 405);
  const head = await raw(it.server, request("HEAD /health", []));
  assertEquals([head.status, head.body], [200, ""]);
  const { headers } = await raw(it.server, request("GET /health", ["X-Request-Id: a b"]));
  assertMatch(headers["x-request-id"] ?? "", /^[0-9a-f]{12}-/);
});

Deno.test("/health of a lost store is 503 through the direct lane, too", async () => {
  await using it = await served();
  const failure = new Error("the disk is gone");
  Object.defineProperty(it.api.store, "failure", { value: failure, configurable: true });
  const answer = await raw(it.server, request("GET /health", []));
  Reflect.deleteProperty(it.api.store, "failure");
  assertEquals([answer.status, JSON.parse(answer.body).status], [503, "failed"]);
});

Deno.test("a heartbeat through the direct lane is acknowledged, kept and counted", async () => {
  await using it = await served();
  const token = await session(it.api);
  const answer = await raw(it.server, request(BEAT, [`X-Seal-Token: ${token}`], beatBody()));
  assertEquals(answer.status, 200);
  assertEquals(JSON.parse(answer.body), {
    status: "acknowledged",
    timestamp: it.api.time.now / 1000,
  });
  assertEquals(it.api.workers.get(NODE)?.lastHeartbeat?.running_pods, 2);
  const metrics = await (await it.api.app.request("/metrics")).text();
  assertStringIncludes(
    metrics,
    'nautilus_http_requests_total{route="/api/v1/nodes/heartbeat",method="POST",code="200"} 1',
  );
});

Deno.test("what the direct lane cannot answer with yes, the app answers, limits and audits", async () => {
  await using it = await served();
  const token = await session(it.api);
  const good = `X-Seal-Token: ${token}`;
  const cases: [string, number, string][] = [
    [request(BEAT, [], beatBody()), 401, "session_missing"],
    [request(BEAT, [`X-Seal-Token: nts_${"A".repeat(43)}`], beatBody()), 401, "session_unknown"],
    [request(BEAT, [good], beatBody({ node_id: "other" })), 403, "wrong_node"],
    [request(BEAT, [good], beatBody({ node_id: 1 })), 400, "invalid_field"],
    [request(BEAT, [good], "{"), 400, "invalid_json"],
    [request(BEAT, [good], `{"x":"${"y".repeat(17_000)}"}`), 413, "body_too_large"],
    [request(BEAT, [good, "Content-Type: text/plain"], beatBody()), 415, "unsupported_media_type"],
    // Joined by the app, so that it is no token; node:http alone would take the first.
    [request(BEAT, [good, good], beatBody()), 401, "session_unknown"],
  ];
  for (const [text, status, code] of cases) {
    const answer = await raw(it.server, text);
    assertEquals([answer.status, JSON.parse(answer.body).code], [status, code]);
    assertEquals(answer.headers["content-type"], "application/problem+json");
    assertMatch(answer.headers["x-request-id"] ?? "", /./);
  }
  const metrics = await (await it.api.app.request("/metrics")).text();
  assertStringIncludes(metrics, 'route="/api/v1/nodes/heartbeat",method="POST",code="401"} 3');
  assertEquals(it.api.workers.get(NODE)?.state, "ready");
});

Deno.test("a body that /health did not ask for is not taken for the next request", async () => {
  await using it = await served();
  const smuggled = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
  const text = request("GET /health", [], smuggled);
  const answer = await raw(it.server, text);
  assertEquals(answer.status, 200);
  assertEquals(JSON.parse(answer.body).status, "healthy");
});
