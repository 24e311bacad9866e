/**
 * What a worker's session may do at a real kube-apiserver behind the built master, and nobody else.
 * NAUTILUS_TEST_KUBE_APISERVER names the program; tests/kubernetes/build.sh makes it.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type SpawnedNode, spawnFakeNode } from "../fakes/sui/spawn.ts";
import {
  done,
  grant,
  kubectl,
  planCluster,
  refused,
  type Send,
  sender,
  startApiServer,
  startControllers,
  until,
} from "../kubernetes/cluster.ts";
import { withKubernetes } from "../kubernetes/programs.ts";
import { asRecord, makePlace, type Master, type Place, startMaster } from "./harness.ts";
import { joinOnce, makeWorker, type TestWorker } from "./worker.ts";

function chainSettings(chain: SpawnedNode): Record<string, string> {
  return {
    CONTRACT_ADDRESS: chain.packageId,
    SUI_RPC_ENDPOINT: chain.url,
    NAUTILUS_SUI_REGISTRY: chain.registryId,
    NAUTILUS_CLUSTER_ID: chain.clusterId,
  };
}

/** The token of the session that the worker gets when it joins. */
async function sessionOf(
  place: Place,
  master: Master,
  worker: TestWorker,
  flags: readonly string[],
): Promise<string> {
  const joined = await joinOnce(place, master, worker, flags);
  assertEquals(joined.code, 0, joined.stderr);
  const token = asRecord(JSON.parse(joined.stdout))["session_token"];
  assert(typeof token === "string");
  return token;
}

function asking(send: Send) {
  return async (method: string, path: string, body?: unknown) => {
    const response = await send(path, {
      method,
      body: body === undefined ? null : JSON.stringify(body),
      headers: {
        "Content-Type": method === "PATCH"
          ? "application/strategic-merge-patch+json"
          : "application/json",
      },
    });
    return { status: response.status, body: asRecord(await response.json()) };
  };
}

const CONFIG_MAPS = "/api/v1/namespaces/default/configmaps";
const node = (name: string) => ({ apiVersion: "v1", kind: "Node", metadata: { name } });

withKubernetes(
  "a worker is its own node there and no other; others are nobody",
  async (programs) => {
    await using chain = await spawnFakeNode();
    await using place = await makePlace();
    const plan = await planCluster(place);
    const worker = await makeWorker(place, chain);
    await using master = await startMaster(place, [], {
      ...plan.masterEnv,
      ...chainSettings(chain),
      NAUTILUS_K3S_SERVER_URL: "https://k3s.test:6443",
    });
    await using _api = await startApiServer(place, plan, programs.apiServer);
    const run = kubectl(place, `${place.data}/admin.kubeconfig`);
    const direct = kubectl(place, plan.directKubeconfig);
    await done(run(["create", "secret", "generic", "s"]));
    const env = `${place.cwd}/k3s-agent.env`;
    const early = await joinOnce(place, master, worker, ["--k3s-env", env]);
    assertStringIncludes(early.stderr, "k3s_unavailable"); // the credential has no right to Secrets yet
    await grant(direct, "to make join tokens");
    await until("the role is known", async () => {
      const args = ["-n", "kube-system", "auth", "can-i", "create", "secrets"];
      return (await kubectl(place, plan.credentialKubeconfig)(args)).stdout === "yes\n";
    });
    const token = await sessionOf(place, master, worker, ["--k3s-env", env]);
    const tokens = ["-n", "kube-system", "get", "secrets", "-o", "jsonpath={.items[*].type}"];
    assertEquals(await done(run(tokens)), "bootstrap.kubernetes.io/token");
    using own = await sender(place, token);
    const ask = asking(own.send);
    const review = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "SelfSubjectReview",
    };
    const me = await ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review);
    const user = asRecord(asRecord(me.body["status"])["userInfo"]);
    assertEquals([user["username"], user["groups"]], [
      "system:node:worker-1",
      ["system:nodes", "system:authenticated"],
    ]);
    assertEquals((await ask("POST", "/api/v1/nodes", node("worker-1"))).status, 201);
    assertEquals((await ask("GET", "/api/v1/nodes/worker-1")).status, 200);
    for (
      const [method, path, body] of [
        ["POST", "/api/v1/nodes", node("worker-2")],
        ["DELETE", "/api/v1/nodes/worker-2", undefined],
        ["GET", "/api/v1/namespaces/default/secrets/s", undefined],
        ["GET", "/api/v1/secrets", undefined],
        ["POST", CONFIG_MAPS, { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "x" } }],
      ] as const
    ) {
      const { status, body: said } = await ask(method, path, body);
      assertEquals([status, said["reason"]], [403, "Forbidden"], `${method} ${path}`);
    }
    // The pods of others are kept from it by the Node authorizer of 1.32 and later.
    const { body: release } = await ask("GET", "/version");
    const everybodys = await ask("GET", "/api/v1/pods");
    assertEquals(everybodys.status, Number(release["minor"]) < 32 ? 200 : 403);
    // Its session's end is the end of it, in the middle of a watch, too.
    const watch = await own.send("/api/v1/nodes?watch=1&fieldSelector=metadata.name%3Dworker-1");
    assertEquals(watch.status, 200);
    await chain.control("entry", { token_id: worker.token, status: "slashed" });
    await watch.text().catch(() => {}); // cut off: it may have been within a line
    assertEquals((await ask("GET", "/api/v1/nodes/worker-1")).status, 401);
    await until("its join token is gone", async () => await done(run(tokens)) === "");
    assertEquals((await done(run(["get", "nodes", "-o", "name"]))).trim(), "node/worker-1");

    // Past the master: the credential is nobody by itself, and an address of the chain is default-deny.
    const credential = kubectl(place, plan.credentialKubeconfig);
    assertStringIncludes(await refused(credential(["get", "pods"])), "Forbidden");
    const address = `sui:0x${"ab".repeat(32)}`;
    assertStringIncludes(await refused(credential(["get", "pods", "--as", address])), address);
    assertStringIncludes(
      await refused(credential(["get", "pods", "--as", "x", "--as-group", "system:other"])),
      'cannot impersonate resource "groups"',
    );
  },
);

