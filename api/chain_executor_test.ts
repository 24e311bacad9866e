import { assert, assertEquals, assertMatch, assertObjectMatch, assertRejects } from "@std/assert";
import { getLogger } from "@logtape/logtape";
import type { ChainEvent, K8sRequestFromChain } from "../sui/chain_event.ts";
import type { ChainDelivery } from "../sui/events.ts";
import { createChainExecutor } from "./chain_executor.ts";
import { abandon, oldest } from "./result_outbox.ts";
import { REQUESTER, SEAL_TOKEN, type TestApi, testApi, TOKEN_ID } from "../tests/fakes/api.ts";

const GRANT = {
  address: REQUESTER,
  namespaces: ["default"],
  verbs: ["create", "get", "list", "update", "delete"],
  resources: ["pods", "configmaps", "secrets", "deployments.apps"],
};

let count = 0;

function delivery(event: ChainEvent, previousCursor: string | undefined): ChainDelivery {
  count++;
  return {
    event,
    cursor: `cursor-${count}`,
    previousCursor,
    dedupeKey: `digest${count}/0`,
    checkpoint: 7n,
    sender: REQUESTER,
  };
}

function request(overrides: Partial<K8sRequestFromChain> = {}): ChainEvent {
  return {
    kind: "k8s_request",
    request: {
      method: "POST",
      namespace: "default",
      resource: "Pod",
      name: "web",
      path: undefined,
      payload: JSON.stringify({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "web" },
        spec: { containers: [] },
      }),
      requester: REQUESTER,
      requestId: "r-1",
      priority: 5,
      assignedWorker: undefined,
      sealTokenId: undefined,
      timestampMs: 1n,
      ...overrides,
    },
  };
}

async function apply(api: TestApi, event: ChainEvent) {
  const outcome = await api.executor.apply(delivery(event, await api.executor.cursorStore.load()));
  assert(outcome.kind === "applied");
  return outcome.result;
}

Deno.test("apply() does what HTTP does, as the requester, in one revision with the cursor", async () => {
  await using api = await testApi({ grants: [GRANT] });
  const before = api.store.head().sequence;
  const given = delivery(request(), undefined);
  const outcome = await api.executor.apply(given);
  assert(outcome.kind === "applied");
  assertObjectMatch(outcome.result, {
    success: true,
    code: 201,
    requestId: "r-1",
    requester: REQUESTER,
    change: { status: "created", key: "/registry/core/pods/default/web" },
  });
  assertMatch(outcome.result.digest ?? "", /^[0-9a-f]{64}$/);
  assertEquals(api.store.head().sequence, before + 1n);
  assertEquals(await api.executor.cursorStore.load(), given.cursor);
  assertEquals(await api.executor.result(given), outcome.result);
  const pod = await (await api.admin("GET", "/api/v1/namespaces/default/pods/web")).json();
  assertEquals(pod.metadata.name, "web");
});

Deno.test("apply() of the same event again changes nothing", async () => {
  await using api = await testApi({ grants: [GRANT] });
  const given = delivery(request(), undefined);
  await api.executor.apply(given);
  const sequence = api.store.head().sequence;
  assertEquals(await api.executor.apply(given), { kind: "duplicate" });
  assertEquals(api.store.head().sequence, sequence);
});

Deno.test("apply() of an event under a later cursor changes nothing but the cursor", async () => {
  await using api = await testApi({ grants: [GRANT] });
  const first = delivery(request(), undefined);
  await api.executor.apply(first);
  const revision = api.store.revision("k8s");
  const again = { ...delivery(request(), first.cursor), dedupeKey: first.dedupeKey };
  assertEquals(await api.executor.apply(again), { kind: "duplicate" });
  assertEquals(await api.executor.cursorStore.load(), again.cursor);
  assertEquals(api.store.revision("k8s"), revision);
  const next = delivery(request({ name: "c", resource: "cm", payload: "{}" }), again.cursor);
  assertEquals((await api.executor.apply(next)).kind, "applied");
  const stray = { ...delivery(request(), "elsewhere"), dedupeKey: first.dedupeKey };
  await assertRejects(() => api.executor.apply(stray), Error, "cursor");
});

