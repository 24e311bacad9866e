/**
 * A real kube-apiserver on the built master's etcd listener and behind its Kubernetes paths.
 * NAUTILUS_TEST_KUBE_APISERVER names the program; tests/kubernetes/build.sh makes it. Where
 * kube-controller-manager and kube-scheduler lie beside it, they run, too.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { hasKubectl } from "../fakes/kubectl.ts";
import { type SpawnedNode, spawnFakeNode } from "../fakes/sui/spawn.ts";
import {
  type ClusterPlan,
  done,
  kubectl,
  planCluster,
  refused,
  type Send,
  sender,
  startApiServer,
  startController,
  until,
} from "../kubernetes/cluster.ts";
import { asRecord, makePlace, type Master, type Place, startMaster } from "./harness.ts";
import { joinOnce, makeWorker, type TestWorker } from "./worker.ts";

const program = Deno.env.get("NAUTILUS_TEST_KUBE_APISERVER");
const missing = program === undefined
  ? "NAUTILUS_TEST_KUBE_APISERVER names no kube-apiserver; tests/kubernetes/build.sh makes one"
  : await hasKubectl()
  ? undefined
  : "no kubectl";
const why = missing === undefined ? "" : ` (skipped: ${missing})`;

function check(name: string, fn: (program: string) => Promise<void>): void {
  Deno.test({
    name: `a real kube-apiserver: ${name}${why}`,
    ignore: missing !== undefined,
    fn: () => fn(program ?? ""),
  });
}

async function beside(name: string): Promise<string | undefined> {
  const path = (program ?? "").replace(/[^/]*$/, name);
  try {
    return (await Deno.stat(path)).isFile ? path : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function startControllers(place: Place, plan: ClusterPlan): Promise<AsyncDisposableStack> {
  const stack = new AsyncDisposableStack();
  const manager = await beside("kube-controller-manager");
  const scheduler = await beside("kube-scheduler");
  if (manager !== undefined) {
    const keys = ["--service-account-private-key-file=accounts.key", "--root-ca-file=ca.crt"];
    stack.use(await startController(place, plan, manager, keys));
  }
  if (scheduler !== undefined) stack.use(await startController(place, plan, scheduler));
  return stack;
}

const MANIFEST = (value: string) =>
  JSON.stringify({
    apiVersion: "v1",
    kind: "List",
    items: [
      { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c" }, data: { value } },
      { apiVersion: "v1", kind: "Secret", metadata: { name: "s" }, stringData: { value } },
    ],
  });

check("kubectl works through the master as if it were not there", async (command) => {
  await using place = await makePlace();
  const plan = await planCluster(place);
  await using _master = await startMaster(place, [], plan.masterEnv);
  const run = kubectl(place, `${place.data}/admin.kubeconfig`);
  {
    using admin = await sender(place);
    const early = await admin.send("/api/v1/namespaces");
    assertEquals([early.status, asRecord(await early.json())["reason"]], [
      503,
      "ServiceUnavailable",
    ]);
  }
  await using _api = await startApiServer(place, plan, command);

  assertMatch(await done(run(["auth", "whoami"])), /admin\s+Groups\s+\[system:masters system:auth/);
  assertEquals((await done(run(["auth", "can-i", "*", "*"]))).trim(), "yes");
  assertStringIncludes(await done(run(["get", "namespaces"])), "kube-system");
  assertMatch(await done(run(["version"])), /Server Version: v1\.\d+\.\d+\n/);
  assertMatch(await done(run(["api-resources"])), /deployments +deploy +apps\/v1 /);
  assertStringIncludes(await done(run(["explain", "deployment.spec"])), "DeploymentSpec");
  // A document by the hash of another one: kube-apiserver redirects to the right one.
  const stale = await done(run(["get", "--raw", "/openapi/v3/apis/apps/v1?hash=OLD"]));
  assertEquals(asRecord(JSON.parse(stale))["openapi"], "3.0.0");

  const apply = ["apply", "--server-side", "-f", "-"];
  assertStringIncludes(await done(run(apply, MANIFEST("1"))), "configmap/c serverside-applied");
  assertStringIncludes(
    await refused(run([...apply, "--field-manager=other"], MANIFEST("2"))),
    "conflict",
  );
  await done(run([...apply, "--dry-run=server"], MANIFEST("3")));
  await done(run(["apply", "-f", "-"], MANIFEST("2")));
  await done(run(["patch", "configmap", "c", "-p", '{"data":{"b":"1"}}']));
  await done(run(["patch", "cm", "c", "--type=merge", "-p", '{"data":{"b":"2"}}']));
  const replace = '[{"op":"replace","path":"/data/b","value":"3"}]';
  await done(run(["patch", "cm", "c", "--type=json", "-p", replace]));
  assertEquals(
    await done(run(["get", "cm", "c", "-o", "jsonpath={.data}"])),
    '{"b":"3","value":"2"}',
  );
  assertMatch(await done(run(["get", "cm", "c"])), /NAME +DATA +AGE\nc +2 /);
  assertMatch(await done(run(["get", "secret", "s"])), /NAME +TYPE +DATA +AGE\ns +Opaque +1 /);
  assertStringIncludes(
    await refused(run(["get", "cm", "c", "--as=somebody"])),
    "cannot impersonate",
  );
  assertStringIncludes(await refused(run(["get", "cm", "none"])), "NotFound");

  await watches(place);
  await done(run(["delete", "cm,secret", "--all"]));
  await using controllers = await startControllers(place, plan);
  if (await beside("kube-controller-manager") !== undefined) await deployment(place);
  await controllers.disposeAsync();
});

/** `kubectl get -w` and `kubectl wait`, which stand on watches that stream. */
async function watches(place: Place): Promise<void> {
  const run = kubectl(place, `${place.data}/admin.kubeconfig`);
  await done(run(["create", "configmap", "w"]));
  const watching = new Deno.Command("kubectl", {
    args: ["get", "cm", "w", "-w", "-o", "jsonpath={.data}{'\\n'}"],
    cwd: place.cwd,
    env: { HOME: place.home, PATH: "/usr/bin:/bin", KUBECONFIG: `${place.data}/admin.kubeconfig` },
    clearEnv: true,
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let text = "";
  let changed = false;
  for await (const piece of watching.stdout.pipeThrough(new TextDecoderStream())) {
    text += piece;
    if (!changed) {
      changed = true;
      await done(run(["patch", "cm", "w", "-p", '{"data":{"seen":"yes"}}']));
    }
    if (text.includes('{"seen":"yes"}\n')) break;
  }
  watching.kill("SIGKILL");
  await watching.status;
  await done(run(["wait", "--for=jsonpath={.data.seen}=yes", "cm/w", "--timeout=60s"]));
  const deleted = run(["wait", "--for=delete", "cm/w", "--timeout=60s"]);
  await done(run(["delete", "cm", "w"]));
  await done(deleted);
}

/** What the controllers make of a Deployment, and of a namespace that goes. */
async function deployment(place: Place): Promise<void> {
  const run = kubectl(place, `${place.data}/admin.kubeconfig`);
  await done(run(["create", "namespace", "shop"]));
  await until("the namespace has its account", async () => {
    return (await run(["-n", "shop", "get", "serviceaccount", "default"])).code === 0;
  });
  await done(run(["-n", "shop", "create", "deployment", "web", "--image=nginx", "--replicas=3"]));
  const count = "--for=jsonpath={.status.replicas}";
  await done(run(["-n", "shop", "wait", `${count}=3`, "deployment/web", "--timeout=60s"]));
  assertEquals(
    (await done(run(["-n", "shop", "get", "pods", "-o", "name"]))).split("\n").length,
    4,
  );
  await done(run(["-n", "shop", "scale", "deployment", "web", "--replicas=5"]));
  await done(run(["-n", "shop", "wait", `${count}=5`, "deployment/web", "--timeout=60s"]));
  assertStringIncludes(
    await refused(run(["-n", "shop", "exec", "deployment/web", "--", "true"])),
    "upgraded connections",
  );
  await done(run(["delete", "namespace", "shop", "--timeout=120s"]));
  assertEquals(await done(run(["get", "pods", "-A", "-o", "name"])), "");
}

const CONFIG_MAPS = "/api/v1/namespaces/default/configmaps";
const WRITERS = 6;
const EACH = 40;

/** Makes and changes ConfigMaps, whatever happens; what was acknowledged stands in `acknowledged`. */
async function write(send: Send, writer: number, acknowledged: Map<string, string>): Promise<void> {
  const attempt = async (path: string, method: string, body: unknown, contentType: string) => {
    try {
      const response = await send(path, {
        method,
        body: JSON.stringify(body),
        headers: { "Content-Type": contentType },
      });
      await response.body?.cancel();
      return response.ok;
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      return false; // nobody is there: nothing was acknowledged
    }
  };
  for (let i = 0; i < EACH; i++) {
    const name = `w${writer}-${i}`;
    const made = await attempt(CONFIG_MAPS, "POST", {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name },
      data: { value: "made" },
    }, "application/json");
    if (!made) continue;
    acknowledged.set(name, "made");
    const path = `${CONFIG_MAPS}/${name}`;
    const patch = { data: { value: "changed" } };
    if (await attempt(path, "PATCH", patch, "application/merge-patch+json")) {
      acknowledged.set(name, "changed");
    }
  }
}

check("nothing acknowledged is lost when the master is killed, and it goes on", async (command) => {
  await using place = await makePlace();
  const plan = await planCluster(place);
  await using first = await startMaster(place, [], plan.masterEnv);
  await using _api = await startApiServer(place, plan, command);
  using admin = await sender(place);
  const { send } = admin;
  const acknowledged = new Map<string, string>();
  const writing = Promise.all(
    Array.from({ length: WRITERS }, (_, writer) => write(send, writer, acknowledged)),
  );
  await until("a third is written", () => Promise.resolve(acknowledged.size > WRITERS * EACH / 3));
  assertEquals((await first.end("SIGKILL")).signal, "SIGKILL");
  await using _second = await startMaster(place, [], plan.masterEnv);
  await writing;
  // kube-apiserver was never restarted: it finds its etcd again by itself.
  const list = async () => {
    const response = await send(CONFIG_MAPS);
    if (!response.ok) await response.body?.cancel();
    return response.ok ? asRecord(await response.json()) : undefined;
  };
  await until("it reads again", async () => await list() !== undefined);
  const run = kubectl(place, `${place.data}/admin.kubeconfig`);
  await done(run(["create", "configmap", "after"]));
  const items: unknown = (await list())?.["items"];
  assert(Array.isArray(items));
  const found = new Map<string, string>(items.map((item: unknown) => {
    const { metadata, data } = asRecord(item);
    return [
      String(asRecord(metadata)["name"]),
      data === undefined ? "" : String(asRecord(data)["value"]),
    ];
  }));
  assert(found.has("after"));
  for (const [name, value] of acknowledged) {
    // An update without an answer may have been made all the same.
    const there = found.get(name);
    assert(there === value || there === "changed", `${name}: ${there}, acknowledged ${value}`);
  }
  assertStringIncludes(
    await done(kubectl(place, plan.directKubeconfig)(["get", "--raw", "/readyz"])),
    "ok",
  );
});

/** What the credential needs besides, where the master hands out join tokens for K3s. */
const JOIN_ROLE = {
  apiVersion: "v1",
  kind: "List",
  items: [
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "Role",
      metadata: { name: "nautilus-master", namespace: "kube-system" },
      rules: [{ apiGroups: [""], resources: ["secrets"], verbs: ["create", "get", "delete"] }],
    },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "RoleBinding",
      metadata: { name: "nautilus-master", namespace: "kube-system" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "nautilus-master" },
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "nautilus-master" }],
    },
  ],
};

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