const READY = {
  status: {
    capacity: { cpu: "4", memory: "8Gi", pods: "110" },
    allocatable: { cpu: "4", memory: "8Gi", pods: "110" },
    conditions: [{
      type: "Ready",
      status: "True",
      reason: "KubeletReady",
      lastHeartbeatTime: new Date().toISOString().replace(/\.\d+/, ""),
      lastTransitionTime: new Date().toISOString().replace(/\.\d+/, ""),
    }],
  },
};
const RUNNING = {
  status: {
    phase: "Running",
    conditions: ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map((type) => ({
      type,
      status: "True",
    })),
  },
};

withKubernetes(
  "a Deployment becomes available by controllers, scheduler and a worker's session",
  async (programs) => {
    await using chain = await spawnFakeNode();
    await using place = await makePlace();
    const plan = await planCluster(place);
    const worker = await makeWorker(place, chain);
    await using master = await startMaster(place, [], {
      ...plan.masterEnv,
      ...chainSettings(chain),
    });
    await using _api = await startApiServer(place, plan, programs.apiServer);
    await using _controllers = await startControllers(place, plan, programs);
    const run = kubectl(place, `${place.data}/admin.kubeconfig`);
    using own = await sender(place, await sessionOf(place, master, worker, []));
    const ask = asking(own.send);
    assertEquals((await ask("POST", "/api/v1/nodes", node("worker-1"))).status, 201);
    assertEquals((await ask("PATCH", "/api/v1/nodes/worker-1/status", READY)).status, 200);
    await until("accounts are made", async () => {
      return (await run(["get", "serviceaccount", "default"])).code === 0;
    });
    await done(run(["create", "deployment", "web", "--image=nginx", "--replicas=3"]));
    const pods = "/api/v1/namespaces/default/pods";
    const mine = async () => {
      const { body } = await ask("GET", `${pods}?fieldSelector=spec.nodeName%3Dworker-1`);
      const { items } = body;
      assert(Array.isArray(items));
      return items.map((item: unknown) => String(asRecord(asRecord(item)["metadata"])["name"]));
    };
    await until("the pods are the worker's", async () => (await mine()).length === 3);
    for (const name of await mine()) {
      assertEquals((await ask("PATCH", `${pods}/${name}/status`, RUNNING)).status, 200);
    }
    await done(run(["wait", "--for=condition=Available", "deployment/web", "--timeout=60s"]));
    await done(run(["rollout", "status", "deployment/web", "--timeout=60s"]));
    assertMatch(await done(run(["get", "deployment", "web"])), /web +3\/3 +3 +3 /);
    // A pod of another node is none of its business.
    const pod = {
      ...node("other"),
      kind: "Pod",
      spec: { nodeName: "worker-2", containers: [{ name: "c", image: "i" }] },
    };
    await done(run(["create", "-f", "-"], JSON.stringify(pod)));
    assertEquals((await ask("PATCH", `${pods}/other/status`, RUNNING)).status, 403);
  },
);