Deno.test("the chain names the object beside its payload, which need not name it", async () => {
  await using api = await testApi({ grants: [GRANT] });
  const payload = JSON.stringify({ data: { a: "b" } });
  const result = await apply(api, request({ resource: "ConfigMap", name: "bare", payload }));
  assertEquals(result.change, {
    status: "created",
    key: "/registry/core/configmaps/default/bare",
  });
});

Deno.test("results() finds what became of a request by its id, every time it was used", async () => {
  await using api = await testApi({ grants: [GRANT] });
  assertEquals(await api.executor.results("r-1"), []);
  await apply(api, request());
  await apply(api, request());
  await apply(api, request({ requestId: "r-10", name: "d" }));
  const results = await api.executor.results("r-1");
  assertEquals(results.map(({ result }) => result.code), [201, 409]);
  assertMatch(results[0]?.event ?? "", /^digest\d+\/0$/);
  assertEquals(results[0]?.checkpoint, "7");
});

Deno.test("results wait to be written back where that is on, but not of what is passed over", async () => {
  await using api = await testApi({ grants: [GRANT] });
  const { store, k8s, workers } = api;
  const log = getLogger(["test"]);
  const executor = createChainExecutor({
    store,
    k8s,
    workers,
    clock: Date.now,
    log,
    writeBack: true,
  });
  const first = delivery(request({ requestId: "executed" }), undefined);
  const second = delivery(request({ requestId: "skipped" }), first.cursor);
  const third = delivery(request({ requestId: undefined, name: "other" }), second.cursor);
  await executor.apply(first);
  await executor.apply(second, true);
  await executor.apply(third);
  const { entry, count } = await oldest(store);
  assertEquals([count, entry?.result.requestId, entry?.result.success], [1, "executed", true]);
  const states = async (id: string) =>
    (await executor.results(id)).map(({ writeBack }) => writeBack);
  assertEquals([await states("executed"), await states("skipped")], [["waiting"], ["off"]]);
  assert(entry !== undefined);
  for (const why of ["given_up", "answered"] as const) {
    await abandon(store, entry, why);
    assertEquals(await states("executed"), [why]);
  }
});

Deno.test("forget() lets go of results that are too old or too many; events stay applied", async () => {
  await using api = await testApi({ grants: [GRANT] });
  const { store, k8s, workers, time } = api;
  const executor = createChainExecutor({
    store,
    k8s,
    workers,
    clock: () => time.now,
    log: getLogger(["test"]),
    retention: { maxAgeMs: 1_000, maxResults: 600 },
  });
  const given: ChainDelivery[] = [];
  const applyMany = async (count: number, requestId: string) => {
    for (let i = 0; i < count; i++) {
      const payload = "";
      given.push({
        ...delivery(
          request({ requestId, method: "GET", resource: "cm", payload }),
          given.at(-1)?.cursor,
        ),
        checkpoint: BigInt(given.length + 8),
      });
    }
    await Promise.all(given.slice(-count).map((one) => executor.apply(one)));
  };
  const keys = async () => {
    const range = { key: new TextEncoder().encode("/chain/"), rangeEnd: Uint8Array.of(0x30) };
    return (await store.range("system", { ...range, countOnly: true })).count;
  };
  await applyMany(10, "old");
  time.now += 1_001;
  await applyMany(590, "new");
  assertEquals(await executor.forget(), 10);
  assertEquals([await executor.results("old"), await executor.forget()], [[], 0]);
  await applyMany(15, "newer");
  assertEquals(await executor.forget(), 5);
  assertEquals((await executor.results("newer")).length, 15);
  // Results, their places by request id, and the cursor.
  assertEquals(await keys(), 2 * 600 + 1);
  const [first] = given;
  assert(first !== undefined);
  assertEquals(await executor.result(first), undefined);
  await assertRejects(() => executor.apply(first), Error, "cursor");
});

Deno.test("apply() refuses to go on from a cursor that is not the stored one", async () => {
  await using api = await testApi({ grants: [GRANT] });
  await api.executor.apply(delivery(request(), undefined));
  await assertRejects(() => api.executor.apply(delivery(request(), undefined)), Error, "cursor");
  await assertRejects(() => api.executor.cursorStore.save("x", "elsewhere"), Error, "cursor");
  const cursor = await api.executor.cursorStore.load();
  await api.executor.cursorStore.save("further", cursor);
  assertEquals(await api.executor.cursorStore.load(), "further");
});

