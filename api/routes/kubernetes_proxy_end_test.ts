/** How proxied requests end that no answer ends: silence behind, a session that is over, an upgrade. */
import { assertEquals, assertMatch, assertObjectMatch, assertRejects } from "@std/assert";
import { ADMIN_TOKEN, SEAL_TOKEN, type TestApi, testApi } from "../../tests/fakes/api.ts";
import type { KubernetesUpstream } from "../k8s/upstream.ts";
import { DEFAULT_SERVER_LIMITS, listen } from "../server.ts";

const PODS = "/api/v1/namespaces/default/pods";

function withUpstream(upstream: Omit<KubernetesUpstream, "origin">): Promise<TestApi> {
  return testApi({ deps: { upstream: { origin: "https://kube.test:6443", ...upstream } } });
}

/** Rejects as fetch does, once the request is aborted. */
function silence({ signal }: Request): Promise<Response> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

Deno.test("a kube-apiserver that says nothing is a Status of 504, and is asked no further", async () => {
  const asked: Request[] = [];
  await using api = await withUpstream({
    answerTimeoutMs: 1,
    fetch(request) {
      asked.push(request);
      return silence(request);
    },
  });
  for (const path of [PODS, `${PODS}?watch=1`]) {
    const response = await api.admin("GET", path);
    assertEquals(response.status, 504);
    assertObjectMatch(await response.json(), { kind: "Status", reason: "Timeout", code: 504 });
  }
  assertEquals(asked.map(({ signal }) => signal.aborted), [true, true]);
});

/** @param isHeeded whether the body ends with the request: the runtime's does not always. */
async function endsWithSession(isHeeded: boolean): Promise<void> {
  let behind: AbortSignal | undefined;
  const cancelled = Promise.withResolvers<void>();
  await using api = await withUpstream({
    fetch({ signal }) {
      behind = signal;
      const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
        start(controller) {
          controller.enqueue(new TextEncoder().encode('{"type":"ADDED"}\n'));
          if (!isHeeded) return;
          signal.addEventListener("abort", () => {
            controller.error(signal.reason);
            cancelled.resolve();
          }, { once: true });
        },
        cancel: () => cancelled.resolve(),
      });
      return Promise.resolve(new Response(body));
    },
  });
  api.validator.admit(SEAL_TOKEN, { nodeId: "n1" });
  const registered = await api.post("/api/v1/register-worker", {
    node_id: "n1",
    seal_token: SEAL_TOKEN,
    timestamp: 1,
  });
  const { session_token } = await registered.json();
  const headers = { Authorization: `Bearer ${session_token}` };
  const watch = await api.app.request(`${PODS}?watch=1`, { headers });
  const reader = watch.body?.pipeThrough(new TextDecoderStream()).getReader();
  assertEquals((await reader?.read())?.value, '{"type":"ADDED"}\n');
  assertEquals(behind?.aborted, false);
  await api.workers.leave(session_token, "n1");
  // Cut, not closed: nobody takes it for a watch that came to its end.
  await assertRejects(() => reader?.read() ?? Promise.resolve());
  assertEquals(behind?.aborted, true);
  await cancelled.promise;
  const after = await api.app.request(`${PODS}?watch=1`, { headers });
  assertEquals(after.status, 401);
  await after.body?.cancel();
}

Deno.test("a session that is over ends its proxied watch, and the one behind it", async () => {
  await endsWithSession(true);
});

Deno.test("a session that is over ends its proxied watch, whatever the one behind hears of it", async () => {
  await endsWithSession(false);
});

/** Everything that comes back on a connection of its own. */
async function raw(url: string, request: string): Promise<string> {
  const { hostname, port } = new URL(url);
  using connection = await Deno.connect({ hostname, port: Number(port) });
  await connection.write(new TextEncoder().encode(request));
  let text = "";
  const decoder = new TextDecoder();
  for (const buffer = new Uint8Array(4_096);;) {
    const length = await connection.read(buffer);
    if (length === null) return text;
    text += decoder.decode(buffer.subarray(0, length), { stream: true });
  }
}

Deno.test("exec, attach and port-forward are refused in a Status before anything is upgraded", async () => {
  let asked = 0;
  const proxied = await withUpstream({
    fetch() {
      asked++;
      return Promise.resolve(new Response("{}"));
    },
  });
  await using _proxied = proxied;
  await using embedded = await testApi();
  const upgrades = [
    "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io",
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io",
  ];
  const cases: readonly [TestApi, number, RegExp][] = [
    [proxied, 400, /upgraded connections \(exec, attach, port-forward\) are not proxied/],
    [embedded, 404, /pods\/(exec|attach|portforward) reaches into a node/],
  ];
  for (const [api, code, message] of cases) {
    const server = await listen(api.app, {
      host: "127.0.0.1",
      port: 0,
      tls: undefined,
      limits: DEFAULT_SERVER_LIMITS,
      log: api.deps.log,
    });
    try {
      for (const upgrade of upgrades) {
        for (const action of ["exec", "attach", "portforward"]) {
          for (const method of ["GET", "POST"]) {
            const answer = await raw(
              server.url,
              `${method} ${PODS}/p/${action}?command=ls HTTP/1.1\r\nHost: x\r\n` +
                `Authorization: Bearer ${ADMIN_TOKEN}\r\nContent-Length: 0\r\n` +
                `Connection: Upgrade, close\r\n${upgrade}\r\n\r\n`,
            );
            const [head = "", body = ""] = answer.split("\r\n\r\n");
            assertMatch(head, new RegExp(`^HTTP/1.1 ${code} `), `${method} ${action} ${upgrade}`);
            assertObjectMatch(JSON.parse(body), { kind: "Status", code });
            assertMatch(JSON.parse(body).message, message);
          }
        }
      }
    } finally {
      await server.close(200);
    }
  }
  assertEquals(asked, 0);
});
