/** The proxy to a kube-apiserver: the upstream is played at its HTTPS port. */
import { assert, assertEquals, assertMatch, assertObjectMatch } from "@std/assert";
import { ADMIN_TOKEN, SEAL_TOKEN, type TestApi, testApi } from "../../tests/fakes/api.ts";
import type { KubernetesUpstream } from "../k8s/upstream.ts";

const PODS = "/api/v1/namespaces/default/pods";

interface Seen {
  readonly request: Request;
  readonly body: string;
}

/** An upstream that answers by a function and remembers what it was asked. */
function upstream(answer: (request: Request) => Response | Promise<Response>) {
  const seen: Seen[] = [];
  const double: KubernetesUpstream = {
    origin: "https://kube.test:6443",
    async fetch(request) {
      seen.push({ request, body: await request.clone().text() });
      return await answer(request);
    },
  };
  return { seen, double };
}

async function withUpstream(
  answer: (request: Request) => Response | Promise<Response>,
): Promise<TestApi & { readonly seen: readonly Seen[] }> {
  const { seen, double } = upstream(answer);
  return Object.assign(await testApi({ deps: { upstream: double } }), { seen });
}

Deno.test("requests go to the kube-apiserver as whoever asks, without any token of ours", async () => {
  await using api = await withUpstream(() => Response.json({ kind: "PodList" }));
  const response = await api.admin("GET", `${PODS}?labelSelector=a%3Db&limit=5`, undefined, {
    "X-Remote-User": "root",
    "X-Seal-Token": "secret",
    "Cookie": "a=b",
    "Connection": "close, X-Mine",
    "X-Mine": "1",
    "Accept": "application/json;as=Table;v=v1;g=meta.k8s.io",
  });
  assertEquals(await response.json(), { kind: "PodList" });
  const [seen] = api.seen;
  assert(seen !== undefined);
  assertEquals(seen.request.url, `https://kube.test:6443${PODS}?labelSelector=a%3Db&limit=5`);
  const headers = Object.fromEntries(seen.request.headers);
  const { "x-request-id": requestId, ...rest } = headers;
  assertEquals(requestId, response.headers.get("x-request-id") ?? "");
  assertEquals(rest, {
    accept: "application/json;as=Table;v=v1;g=meta.k8s.io",
    "accept-encoding": "identity",
    "impersonate-user": "admin",
    "impersonate-group": "system:masters",
  });
  assertEquals(seen.request.redirect, "manual");
});

Deno.test("a worker's session is its node there; nobody else gets through", async () => {
  await using api = await withUpstream(() => Response.json({}));
  api.validator.admit(SEAL_TOKEN, { nodeId: "n1" });
  const registered = await api.post("/api/v1/register-worker", {
    node_id: "n1",
    seal_token: SEAL_TOKEN,
    timestamp: 1,
  });
  const { session_token } = await registered.json();
  const response = await api.app.request("/api/v1/nodes/n1", {
    headers: { Authorization: `Bearer ${session_token}` },
  });
  assertEquals(response.status, 200);
  await response.body?.cancel();
  assertEquals(api.seen[0]?.request.headers.get("impersonate-user"), "system:node:n1");
  assertEquals(api.seen[0]?.request.headers.get("impersonate-group"), "system:nodes");
  for (const path of [PODS, "/apis", "/openapi/v3", "/openapi/v2"]) {
    const refused = await api.app.request(path);
    assertEquals(refused.status, 401);
    await refused.body?.cancel();
  }
  assertEquals(api.seen.length, 1);
});

Deno.test("bodies and Content-Type go through as they are; our own endpoints stay here", async () => {
  await using api = await withUpstream((request) =>
    new Response('{"made":1}', { status: 201, headers: { "X-Verb": request.method } })
  );
  const patch = await api.admin("PATCH", `${PODS}/a?fieldManager=x`, "{ 'a': b }", {
    "Content-Type": "application/apply-patch+yaml",
  });
  assertEquals([patch.status, await patch.text()], [201, '{"made":1}']);
  assertObjectMatch({ ...api.seen[0] }, { body: "{ 'a': b }" });
  assertEquals(
    api.seen[0]?.request.headers.get("content-type"),
    "application/apply-patch+yaml",
  );
  const health = await api.app.request("/health");
  assertEquals(health.status, 200);
  await health.body?.cancel();
  const beat = await api.post("/api/v1/nodes/heartbeat", {});
  assertEquals(beat.status === 400 || beat.status === 401, true);
  await beat.body?.cancel();
  assertEquals(api.seen.length, 1);
});