Deno.test("refused requests are stored results, and the cursor moves on", async () => {
  await using api = await testApi({ grants: [GRANT] });
  const revision = api.store.revision("k8s");
  const stranger = `0x${"11".repeat(32)}`;
  const secret = JSON.stringify({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "s" },
    stringData: { a: "b" },
  });
  const cases: [string, Partial<K8sRequestFromChain>, number][] = [
    ["a stranger", { requester: stranger }, 403],
    ["another namespace", { namespace: "kube-system", payload: "" }, 403],
    ["a kind not granted", { resource: "ServiceAccount", payload: "" }, 403],
    ["the cluster", { resource: "Namespace", namespace: "", payload: "" }, 403],
    ["secrets, granted or not", { resource: "secrets", name: "s", payload: secret }, 403],
    ["reading secrets", { method: "GET", resource: "secrets", name: "s", payload: "" }, 403],
    ["a kind not known", { resource: "Gadget" }, 404],
    ["a method not known", { method: "EXEC" }, 405],
    ["no JSON", { payload: "{" }, 400],
    ["another name inside", { name: "other" }, 400],
    ["another namespace inside", {
      payload: `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"x"}}`,
    }, 400],
    ["what is not there", { method: "DELETE", payload: "" }, 404],
    ["a path to nowhere", { path: "/nowhere", payload: "" }, 400],
    ["a subresource", { path: "/api/v1/namespaces/default/pods/web/status", method: "PUT" }, 400],
    ["a path of another kind", { path: "/api/v1/namespaces/default/configmaps/web" }, 400],
    ["a key that leads out of a volume", {
      resource: "ConfigMap",
      payload: `{"metadata":{"name":"web"},"data":{"../x":"y"}}`,
    }, 422],
  ];
  for (const [what, overrides, code] of cases) {
    const result = await apply(api, request(overrides));
    assertEquals([result.success, result.code], [false, code], what);
    assert((result.reason ?? "") !== "", what);
    assertEquals(result.digest, undefined, what);
  }
  assertEquals(api.store.revision("k8s"), revision);
});

Deno.test("both shapes of a request come to the same: verbs and kinds, methods and paths", async () => {
  await using api = await testApi({ grants: [GRANT] });
  const config = (data: string) =>
    `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: "${data}"}\n`;
  const original = {
    requestId: undefined,
    priority: undefined,
    name: "",
    path: "/api/v1/namespaces/default/configmaps",
    resource: "ConfigMap",
  };
  assertEquals((await apply(api, request({ ...original, payload: config("1") }))).code, 201);
  const put = await apply(
    api,
    request({
      ...original,
      method: "PUT",
      path: "/api/v1/namespaces/default/configmaps/c",
      payload: config("2"),
    }),
  );
  assertEquals(put.change?.status, "updated");
  const get = await apply(api, request({ method: "get", resource: "cm", name: "c", payload: "" }));
  assertEquals([get.code, get.digest], [200, put.digest]);
  const list = await apply(
    api,
    request({ method: "GET", resource: "configmaps", name: "", payload: "" }),
  );
  assertEquals(list.code, 200);
  const gone = await apply(
    api,
    request({ method: "DELETE", resource: "configmap", name: "c", payload: "" }),
  );
  assertEquals(gone.change, { status: "deleted", key: "/registry/core/configmaps/default/c" });
});

Deno.test("what was read never stands in the stored result", async () => {
  await using api = await testApi({ grants: [GRANT] });
  await api.admin("POST", "/api/v1/namespaces/default/configmaps", {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "c" },
    data: { a: "private-value" },
  });
  const given = delivery(
    request({ method: "GET", resource: "cm", name: "c", payload: "" }),
    undefined,
  );
  await api.executor.apply(given);
  const key = new TextEncoder().encode(`/chain/events/${"7".padStart(20, "0")}/${given.dedupeKey}`);
  const { kvs } = await api.store.range("system", { key });
  assert(!new TextDecoder().decode(kvs[0]?.value).includes("private-value"));
});

