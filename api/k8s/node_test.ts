import { assertEquals, assertObjectMatch } from "@std/assert";
import { SEAL_TOKEN, type TestApi, testApi } from "../../tests/fakes/api.ts";

const NODE = "worker-1";

async function registered(api: TestApi): Promise<string> {
  api.validator.admit(SEAL_TOKEN, { nodeId: NODE });
  const body = { node_id: NODE, seal_token: SEAL_TOKEN, timestamp: 1 };
  const { session_token } = await (await api.post("/api/v1/register-worker", body)).json();
  return String(session_token);
}

async function beat(api: TestApi, token: string): Promise<void> {
  const response = await api.post("/api/v1/nodes/heartbeat", {
    node_id: NODE,
    timestamp: 1,
    stake_status: "active",
    stake_amount: "1",
    running_pods: 0,
    resource_usage: { cpu_percent: 0, memory_percent: 0, disk_percent: 0 },
  }, { "X-Seal-Token": token });
  assertEquals(response.status, 200);
  await response.body?.cancel();
}

async function ready(api: TestApi): Promise<Record<string, string>> {
  const node = await (await api.admin("GET", `/api/v1/nodes/${NODE}`)).json();
  return node.status.conditions.find((c: { type: string }) => c.type === "Ready");
}

Deno.test("a worker is a Node whose Ready condition follows its state", async () => {
  await using api = await testApi();
  const token = await registered(api);
  const node = await (await api.admin("GET", `/api/v1/nodes/${NODE}`)).json();
  assertEquals(node.metadata.labels, { "kubernetes.io/hostname": NODE });
  assertEquals(node.metadata.annotations["nautilus-tee.io/stake-status"], "active");
  assertObjectMatch(await ready(api), { status: "False", reason: "NoHeartbeatYet" });
  api.time.now += 5_000;
  await beat(api, token);
  assertObjectMatch(await ready(api), {
    status: "True",
    reason: "HeartbeatReceived",
    lastTransitionTime: "2026-11-22T12:00:05Z",
  });
  api.time.now += 100_000;
  await api.workers.sweep();
  assertObjectMatch(await ready(api), { status: "Unknown", reason: "NodeStatusUnknown" });
  const change = await api.workers.planStatusChange(NODE, "slashed");
  await api.store.txn({
    compare: change?.compare ?? [],
    success: change?.operations ?? [],
    failure: [],
  });
  assertObjectMatch(await ready(api), {
    status: "False",
    reason: "AdmissionLost",
    message: "the chain says slashed",
  });
});

Deno.test("what others write to a worker's Node stays", async () => {
  await using api = await testApi();
  const token = await registered(api);
  const path = `/api/v1/nodes/${NODE}`;
  const node = await (await api.admin("GET", path)).json();
  node.metadata.labels.zone = "a";
  node.spec = { unschedulable: true };
  await (await api.admin("PUT", path, node)).body?.cancel();
  await beat(api, token);
  const after = await (await api.admin("GET", path)).json();
  assertEquals(after.metadata.labels.zone, "a");
  assertEquals(after.spec, { unschedulable: true });
  assertEquals((await ready(api))["status"], "True");
});

Deno.test("a worker's session reaches its own node, lease and pods, and nothing else", async () => {
  await using api = await testApi();
  const token = await registered(api);
  const ask = async (method: string, path: string, body?: unknown): Promise<number> => {
    const init: RequestInit = {
      method,
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    };
    if (body !== undefined) init.body = JSON.stringify(body);
    const response = await api.app.request(path, init);
    await response.body?.cancel();
    return response.status;
  };
  const pod = (name: string, nodeName: string) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: { nodeName, containers: [{ name: "c", image: "i" }] },
  });
  const pods = "/api/v1/namespaces/default/pods";
  await (await api.admin("POST", pods, pod("mine", NODE))).body?.cancel();
  await (await api.admin("POST", pods, pod("other", "worker-2"))).body?.cancel();
  await (await api.admin("POST", "/api/v1/nodes", {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "worker-2" },
  })).body?.cancel();

  const mine = "fieldSelector=spec.nodeName%3Dworker-1";
  const lease = {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name: NODE },
    spec: { holderIdentity: NODE },
  };
  const leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
  const status = { ...pod("mine", NODE), status: { phase: "Running" } };
  const allowed: [string, string, unknown?][] = [
    ["GET", `/api/v1/nodes/${NODE}`],
    ["GET", `/api/v1/nodes?fieldSelector=metadata.name%3D${NODE}`],
    ["GET", `${pods}/mine`],
    ["GET", `/api/v1/pods?${mine}`],
    ["GET", `/api/v1/pods?${mine}&watch=true`],
    ["PUT", `${pods}/mine/status`, status],
    ["PUT", `/api/v1/nodes/${NODE}/status`, {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: NODE },
      status: {},
    }],
    ["GET", `${leases}/${NODE}`],
  ];
  // A creation names its object in the body alone, so the path says nothing: PUT after the admin made it.
  await (await api.admin("POST", leases, lease)).body?.cancel();
  for (const [method, path, body] of allowed) {
    assertEquals(await ask(method, path, body), 200, `${method} ${path}`);
  }
  assertEquals(await ask("PUT", `${leases}/${NODE}`, lease), 200);
  const refused: [string, string, unknown?][] = [
    ["GET", "/api/v1/nodes"],
    ["GET", "/api/v1/nodes/worker-2"],
    ["DELETE", `/api/v1/nodes/${NODE}`],
    ["GET", pods],
    ["GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dworker-2"],
    ["GET", `/api/v1/pods?${mine},metadata.name%3Dx`],
    ["GET", `${pods}/other`],
    ["PUT", `${pods}/other/status`, status],
    ["PUT", `${pods}/mine`, pod("mine", "worker-2")],
    ["DELETE", `${pods}/mine`],
    ["POST", pods, pod("new", NODE)],
    ["GET", "/api/v1/namespaces/default/secrets"],
    ["PUT", `${leases}/worker-2`, lease],
  ];
  for (const [method, path, body] of refused) {
    assertEquals(await ask(method, path, body), 403, `${method} ${path}`);
  }
});
