/** Stock kubectl against our TLS listener, with a kubeconfig and nothing else. */
import { assertEquals, assertMatch } from "@std/assert";
import { testApi } from "../tests/fakes/api.ts";
import { hasKubectl, openKubectl } from "../tests/fakes/kubectl.ts";

const MANIFEST = (image: string) =>
  `apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
  - {name: c, image: nginx, ports: [{containerPort: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  replicas: 2
  selector: {matchLabels: {app: d}}
  template:
    metadata: {labels: {app: d}}
    spec: {containers: [{name: c, image: "${image}"}]}
`;

Deno.test("kubectl works unmodified: create, apply, get, patch, label, scale, watch, wait, delete", async () => {
  if (!await hasKubectl()) return;
  await using api = await testApi();
  await using kubectl = await openKubectl(api, { KUBE_EDITOR: "sed -i s/nginx:2/nginx:3/" });
  const { run, command } = kubectl;

  assertMatch(await run("version"), /Server Version: v1\.\d+\.\d+\+nautilus/);
  assertMatch(await run("get namespaces"), /default +Active/);
  assertEquals(await run("create namespace team"), "namespace/team created");
  assertEquals(
    await run("create configmap c --from-literal=a=b -n team"),
    "configmap/c created",
  );
  assertEquals(await run("get cm c -n team -o jsonpath={.data.a}"), "b");
  assertEquals(
    await run("apply -f -", MANIFEST("nginx:1")),
    "pod/web created\ndeployment.apps/d created",
  );
  assertMatch(await run("get pods -o wide"), /web +0\/1 +Pending/);

  const watching = command(["get", "pods", "-w", "-o", "name"]).spawn();
  const seen = watching.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let watched = "";
  // A line may come in pieces.
  const nextLine = async () => {
    while (!watched.includes("\n")) {
      const { done, value } = await seen.read();
      if (done) throw new Error(`the watch ended after "${watched}"`);
      watched += value;
    }
    const [line = "", ...rest] = watched.split("\n");
    watched = rest.join("\n");
    return line;
  };
  assertEquals(await nextLine(), "pod/web");

  assertEquals(
    await run("apply -f -", MANIFEST("nginx:2")),
    "pod/web unchanged\ndeployment.apps/d configured",
  );
  const image = "get deploy d -o jsonpath={.spec.template.spec.containers[0].image}";
  assertEquals(await run(image), "nginx:2");
  assertEquals(await run("edit deploy d"), "deployment.apps/d edited");
  assertEquals(await run(image), "nginx:3");
  assertEquals(await run("label pod web tier=front"), "pod/web labeled");
  assertEquals(await run("annotate pod web note=x"), "pod/web annotated");
  assertEquals(await run(`patch pod web -p {"spec":{"nodeName":"n1"}}`), "pod/web patched");
  assertEquals(await run("get pods -l tier=front -o name"), "pod/web");
  assertEquals(await run("scale deploy d --replicas=7"), "deployment.apps/d scaled");
  assertEquals(await run("get deploy d -o jsonpath={.spec.replicas}"), "7");
  assertEquals(await run("auth can-i delete pods"), "yes");
  assertEquals(
    await run("create secret generic s --from-literal=p=q"),
    "secret/s created",
  );
  assertEquals(
    await run("create role r --verb=get --resource=pods"),
    "role.rbac.authorization.k8s.io/r created",
  );
  assertEquals(
    await run("wait --for=jsonpath={.status.phase}=Pending pod/web --timeout=10s"),
    "pod/web condition met",
  );
  assertEquals(await run("delete pod web --cascade=foreground"), `pod "web" deleted`);
  assertEquals(
    await run("delete deploy d --cascade=orphan --dry-run=server"),
    `deployment.apps "d" deleted (server dry run)`,
  );
  assertEquals(await run("delete namespace team"), `namespace "team" deleted`);
  assertMatch(await run("get all"), /deployment.apps\/d/);
  assertEquals(await nextLine(), "pod/web");
  watching.kill("SIGINT");
  await seen.cancel();
  await watching.stderr.cancel();
  await watching.status;
});

Deno.test("kubectl says what it hears of unknown fields, and strictly refuses them", async () => {
  if (!await hasKubectl()) return;
  await using api = await testApi();
  await using kubectl = await openKubectl(api);
  const [, deployment = ""] = MANIFEST("nginx:1").split("---\n");
  const odd = deployment.replace("replicas: 2", "replicas: 2\n  foé: 1");
  assertMatch(
    await kubectl.refused("create -f -", odd),
    /Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "spec\.foé"/,
  );
  const child = kubectl.command(["apply", "--validate=warn", "-f", "-"], "piped").spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(odd));
  await writer.close();
  const { code, stderr } = await child.output();
  assertEquals([code, new TextDecoder().decode(stderr).trim()], [
    0,
    'Warning: unknown field "spec.foé"',
  ]);
  assertMatch(
    await kubectl.refused("apply --server-side -f -", odd),
    /\.spec\.foé: field not declared in schema/,
  );
});

Deno.test("kubectl apply --prune finds every kind that it looks through, ingresses among them", async () => {
  if (!await hasKubectl()) return;
  await using api = await testApi();
  await using kubectl = await openKubectl(api);
  const map = (name: string) =>
    `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"${name}","labels":{"set":"x"}}}`;
  const ingress = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: front, labels: {set: x}}
spec:
  ingressClassName: nginx
  rules:
  - host: a.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
`;
  await kubectl.run("apply -f - --prune -l set=x", `${ingress}---\n${map("one")}`);
  assertMatch(await kubectl.run("get ing"), /front +nginx +a\.example\.com +80 /);
  assertEquals(
    await kubectl.run("apply -f - --prune -l set=x", map("two")),
    "configmap/two created\nconfigmap/one pruned\ningress.networking.k8s.io/front pruned",
  );
});