Deno.test("a pod that the chain assigned runs on that worker", async () => {
  await using api = await testApi({ grants: [GRANT] });
  await apply(api, request({ assignedWorker: "worker-1" }));
  const pod = await (await api.admin("GET", "/api/v1/namespaces/default/pods/web")).json();
  assertEquals(pod.spec.nodeName, "worker-1");
  const contrary = JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "b" },
    spec: { nodeName: "elsewhere" },
  });
  const result = await apply(
    api,
    request({ name: "b", payload: contrary, assignedWorker: "worker-1" }),
  );
  assertEquals(result.code, 400);
});

Deno.test("a slashed worker's session ends with the event", async () => {
  await using api = await testApi();
  api.validator.admit(SEAL_TOKEN, { nodeId: "n1" });
  const body = { node_id: "n1", seal_token: SEAL_TOKEN, timestamp: 1 };
  const { session_token } = await (await api.post("/api/v1/register-worker", body)).json();
  assertEquals(api.workers.authenticate(session_token), "n1");
  const changed = (newStatus: "slashed" | "active"): ChainEvent => ({
    kind: "worker_status_changed",
    nodeId: "n1",
    oldStatus: "active",
    newStatus,
    timestampMs: 1n,
  });
  await apply(api, changed("slashed"));
  assertEquals(api.workers.authenticate(session_token), undefined);
  assertObjectMatch(api.workers.get("n1") ?? {}, { state: "refused", stakeStatus: "slashed" });
  await apply(api, changed("active"));
  assertEquals(api.workers.authenticate(session_token), undefined);
  const restarted = await testApi({ store: api.store });
  assertEquals(restarted.workers.get("n1")?.state, "refused");
});

Deno.test("a revoked token ends its session, another token's revocation does not", async () => {
  await using api = await testApi();
  api.validator.admit(SEAL_TOKEN, { nodeId: "n1" });
  const body = { node_id: "n1", seal_token: SEAL_TOKEN, timestamp: 1 };
  const { session_token } = await (await api.post("/api/v1/register-worker", body)).json();
  const revoked = (tokenId: string): ChainEvent => ({
    kind: "seal_token_revoked",
    nodeId: "n1",
    tokenId,
    timestampMs: 1n,
  });
  await apply(api, revoked(`0x${"77".repeat(32)}`));
  assertEquals(api.workers.authenticate(session_token), "n1");
  await apply(api, revoked(TOKEN_ID));
  assertEquals(api.workers.authenticate(session_token), undefined);
});

Deno.test("events that concern nobody here are recorded and passed over", async () => {
  await using api = await testApi();
  const events: [ChainEvent, boolean][] = [
    [{ kind: "unknown", type: "0x1::m::E" }, true],
    [{ kind: "undecodable", type: "0x1::m::E", reason: "too short" }, false],
    [{
      kind: "worker_status_changed",
      nodeId: "x",
      oldStatus: "active",
      newStatus: "slashed",
      timestampMs: 1n,
    }, true],
  ];
  for (const [event, success] of events) assertEquals((await apply(api, event)).success, success);
});

Deno.test("a payload larger than an object may be is refused once, not retried forever", async () => {
  await using api = await testApi({ grants: [GRANT] });
  const payload = JSON.stringify({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "big" },
    data: { a: "x".repeat(2_500_000) },
  });
  const result = await apply(api, request({ resource: "cm", name: "big", payload }));
  assertEquals(result.code, 413);
  assertEquals((await apply(api, request())).code, 201);
});

Deno.test("HTTP and chain may race for one object: both come to an answer", async () => {
  await using api = await testApi({ grants: [GRANT] });
  await apply(api, request());
  const pods = "/api/v1/namespaces/default/pods/web";
  const update = { apiVersion: "v1", kind: "Pod", metadata: { name: "web" }, spec: { n: 1 } };
  const [result, ...answers] = await Promise.all([
    apply(api, request({ method: "PUT", payload: JSON.stringify({ ...update, spec: { n: 0 } }) })),
    ...Array.from({ length: 6 }, (_, n) => api.admin("PUT", pods, { ...update, spec: { n } })),
  ]);
  assertEquals(result.success, true);
  assertEquals(answers.map((answer) => answer.status), Array(6).fill(200));
});
