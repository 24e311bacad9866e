/**
 * A real kube-apiserver beside the built master: the master's etcd listener is its storage, and the
 * master's Kubernetes paths lead to it. build.sh makes the programs.
 */
import { assert, assertEquals } from "@std/assert";
import { readKubeconfig } from "../../cli/client/kubeconfig.ts";
import { type Running, start } from "../demo/process.ts";
import { type Place, runBinary } from "../integration/harness.ts";
import type { Programs } from "./programs.ts";

const ENVIRONMENT_PATH = "/usr/bin:/bin";
const READY_TIMEOUT_MS = 120_000;
/** What a request on its way may meet while the master or the kube-apiserver is not there. */
const WAIT_MS = 50;

/** What both sides must know before either starts. */
export interface ClusterPlan {
  /** Holds the certificates, keys and kubeconfigs. */
  readonly folder: string;
  readonly etcdPort: number;
  readonly apiPort: number;
  /** The kube-apiserver's own admin, past the master. */
  readonly directKubeconfig: string;
  /** The master's credential, used past the master: nobody, until it impersonates. */
  readonly credentialKubeconfig: string;
  /** The environment of the master that is below the kube-apiserver and in front of it. */
  readonly masterEnv: Readonly<Record<string, string>>;
}

/** Ports that are to be found again after a restart cannot be left to the kernel. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Of a CA for one test: a server, one of group system:masters, and the master's credential. */
const CERTIFICATES = `set -e
new() {
  openssl req -newkey rsa:2048 -nodes -keyout $1.key -out $1.csr -subj "$2"
  printf "$3" > $1.ext
  openssl x509 -req -in $1.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out $1.crt -days 2 -extfile $1.ext
}
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=test -days 2
new server /CN=kube-apiserver 'subjectAltName=DNS:localhost,IP:127.0.0.1\\nextendedKeyUsage=serverAuth\\n'
new admin /O=system:masters/CN=direct 'extendedKeyUsage=clientAuth\\n'
new credential /CN=nautilus-master 'extendedKeyUsage=clientAuth\\n'
cat credential.crt credential.key > credential.pem
openssl genrsa -out accounts.key 2048
openssl rsa -in accounts.key -pubout -out accounts.pub`;

export async function planCluster(place: Place): Promise<ClusterPlan> {
  const folder = `${place.cwd}/kubernetes`;
  await Deno.mkdir(folder);
  const { success, stderr } = await new Deno.Command("sh", {
    args: ["-c", CERTIFICATES],
    cwd: folder,
    stdin: "null",
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  const [etcdPort, apiPort, tlsPort] = [freePort(), freePort(), freePort()];
  const kubeconfig = async (name: string) => {
    const path = `${folder}/${name}.kubeconfig`;
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{
        name: "direct",
        cluster: {
          server: `https://localhost:${apiPort}`,
          "certificate-authority": `${folder}/ca.crt`,
        },
      }],
      users: [{
        name,
        user: {
          "client-certificate": `${folder}/${name}.crt`,
          "client-key": `${folder}/${name}.key`,
        },
      }],
      contexts: [{ name, context: { cluster: "direct", user: name } }],
      "current-context": name,
    };
    await Deno.writeTextFile(path, JSON.stringify(config));
    return path;
  };
  return {
    folder,
    etcdPort,
    apiPort,
    directKubeconfig: await kubeconfig("admin"),
    credentialKubeconfig: await kubeconfig("credential"),
    masterEnv: {
      NAUTILUS_ETCD_LISTEN: `127.0.0.1:${etcdPort}`,
      NAUTILUS_TLS_LISTEN: `127.0.0.1:${tlsPort}`,
      K8S_API_ENDPOINT: `https://localhost:${apiPort}`,
      NAUTILUS_K8S_API_CA: `@${folder}/ca.crt`,
      NAUTILUS_K8S_API_CREDENTIAL: `${folder}/credential.pem`,
    },
  };
}

/** Gives the credential the rights that docs/OPERATIONS.md says it needs, by the lines that stand there. */
export async function grant(
  direct: Kubectl,
  rights: "to impersonate" | "to make join tokens",
): Promise<void> {
  const page = await Deno.readTextFile(new URL("../../docs/OPERATIONS.md", import.meta.url));
  const isFor = rights === "to impersonate"
    ? /^kubectl create cluster/
    : /^kubectl -n kube-system /;
  const lines = page.split("\n").filter((line) => isFor.test(line));
  assert(lines.length >= 2, "the page gives no rights");
  for (const line of lines) await done(direct(line.split(" ").slice(1)));
}

/**
 * A kube-apiserver on the etcd listener of a master that runs. Resolves when it is ready and the
 * master's credential has its role.
 */
