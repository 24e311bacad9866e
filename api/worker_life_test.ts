/** Workers as Kubernetes clients see them, over the real API and store; time is the test's. */
import { assert, assertEquals, assertObjectMatch } from "@std/assert";
import {
  HEARTBEAT_TIMEOUT_MS,
  memoryStore,
  REMOVE_AFTER_MS,
  SEAL_TOKEN,
  type TestApi,
  testApi,
} from "../tests/fakes/api.ts";

const NODE = "worker-1";
const NODE_PATH = `/api/v1/nodes/${NODE}`;
const LEASE_PATH = `/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/${NODE}`;
const CAPACITY = { cpu_cores: 8, memory_bytes: 16 * 1024 ** 3, disk_bytes: 100 * 1024 ** 3 };

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly lastTransitionTime: string;
  readonly lastHeartbeatTime: string;
}

async function admitted(store?: Parameters<typeof testApi>[0]): Promise<TestApi> {
  const api = await testApi(store);
  api.validator.admit(SEAL_TOKEN, { nodeId: NODE });
  return api;
}

async function register(api: TestApi): Promise<string> {
  const body = { node_id: NODE, seal_token: SEAL_TOKEN, timestamp: 1 };
  const response = await api.post("/api/v1/register-worker", body);
  assertEquals(response.status, 200);
  return String((await response.json()).session_token);
}

async function beat(
  api: TestApi,
  session: string,
  more: Record<string, unknown> = {},
  usage: Record<string, number> = {},
): Promise<number> {
  const response = await api.post("/api/v1/nodes/heartbeat", {
    node_id: NODE,
    timestamp: 1,
    stake_status: "active",
    stake_amount: "1",
    running_pods: 0,
    resource_usage: { cpu_percent: 0, memory_percent: 10, disk_percent: 10, ...usage },
    ...more,
  }, { "X-Seal-Token": session });
  await response.body?.cancel();
  return response.status;
}

async function get(api: TestApi, path: string) {
  const response = await api.admin("GET", path);
  return { status: response.status, body: await response.json() };
}

async function conditions(api: TestApi): Promise<Record<string, Condition>> {
  const { body } = await get(api, NODE_PATH);
  const found: Condition[] = body.status.conditions;
  return Object.fromEntries(found.map((condition) => [condition.type, condition]));
}

async function taints(api: TestApi): Promise<string[]> {
  const { body } = await get(api, NODE_PATH);
  const found: { key: string; effect: string }[] = body.spec.taints ?? [];
  return found.map(({ key, effect }) => `${key}:${effect}`);
}

Deno.test("a heartbeat renews the worker's Lease, which goes with its Node", async () => {
  await using api = await admitted();
  const session = await register(api);
  assertEquals((await get(api, LEASE_PATH)).status, 404);
  assertEquals(await beat(api, session), 200);
  await api.workers.sweep();
  const { body: node } = await get(api, NODE_PATH);
  const { body: lease } = await get(api, LEASE_PATH);
  assertEquals(lease.spec, {
    holderIdentity: NODE,
    leaseDurationSeconds: 90,
    renewTime: "2026-11-22T12:00:00.000000Z",
  });
  assertEquals(lease.metadata.ownerReferences, [
    { apiVersion: "v1", kind: "Node", name: NODE, uid: node.metadata.uid },
  ]);
  api.time.now += 30_000;
  assertEquals(await beat(api, session), 200);
  await api.workers.sweep();
  const renewed = await get(api, LEASE_PATH);
  assertEquals(renewed.body.spec.renewTime, "2026-11-22T12:00:30.000000Z");
  assertEquals(renewed.body.metadata.uid, lease.metadata.uid);
  assertEquals(
    (await get(api, NODE_PATH)).body.metadata.resourceVersion,
    node.metadata.resourceVersion,
  );
});

Deno.test("heartbeats that say nothing new and come early write no object", async () => {
  await using api = await admitted();
  const session = await register(api);
  await beat(api, session);
  await api.workers.sweep();
  const before = api.store.revision("k8s");
  for (let i = 0; i < 5; i++) {
    api.time.now += 2_000;
    assertEquals(await beat(api, session), 200);
    await api.workers.sweep();
  }
  assertEquals(api.store.revision("k8s"), before);
  api.time.now += 300_000;
  await api.workers.sweep(); // silent: lost
  assertEquals(await beat(api, session), 200);
  assertEquals((await conditions(api))["Ready"]?.status, "True");
});

Deno.test("the Leases of many workers are renewed in one transaction", async () => {
  await using api = await testApi();
  const sessions = await Promise.all(Array.from({ length: 40 }, async (_, i) => {
    const seal = `seal_0x${i.toString(16).padStart(64, "0")}`;
    api.validator.admit(seal, { nodeId: `n${i}` });
    const body = { node_id: `n${i}`, seal_token: seal, timestamp: 1 };
    const answer = await (await api.post("/api/v1/register-worker", body)).json();
    return String(answer.session_token);
  }));
  const all = () =>
    Promise.all(sessions.map((session, i) => beat(api, session, { node_id: `n${i}` })));
  await all();
  await api.workers.sweep();
  api.time.now += 30_000;
  assertEquals(new Set(await all()), new Set([200]));
  const before = api.store.revision("k8s");
  await api.workers.sweep();
  assertEquals(api.store.revision("k8s"), before + 1);
});