const node = (name: string) => ({ apiVersion: "v1", kind: "Node", metadata: { name } });

check("a worker is its own node there and no other; others are nobody", async (command) => {
  await using chain = await spawnFakeNode();
  await using place = await makePlace();
  const plan = await planCluster(place);
  const worker = await makeWorker(place, chain);
  await using master = await startMaster(place, [], {
    ...plan.masterEnv,
    ...chainSettings(chain),
    NAUTILUS_K3S_SERVER_URL: "https://k3s.test:6443",
  });
  await using _api = await startApiServer(place, plan, command);
  const run = kubectl(place, `${place.data}/admin.kubeconfig`);
  const direct = kubectl(place, plan.directKubeconfig);
  await done(run(["create", "secret", "generic", "s"]));
  const env = `${place.cwd}/k3s-agent.env`;
  const early = await joinOnce(place, master, worker, ["--k3s-env", env]);
  assertStringIncludes(early.stderr, "k3s_unavailable"); // the credential has no right to Secrets yet
  await done(direct(["create", "-f", "-"], JSON.stringify(JOIN_ROLE)));
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
});

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

check(
  "a Deployment becomes available by controllers, scheduler and a worker's session",
  async (command) => {
    const controllers = [await beside("kube-controller-manager"), await beside("kube-scheduler")];
    if (controllers.includes(undefined)) {
      console.error(
        "skipped: no kube-controller-manager or kube-scheduler beside the kube-apiserver",
      );
      return;
    }
    await using chain = await spawnFakeNode();
    await using place = await makePlace();
    const plan = await planCluster(place);
    const worker = await makeWorker(place, chain);
    await using master = await startMaster(place, [], {
      ...plan.masterEnv,
      ...chainSettings(chain),
    });
    await using _api = await startApiServer(place, plan, command);
    await using _controllers = await startControllers(place, plan);
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