export async function startApiServer(
  place: Place,
  plan: ClusterPlan,
  command: string,
): Promise<Running> {
  const etcd = `${plan.folder}/etcd`;
  const made = await runBinary(place, ["etcd", "client-cert", "--name", "api", "--out", etcd]);
  assertEquals([made.code, made.stderr], [0, ""]);
  const { running } = await start({
    command,
    cwd: plan.folder,
    env: { HOME: place.home, PATH: ENVIRONMENT_PATH },
    args: [
      `--etcd-servers=https://localhost:${plan.etcdPort}`,
      `--etcd-cafile=${etcd}/ca.crt`,
      `--etcd-certfile=${etcd}/client.crt`,
      `--etcd-keyfile=${etcd}/client.key`,
      "--etcd-compaction-interval=10s",
      "--anonymous-auth=false",
      "--authorization-mode=Node,RBAC",
      "--enable-admission-plugins=NodeRestriction",
      "--client-ca-file=ca.crt",
      "--tls-cert-file=server.crt",
      "--tls-private-key-file=server.key",
      "--service-account-issuer=https://kubernetes.default.svc",
      "--service-account-key-file=accounts.pub",
      "--service-account-signing-key-file=accounts.key",
      "--service-cluster-ip-range=10.0.0.0/24",
      "--advertise-address=192.0.2.1",
      "--bind-address=127.0.0.1",
      `--secure-port=${plan.apiPort}`,
      "--cert-dir=made",
    ],
    ready: (line) => line.includes("Serving securely") ? line : undefined,
    timeoutMs: READY_TIMEOUT_MS,
  });
  try {
    const direct = kubectl(place, plan.directKubeconfig);
    await until("the kube-apiserver is ready", async () => {
      return (await direct(["get", "--raw", "/readyz"])).code === 0;
    });
    await grant(direct, "to impersonate");
    // Its authorizer learns of the role by a watch.
    const credential = kubectl(place, plan.credentialKubeconfig);
    await until("the role is known", async () => {
      const args = ["auth", "can-i", "impersonate", "groups/system:nodes"];
      return (await credential(args)).stdout === "yes\n";
    });
    return running;
  } catch (error) {
    await running[Symbol.asyncDispose]();
    throw error;
  }
}

/** kube-controller-manager and kube-scheduler, with the rights of the kube-apiserver's admin. */
export async function startControllers(
  place: Place,
  plan: ClusterPlan,
  programs: Programs,
): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const keys = ["--service-account-private-key-file=accounts.key", "--root-ca-file=ca.crt"];
  for (
    const [command, args] of [[programs.controllerManager, keys], [programs.scheduler, []]] as const
  ) {
    const { running } = await start({
      command,
      cwd: plan.folder,
      env: { HOME: place.home, PATH: ENVIRONMENT_PATH },
      args: [`--kubeconfig=${plan.directKubeconfig}`, "--secure-port=0", "--v=2", ...args],
      ready: (line) => line.includes("successfully acquired lease") ? line : undefined,
      timeoutMs: READY_TIMEOUT_MS,
    });
    stack.use(running);
  }
  return stack.move();
}

export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}
export type Kubectl = (args: readonly string[], input?: string) => Promise<Said>;

export function kubectl(place: Place, kubeconfig: string): Kubectl {
  return async (args, input) => {
    const child = new Deno.Command("kubectl", {
      args: [...args],
      cwd: place.cwd,
      env: { HOME: place.home, PATH: ENVIRONMENT_PATH, KUBECONFIG: kubeconfig },
      clearEnv: true,
      stdin: input === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    if (input !== undefined) {
      const writer = child.stdin.getWriter();
      await writer.write(new TextEncoder().encode(input));
      await writer.close();
    }
    const { code, stdout, stderr } = await child.output();
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  };
}

/** What a kubectl that must work said. */
export async function done(said: Promise<Said>): Promise<string> {
  const { code, stdout, stderr } = await said;
  assertEquals(code, 0, `${stdout}${stderr}`);
  return stdout;
}

/** What a kubectl that must be refused said. */
export async function refused(said: Promise<Said>): Promise<string> {
  const { code, stdout, stderr } = await said;
  assert(code !== 0, `it worked: ${stdout}`);
  return stderr;
}

export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + READY_TIMEOUT_MS;
  while (!await holds()) {
    assert(performance.now() < end, `not within two minutes: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
  }
}

export type Send = (path: string, init?: RequestInit) => Promise<Response>;

/** Requests to the master's TLS listener, with the admin's token or another. */
export async function sender(place: Place, token?: string): Promise<Disposable & { send: Send }> {
  const admin = await readKubeconfig(`${place.data}/admin.kubeconfig`);
  assert(admin.authority !== undefined);
  const client = Deno.createHttpClient({ caCerts: [admin.authority] });
  return {
    send: (path, init = {}) =>
      fetch(`${admin.server}${path}`, {
        ...init,
        client,
        headers: {
          "Content-Type": "application/json",
          ...init.headers,
          Authorization: `Bearer ${token ?? admin.token}`,
        },
      }),
    [Symbol.dispose]: () => client.close(),
  };
}
