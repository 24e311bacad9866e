/**
 * A real kube-apiserver on the built master's etcd listener and behind its Kubernetes paths, asked by
 * kubectl. NAUTILUS_TEST_KUBE_APISERVER names the program; tests/kubernetes/build.sh makes it.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import {
  done,
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
import { asRecord, makePlace, type Place, startMaster } from "./harness.ts";

const MANIFEST = (value: string) =>
  JSON.stringify({
    apiVersion: "v1",
    kind: "List",
    items: [
      { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c" }, data: { value } },
      { apiVersion: "v1", kind: "Secret", metadata: { name: "s" }, stringData: { value } },
    ],
  });

withKubernetes("kubectl works through the master as if it were not there", async (programs) => {
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
  await using _api = await startApiServer(place, plan, programs.apiServer);

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
  await using _controllers = await startControllers(place, plan, programs);
  await deployment(place);
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

withKubernetes(
  "nothing acknowledged is lost when the master is killed, and it goes on",
  async (programs) => {
    await using place = await makePlace();
    const plan = await planCluster(place);
    await using first = await startMaster(place, [], plan.masterEnv);
    await using _api = await startApiServer(place, plan, programs.apiServer);
    using admin = await sender(place);
    const { send } = admin;
    const acknowledged = new Map<string, string>();
    const writing = Promise.all(
      Array.from({ length: WRITERS }, (_, writer) => write(send, writer, acknowledged)),
    );
    await until(
      "a third is written",
      () => Promise.resolve(acknowledged.size > WRITERS * EACH / 3),
    );
    assertEquals((await first.end("SIGKILL")).signal, "SIGKILL");
    await using _second = await startMaster(place, [], plan.masterEnv);
    await writing;
    // kube-apiserver was never restarted: it finds its etcd again by itself.
    const list = async () => {
      const response = await send(CONFIG_MAPS);
      if (!response.ok) {
        await response.body?.cancel();
      }
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
  },
);