Deno.test("headers of one connection, cookies and challenges of the upstream are not returned", async () => {
  await using api = await withUpstream(() =>
    new Response("{}", {
      status: 403,
      headers: {
        "Content-Type": "application/json",
        "Connection": "X-Hop",
        "X-Hop": "1",
        "Keep-Alive": "timeout=5",
        "Set-Cookie": "a=b",
        "WWW-Authenticate": "Bearer",
        "Warning": '299 - "old"',
        "X-Kubernetes-Pf-Flowschema-Uid": "u",
      },
    })
  );
  const response = await api.admin("GET", PODS);
  assertEquals(response.status, 403);
  await response.body?.cancel();
  for (const name of ["connection", "x-hop", "keep-alive", "set-cookie", "www-authenticate"]) {
    assertEquals(response.headers.get(name), null, name);
  }
  assertEquals(response.headers.get("warning"), '299 - "old"');
  assertEquals(response.headers.get("x-kubernetes-pf-flowschema-uid"), "u");
});

Deno.test("a watch streams as it comes, and ends upstream when its reader goes", async () => {
  let ended = false;
  let send: ((text: string) => void) | undefined;
  await using api = await withUpstream(() =>
    new Response(
      new ReadableStream({
        start(controller) {
          send = (text) => controller.enqueue(new TextEncoder().encode(text));
        },
        cancel: () => void (ended = true),
      }),
    )
  );
  const response = await api.app.request(`${PODS}?watch=1`, {
    headers: { Authorization: `Bearer ${ADMIN_TOKEN}` },
  });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  assert(reader !== undefined && send !== undefined);
  for (const line of ['{"type":"ADDED"}\n', '{"type":"DELETED"}\n']) {
    send(line);
    assertEquals((await reader.read()).value, line);
  }
  await reader.cancel();
  assertEquals(ended, true);
});

Deno.test("what goes wrong behind is a Status of 502, 503 or 400", async () => {
  const cases: readonly [() => Response, number, string][] = [
    [
      () => {
        throw new TypeError("fetch failed", {
          cause: new Error("for url: client error (Connect): tcp connect error: refused"),
        });
      },
      503,
      "ServiceUnavailable",
    ],
    [
      () => {
        throw new TypeError("fetch failed", {
          cause: new Error("client error (Connect): invalid peer certificate: UnknownIssuer"),
        });
      },
      502,
      "InternalError",
    ],
    [() => new Response("{}", { status: 401 }), 502, "InternalError"],
    [() => Response.redirect("https://elsewhere.test/"), 502, "InternalError"],
  ];
  for (const [answer, code, reason] of cases) {
    await using api = await withUpstream(answer);
    const response = await api.admin("GET", PODS);
    assertEquals(response.status, code);
    assertEquals(response.headers.get("location"), null);
    assertObjectMatch(await response.json(), { kind: "Status", status: "Failure", code, reason });
  }
  await using api = await withUpstream(() => new Response("{}"));
  const upgrade = await api.admin("POST", `${PODS}/a/exec`, "", { Upgrade: "SPDY/3.1" });
  assertMatch((await upgrade.json()).message, /upgraded connections .* are not proxied/);
  assertEquals(upgrade.status, 400);
  assertEquals(api.seen.length, 0);
});

Deno.test("what the admin changes there, or reads of secrets, is in the audit log", async () => {
  await using api = await withUpstream(() => Response.json({}));
  const read = async () => {
    const { records } = await (await api.admin("GET", "/api/v1/audit")).json();
    return records.map((record: { action: string; request: string }) => record.request)
      .filter((request: string) => request.includes("/namespaces/"));
  };
  for (
    const [method, path] of [
      ["GET", PODS],
      ["GET", "/api/v1/namespaces/default/secrets/s"],
      ["GET", "/api/v1/namespaces/default/%73ecrets/t"],
      ["GET", "/api/v1/namespaces/default/secrets%2Fu"],
      ["DELETE", `${PODS}/a`],
    ] as const
  ) await (await api.admin(method, path)).body?.cancel();
  assertEquals(await read(), [
    "GET /api/v1/namespaces/default/secrets/s",
    "GET /api/v1/namespaces/default/secrets/t",
    "GET /api/v1/namespaces/default/secrets%2Fu",
    `DELETE ${PODS}/a`,
  ]);
});
