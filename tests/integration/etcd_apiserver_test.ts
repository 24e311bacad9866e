/**
 * A real Kubernetes API server on the built master: its storage layer, watch cache and compactor are
 * the ones of kube-apiserver. NAUTILUS_TEST_APISERVER names the program, which Go's tools make:
 * `go install k8s.io/apiextensions-apiserver@v0.31.4`.
 */
import { assert, assertEquals } from "@std/assert";
import { start } from "../demo/process.ts";
import { asRecord, makePlace, type Place, runBinary, startMaster } from "./harness.ts";

const program = Deno.env.get("NAUTILUS_TEST_APISERVER");
const why = program === undefined
  ? " (skipped: NAUTILUS_TEST_APISERVER names no apiextensions-apiserver)"
  : "";
const CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS = "/apis/example.com/v1/namespaces/default/widgets";
const CRD = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "widgets.example.com" },
  spec: {
    group: "example.com",
    scope: "Namespaced",
    names: { plural: "widgets", singular: "widget", kind: "Widget" },
    versions: [{
      name: "v1",
      served: true,
      storage: true,
      schema: {
        openAPIV3Schema: {
          type: "object",
          properties: { spec: { type: "object", properties: { n: { type: "integer" } } } },
        },
      },
    }],
  },
};
const WORKERS = 8;
const EACH = 60;

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}
type Send = (method: string, path: string, body?: unknown) => Promise<Answer>;

/** The master comes back where the API server looks for it: its port must be known beforehand. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** A client certificate of group system:masters, as kubeadm's admin has, of a CA for this test alone. */
async function makeAdmin(place: Place): Promise<void> {
  const script = `set -e
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=test -days 2
openssl req -newkey rsa:2048 -nodes -keyout admin.key -out admin.csr -subj /O=system:masters/CN=admin
echo extendedKeyUsage=clientAuth > admin.ext
openssl x509 -req -in admin.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out admin.crt -days 2 -extfile admin.ext`;
  const { success, stderr } = await new Deno.Command("sh", {
    args: ["-c", script],
    cwd: place.cwd,
  }).output();
  assert(success, new TextDecoder().decode(stderr));
}

async function startApiServer(place: Place, command: string, etcdPort: number) {
  const port = freePort();
  const out = `${place.cwd}/etcd`;
  const made = await runBinary(place, ["etcd", "client-cert", "--name", "api", "--out", out]);
  assertEquals([made.code, made.stderr], [0, ""]);
  const kubeconfig = `${place.data}/admin.kubeconfig`;
  await makeAdmin(place);
  const { running } = await start({
    command,
    cwd: place.cwd,
    env: { HOME: place.home, PATH: "/usr/bin:/bin" },
    args: [
      `--etcd-servers=https://localhost:${etcdPort}`,
      `--etcd-cafile=${out}/ca.crt`,
      `--etcd-certfile=${out}/client.crt`,
      `--etcd-keyfile=${out}/client.key`,
      "--etcd-compaction-interval=5s",
      `--kubeconfig=${kubeconfig}`,
      `--authentication-kubeconfig=${kubeconfig}`,
      `--authorization-kubeconfig=${kubeconfig}`,
      "--authentication-skip-lookup",
      `--client-ca-file=${place.cwd}/ca.crt`,
      "--disable-admission-plugins=NamespaceLifecycle,MutatingAdmissionWebhook," +
      "ValidatingAdmissionPolicy,ValidatingAdmissionWebhook",
      "--enable-priority-and-fairness=false",
      "--bind-address=127.0.0.1",
      `--secure-port=${port}`,
      `--cert-dir=${place.cwd}/api`,
    ],
    ready: (line) => line.includes("Serving securely") ? line : undefined,
    timeoutMs: 60_000,
  });
  const read = (name: string) => Deno.readTextFile(`${place.cwd}/${name}`);
  const client = Deno.createHttpClient({
    caCerts: [await read("api/apiserver.crt")],
    cert: await read("admin.crt"),
    key: await read("admin.key"),
  });
  const send: Send = async (method, path, body) => {
    const response = await fetch(`https://localhost:${port}${path}`, {
      client,
      method,
      headers: {
        "content-type": method === "PATCH" ? "application/merge-patch+json" : "application/json",
      },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await response.text();
    return {
      status: response.status,
      body: text.startsWith("{") ? asRecord(JSON.parse(text)) : {},
    };
  };
  return { send, running, client };
}

/** What the API server acknowledged of one writer: name and the number it stands for. */
async function write(send: Send, worker: number, done: Map<string, number>): Promise<void> {
  for (let i = 0; i < EACH; i++) {
    const name = `w${worker}-${i}`;
    const widget = { apiVersion: "example.com/v1", kind: "Widget", metadata: { name } };
    // A failure says that nothing is known; what was acknowledged before it stays.
    const made = await send("POST", WIDGETS, { ...widget, spec: { n: i } });
    if (made.status !== 201) continue;
    done.set(name, i);
    const patched = await send("PATCH", `${WIDGETS}/${name}`, { spec: { n: i + 1000 } });
    if (patched.status === 200) done.set(name, i + 1000);
  }
}

async function readAll(send: Send): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  let token = "";
  do {
    const { status, body } = await send("GET", `${WIDGETS}?limit=37&continue=${token}`);
    assertEquals(status, 200, JSON.stringify(body));
    const items: unknown = body["items"];
    assert(Array.isArray(items));
    for (const item of items) {
      const name = asRecord(asRecord(item)["metadata"])["name"];
      found.set(String(name), Number(asRecord(asRecord(item)["spec"])["n"]));
    }
    token = encodeURIComponent(String(asRecord(body["metadata"])["continue"] ?? ""));
  } while (token !== "");
  return found;
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 60_000;
  while (!await holds()) {
    assert(performance.now() < end, `not within a minute: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

Deno.test({
  name: `serve keeps the state of a real Kubernetes API server through kill -9${why}`,
  ignore: program === undefined,
  fn: async () => {
    assert(program !== undefined);
    await using place = await makePlace();
    const etcdPort = freePort();
    const env = { NAUTILUS_ETCD_LISTEN: `127.0.0.1:${etcdPort}` };
    await using first = await startMaster(place, [], env);
    const api = await startApiServer(place, program, etcdPort);
    await using _api = api.running;
    using _client = api.client;
    const { send } = api;
    await until("it is ready", async () => (await send("GET", "/readyz")).status === 200);
    const made = await send("POST", CRDS, CRD);
    assertEquals(made.status, 201, JSON.stringify(made.body));
    await until("the kind is served", async () => (await send("GET", WIDGETS)).status === 200);
    const done = new Map<string, number>();
    const writing = Promise.all(Array.from({ length: WORKERS }, (_, i) => write(send, i, done)));
    await until("half is written", () => Promise.resolve(done.size > WORKERS * EACH / 2));
    assertEquals((await first.end("SIGKILL")).signal, "SIGKILL");
    await using _second = await startMaster(place, [], env);
    await writing;
    await until("it reads again", async () => (await send("GET", WIDGETS)).status === 200);
    const found = await readAll(send);
    for (const [name, n] of done) {
      // Only an update without an answer may stand there beside what was acknowledged.
      assert(found.get(name) === n || found.get(name) === n + 1000, `${name}: ${found.get(name)}`);
    }
    assert(done.size > WORKERS * EACH / 2);
  },
});