Deno.test("capacity and pressure of the heartbeat stand in the Node", async () => {
  await using api = await admitted();
  const session = await register(api);
  await beat(api, session, { capacity: CAPACITY });
  const { body: node } = await get(api, NODE_PATH);
  const wanted = { cpu: "8", memory: "16777216Ki", "ephemeral-storage": "104857600Ki" };
  assertEquals(node.status.capacity, wanted);
  assertEquals(node.status.allocatable, wanted);
  assertObjectMatch(await conditions(api), {
    MemoryPressure: { status: "False", reason: "KubeletHasSufficientMemory" },
    DiskPressure: { status: "False", reason: "KubeletHasNoDiskPressure" },
    Ready: { status: "True" },
  });
  assertEquals(await taints(api), []);

  api.time.now += 5_000;
  await beat(api, session, { capacity: CAPACITY }, { disk_percent: 92 });
  await api.workers.sweep();
  assertObjectMatch(await conditions(api), {
    DiskPressure: {
      status: "True",
      reason: "KubeletHasDiskPressure",
      lastTransitionTime: "2026-11-22T12:00:05Z",
    },
    Ready: { status: "True", lastTransitionTime: "2026-11-22T12:00:00Z" },
  });
  assertEquals(await taints(api), ["node.kubernetes.io/disk-pressure:NoSchedule"]);

  // It ends below a lower figure than it began at.
  api.time.now += 5_000;
  await beat(api, session, {}, { disk_percent: 87 });
  await api.workers.sweep();
  assertEquals((await conditions(api))["DiskPressure"]?.status, "True");
  api.time.now += 5_000;
  await beat(api, session, {}, { disk_percent: 84 });
  await api.workers.sweep();
  assertObjectMatch(await conditions(api), {
    DiskPressure: { status: "False", lastTransitionTime: "2026-11-22T12:00:15Z" },
  });
  assertEquals(await taints(api), []);
});

Deno.test("a capacity that cannot be one is 400 and names the field", async () => {
  await using api = await admitted();
  const session = await register(api);
  for (
    const capacity of [
      { ...CAPACITY, cpu_cores: 0 },
      { ...CAPACITY, memory_bytes: -1 },
      { ...CAPACITY, gpus: 1 },
      { cpu_cores: 1 },
    ]
  ) assertEquals(await beat(api, session, { capacity }), 400);
});

Deno.test("ready, active, lost, removed: conditions, taints and objects follow the clock", async () => {
  await using api = await admitted();
  const session = await register(api);
  assertObjectMatch(await conditions(api), {
    Ready: { status: "False", reason: "NoHeartbeatYet" },
  });
  assertEquals(await taints(api), [
    "node.kubernetes.io/not-ready:NoSchedule",
    "node.kubernetes.io/not-ready:NoExecute",
  ]);
  await beat(api, session);
  await api.workers.sweep();
  assertEquals(await taints(api), []);

  api.time.now += HEARTBEAT_TIMEOUT_MS + 1_000;
  assertEquals((await api.workers.sweep()).lost, [NODE]);
  const unknown = {
    status: "Unknown",
    reason: "NodeStatusUnknown",
    message: "Kubelet stopped posting node status.",
    lastHeartbeatTime: "2026-11-22T12:00:00Z",
    lastTransitionTime: "2026-11-22T12:01:31Z",
  };
  assertObjectMatch(await conditions(api), {
    Ready: unknown,
    MemoryPressure: unknown,
    DiskPressure: unknown,
  });
  assertEquals(await taints(api), [
    "node.kubernetes.io/unreachable:NoSchedule",
    "node.kubernetes.io/unreachable:NoExecute",
  ]);

  api.time.now += REMOVE_AFTER_MS;
  assertEquals((await api.workers.sweep()).removed, []);
  api.time.now += 1;
  assertEquals((await api.workers.sweep()).removed, [NODE]);
  assertEquals((await get(api, NODE_PATH)).status, 404);
  assertEquals((await get(api, LEASE_PATH)).status, 404);
  assertEquals(api.workers.get(NODE), undefined);
  assertEquals(await beat(api, session), 401);
  // The name is free again.
  assertEquals(await beat(api, await register(api)), 200);
});

Deno.test("removal ends a session that could still have lived, and tells who waits for it", async () => {
  await using api = await admitted({ removeAfterMs: 60_000 });
  const session = await register(api);
  await beat(api, session);
  let ended = 0;
  api.workers.onSessionEnd(NODE, () => ended++);
  api.time.now += HEARTBEAT_TIMEOUT_MS + 1;
  await api.workers.sweep();
  assertEquals(api.workers.authenticate(session), NODE);
  api.time.now += 60_001;
  assertEquals((await api.workers.sweep()).removed, [NODE]);
  assertEquals([api.workers.authenticate(session), ended], [undefined, 1]);
});

Deno.test("a worker that never beats is lost as one that never posted its status", async () => {
  await using api = await admitted();
  await register(api);
  api.time.now += HEARTBEAT_TIMEOUT_MS + 1;
  await api.workers.sweep();
  assertObjectMatch(await conditions(api), {
    Ready: { status: "Unknown", reason: "NodeStatusNeverUpdated" },
  });
});

Deno.test("a Node with finalizers is marked, and its worker is removed all the same", async () => {
  await using api = await admitted();
  const session = await register(api);
  await beat(api, session);
  const { body: node } = await get(api, NODE_PATH);
  node.metadata.finalizers = ["example.com/drain"];
  assertEquals((await api.admin("PUT", NODE_PATH, node)).status, 200);
  api.time.now += HEARTBEAT_TIMEOUT_MS + 1;
  await api.workers.sweep();
  api.time.now += REMOVE_AFTER_MS + 1;
  assertEquals((await api.workers.sweep()).removed, [NODE]);
  const { status, body } = await get(api, NODE_PATH);
  assertEquals(status, 200);
  assert(typeof body.metadata.deletionTimestamp === "string");
});

Deno.test("taints and conditions that others set stay through every state", async () => {
  await using api = await admitted();
  const session = await register(api);
  const { body: node } = await get(api, NODE_PATH);
  node.spec = { ...node.spec, taints: [...node.spec.taints, { key: "gpu", effect: "NoSchedule" }] };
  assertEquals((await api.admin("PUT", NODE_PATH, node)).status, 200);
  await beat(api, session);
  assertEquals(await taints(api), ["gpu:NoSchedule"]);
  api.time.now += HEARTBEAT_TIMEOUT_MS + 1;
  await api.workers.sweep();
  assertEquals(await taints(api), [
    "gpu:NoSchedule",
    "node.kubernetes.io/unreachable:NoSchedule",
    "node.kubernetes.io/unreachable:NoExecute",
  ]);
});

Deno.test("a refused worker that beat just before stays refused in its Node", async () => {
  await using api = await admitted();
  const session = await register(api);
  await beat(api, session);
  const change = await api.workers.planStatusChange(NODE, "slashed");
  assert(change !== undefined);
  const { compare, operations: success } = change;
  const response = await api.store.txn({ compare, success, failure: [] });
  // Before `applied` runs: memory still says active, and the flush must not believe it.
  await api.workers.sweep();
  assertEquals((await conditions(api))["Ready"]?.reason, "AdmissionLost");
  change.applied(response.revisions.system);
  await api.workers.sweep();
  assertEquals((await conditions(api))["Ready"]?.reason, "AdmissionLost");
});

Deno.test("a renewal finds its way around somebody who writes the same Lease", async () => {
  await using api = await admitted();
  const session = await register(api);
  await beat(api, session);
  await api.workers.sweep();
  const { body: lease } = await get(api, LEASE_PATH);
  lease.metadata.labels = { zone: "a" };
  lease.spec.leaseTransitions = 3;
  assertEquals((await api.admin("PUT", LEASE_PATH, lease)).status, 200);
  api.time.now += 30_000;
  await beat(api, session);
  await api.workers.sweep();
  const { body } = await get(api, LEASE_PATH);
  assertEquals([body.metadata.labels, body.spec.leaseTransitions], [{ zone: "a" }, 3]);
  assertEquals(body.spec.renewTime, "2026-11-22T12:00:30.000000Z");
});

Deno.test("a deleted Lease or Node comes back with the heartbeats", async () => {
  await using api = await admitted();
  const session = await register(api);
  await beat(api, session);
  await api.workers.sweep();
  assertEquals((await api.admin("DELETE", LEASE_PATH)).status, 200);
  assertEquals((await api.admin("DELETE", NODE_PATH)).status, 200);
  api.time.now += 30_000;
  await beat(api, session);
  await api.workers.sweep();
  assertEquals((await get(api, LEASE_PATH)).status, 200);
  assertEquals((await conditions(api))["Ready"]?.status, "True");
});

Deno.test("after a restart heartbeats go on under the same session, and renew the same Lease", async () => {
  const store = await memoryStore();
  await using first = await admitted({ store });
  const session = await register(first);
  await beat(first, session);
  await first.workers.sweep();
  const { body: before } = await get(first, LEASE_PATH);
  const again = await admitted({ store });
  again.time.now = first.time.now + 30_000;
  assertEquals(await beat(again, session), 200);
  await again.workers.sweep();
  const { body: after } = await get(again, LEASE_PATH);
  assertEquals(after.metadata.uid, before.metadata.uid);
  assertEquals(after.spec.renewTime, "2026-11-22T12:00:30.000000Z");
});
