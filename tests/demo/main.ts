/**
 * `make demo`: the whole way, visibly: chain, tokens, master, workers, event, object, slashing,
 * kill -9, restart. Runs the built binary against the stand-in full node, both as processes of their own.
 */
import { createPublicKey, verify } from "node:crypto";
import { Buffer } from "node:buffer";
import { attestationSignatureInput, reportData } from "../../backends/attestation.ts";
import { at, type Call, client, textAt, until } from "./client.ts";
import {
  assignment,
  makeWorker,
  occurrences,
  ready,
  runWorkerOnce,
  startWorker,
  writePolicy,
} from "./workers.ts";
import { CheckFailed, createNarrator, type Narrator } from "./narrator.ts";
import { type Running, start } from "./process.ts";

const TENANT = "0x" + "7e".repeat(32);
const STRANGER = "0x" + "5a".repeat(32);
const CONFIG_MAPS = "/api/v1/namespaces/default/configmaps";
const CONFIG_MAP = `${CONFIG_MAPS}/from-the-chain`;
const PLANTED = "planted-value-nobody-may-find-on-disk";

/** A policy that accepts SEV-SNP only, and no measurement that could be met here. */
const STRICT_POLICY = JSON.stringify({
  version: 1,
  id: "demo/strict",
  node: { covers: ["image"] },
  simulation: {
    allowSimulation: false,
    trustedRoots: ["00".repeat(32)],
    measurements: [],
    reportData: "require",
    maxAgeSeconds: 60,
  },
});
const HEARTBEAT_TAKEN =
  /nautilus_http_requests_total\{[^}]*route="\/api\/v1\/nodes\/heartbeat"[^}]*code="200"[^}]*\} [1-9]/;

interface Chain {
  readonly url: string;
  readonly packageId: string;
  readonly registryId: string;
  readonly clusterId: string;
}

interface Master {
  readonly running: Running;
  readonly url: string;
  readonly readyMs: number;
}

if (import.meta.main) {
  const binary = Deno.args[0];
  if (binary === undefined) throw new Error("usage: tests/demo/main.ts PATH-OF-NAUTILUS");
  const narrator = createNarrator(
    (text) => Deno.stdout.writeSync(new TextEncoder().encode(text)),
    Deno.stdout.isTerminal(),
  );
  const directory = await Deno.makeTempDir({ prefix: "nautilus-demo-" });
  try {
    await demo(narrator, await Deno.realPath(binary), directory);
    narrator.say(`\n   ${narrator.checks} checks passed.`);
  } catch (error) {
    if (!(error instanceof CheckFailed)) throw error;
    narrator.say(`\n   Failed: ${error.message}`);
    Deno.exitCode = 1;
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function demo(narrator: Narrator, binary: string, directory: string): Promise<void> {
  narrator.step(
    "A Sui full node (stand-in that speaks the real protocols, gRPC-web and GraphQL, which must agree)",
  );
  const { running: node, value: chain } = await start({
    command: Deno.execPath(),
    args: ["run", "-A", new URL("../fakes/sui/main.ts", import.meta.url).pathname],
    cwd: new URL("../../", import.meta.url).pathname,
    env: Deno.env.toObject(),
    ready: chainReady,
    timeoutMs: 30_000,
  });
  await using _node = node;
  narrator.say(`listens on ${chain.url}; package ${short(chain.packageId)}`);
  const control = client(chain.url);

  narrator.step(
    "Two workers: a wallet and a node key each, a Seal token on the chain, 5 SUI of stake",
  );
  const worker1 = await makeWorker(binary, directory, control, "worker-1");
  const worker2 = await makeWorker(binary, directory, control, "worker-2");
  for (const { nodeId, wallet, token } of [worker1, worker2]) {
    narrator.say(`${nodeId}: wallet ${short(wallet)}, token ${short(token)}`);
  }

  narrator.step("The master, built binary, simulated TEE");
  const settings = await writeSettings(directory, chain);
  const first = await startMaster(binary, directory, settings);
  await using _first = first.running;
  const master = client(first.url);
  const admin = await adminClient(directory, master);
  narrator.say(`listens on ${first.url}, ready after ${first.readyMs.toFixed(0)} ms`);
  await checkHealth(narrator, master);
  const identity = await checkAttestation(narrator, master);
  const place = { binary, directory, masterUrl: `https://${settings["NAUTILUS_TLS_LISTEN"]}` };
  await writePolicy(place, master);

  narrator.step("Who is not let in");
  const bearer = await register(master, "worker-1", worker1.token);
  narrator.check("knowing a token's id opens nothing", bearer.status === 401, bearer);
  const strangeToken = { ...worker1, token: "0x" + "00".repeat(32) };
  const nowhere = await runWorkerOnce(place, "join", strangeToken);
  narrator.check(
    "a token that is not on the chain is refused",
    nowhere.code === 1 && nowhere.output.includes("no such object"),
    nowhere.output,
  );
  const othersToken = { ...worker2, token: worker1.token, nodeId: "worker-1" };
  const impostor = await runWorkerOnce(place, "join", othersToken);
  narrator.check(
    "another's token is refused",
    impostor.code === 1 && impostor.output.includes("belongs to another"),
    impostor.output,
  );
  await Deno.writeTextFile(`${directory}/strict.jsonc`, STRICT_POLICY);
  const strict = await runWorkerOnce(place, "join", worker1, "strict.jsonc");
  narrator.check(
    "a worker whose policy refuses simulations joins nothing",
    strict.code === 1 && strict.output.includes("does not affirm"),
    strict.output,
  );

  narrator.step("The workers appraise the master, prove their tokens, and stay");
  const joined = await runWorkerOnce(place, "join", worker1);
  narrator.check(
    "the staked token is admitted to its owner and node key",
    joined.code === 0,
    joined,
  );
  const session = textAt(JSON.parse(joined.output), "session_token");
  const stolen = await heartbeat(master, "worker-1", session);
  narrator.check(
    "its session is no good without the node key",
    at(stolen.body, "code") === "signature_missing",
    stolen,
  );
  const foreign = await heartbeat(master, "worker-2", session);
  narrator.check("nor for another node", foreign.status >= 400, foreign);
  const [running1, running2] = await Promise.all([
    startWorker(place, worker1),
    startWorker(place, worker2),
  ]);
  await using _running1 = running1;
  await using _running2 = running2;
  for (const [{ nodeId }, running] of [[worker1, running1], [worker2, running2]] as const) {
    const node = await until(
      () => admin("GET", `/api/v1/nodes/${nodeId}`),
      ({ body }) => ready(body) === "True",
      10_000,
    );
    narrator.check(`${nodeId} beats: its Node is Ready`, ready(node.body) === "True", {
      node: node.body,
      worker: running.output(),
    });
  }

  narrator.step("A Kubernetes request arrives as a chain event");
  const schedule = (requester: string, name: string) =>
    control("POST", "/control/schedule", {
      body: {
        requester,
        request_id: `request-${name}`,
        method: "POST",
        resource: "configmaps",
        namespace: "default",
        name,
        payload: JSON.stringify({
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { name, namespace: "default" },
          data: { greeting: PLANTED },
        }),
      },
    });
  const strange = await schedule(STRANGER, "from-a-stranger");
  const wanted = await schedule(TENANT, "from-the-chain");
  narrator.say(`a stranger asks in transaction ${short(textAt(strange.body, "digest"))}`);
  narrator.say(`a tenant with a grant in transaction ${short(textAt(wanted.body, "digest"))}`);
  const woken = await master("POST", "/api/v1/sui-events", {
    body: { digest: textAt(wanted.body, "digest") },
  });
  narrator.check("the wake-up call is taken", woken.status === 202, woken);
  const object = await until(
    () => admin("GET", CONFIG_MAP),
    ({ status }) => status === 200,
    10_000,
  );
  narrator.check("the object appears through the API", object.status === 200, object);
  narrator.check("with the tenant's data", at(object.body, "data", "greeting") === PLANTED, object);
  const uninvited = await admin("GET", `${CONFIG_MAPS}/from-a-stranger`);
  narrator.check(
    "the stranger's does not: nothing is granted",
    uninvited.status === 404,
    uninvited,
  );
  const anonymous = await master("GET", CONFIG_MAP);
  narrator.check("nobody reads it without a token", anonymous.status === 401, anonymous);
  const result = await admin("GET", "/api/v1/requests/request-from-the-chain");
  narrator.check(
    "its result is there by request id, the stranger's refusal too",
    at(result.body, "results", 0, "code") === 201 &&
      at(
          (await admin("GET", "/api/v1/requests/request-from-a-stranger")).body,
          "results",
          0,
          "code",
        ) === 403,
    result,
  );
  const chainState = at((await master("GET", "/health")).body, "sui_events");
  narrator.say(`chain reader: ${JSON.stringify(chainState)}`);

  narrator.step("A pod that the chain assigns to worker-1");
  await control("POST", "/control/schedule", {
    body: {
      requester: TENANT,
      method: "POST",
      resource: "pods",
      namespace: "default",
      name: "web",
      assigned_worker: "worker-1",
      payload: JSON.stringify({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "web", namespace: "default" },
        spec: { containers: [{ name: "web", image: "registry.example/web:1" }] },
      }),
    },
  });
  const assigned = await assignment(`${directory}/worker-1.assigned`, 10_000);
  narrator.check(
    "worker-1's program is given the pod on its standard input",
    at(assigned, "type") === "ADDED" && at(assigned, "pod", "metadata", "name") === "web",
    assigned,
  );

  narrator.step("worker-2 is slashed on the chain");
  await control("POST", "/control/entry", {
    body: { token_id: worker2.token, status: "slashed" },
  });
  const slashedAt = performance.now();
  const thrownOut = await until(
    () => admin("GET", "/api/v1/nodes/worker-2"),
    ({ body }) => ready(body) === "False",
    10_000,
  );
  const outAfter = performance.now() - slashedAt;
  narrator.check(
    `it is thrown out ${outAfter.toFixed(0)} ms after the event`,
    ready(thrownOut.body) === "False" && outAfter < 1_000,
    thrownOut,
  );
  const ended = await running2.status;
  narrator.check(
    "its program is told why, asks in vain to be let in again, and ends",
    ended.code === 1 && running2.output().includes("slashed on chain"),
    running2.output(),
  );

  narrator.step("kill -9, and a restart on the same data");
  first.running.kill("SIGKILL");
  await first.running.status;
  const second = await startMaster(binary, directory, settings);
  await using _second = second.running;
  const again = client(second.url);
  const adminAgain = await adminClient(directory, again);
  narrator.say(`ready again after ${second.readyMs.toFixed(0)} ms`);
  const kept = await adminAgain("GET", CONFIG_MAP);
  narrator.check("the object is still there", kept.status === 200, kept);
  narrator.check(
    "unchanged, and not executed a second time",
    JSON.stringify(at(kept.body, "metadata")) === JSON.stringify(at(object.body, "metadata")),
    kept,
  );
  const identityAgain = await checkAttestation(narrator, again);
  narrator.check("the node is the same node", identityAgain === identity, identityAgain);
  const beats = await until(
    () => again("GET", "/metrics"),
    ({ body }) => HEARTBEAT_TAKEN.test(String(body)),
    10_000,
  );
  narrator.check(
    "the worker's session is still good: it beats on without joining again",
    HEARTBEAT_TAKEN.test(String(beats.body)) && occurrences(running1.output(), '"joined"') === 1,
    running1.output(),
  );
  const returned = await runWorkerOnce(place, "join", worker2);
  narrator.check("the slashed worker stays out", returned.code === 1, returned.output);

  narrator.step("What the disk shows");
  const needles = [PLANTED, "from-the-chain", "worker-1", worker1.token.slice(2), session];
  for (const needle of needles) {
    const found = await filesContaining(`${directory}/data`, needle);
    narrator.check(
      `no file of the data directory holds "${short(needle)}"`,
      found.length === 0,
      found,
    );
  }

  const shown = await Promise.all(
    ["/metrics", "/health", "/"].map(async (path) => {
      const { body } = await again("GET", path);
      return typeof body === "string" ? body : JSON.stringify(body);
    }),
  );
  const printed = [first.running, second.running, running1, running2].map((one) => one.output());
  const wallet = (await Deno.readTextFile(worker1.keyFile)).trim();
  narrator.check(
    "nothing that was printed, measured or shown holds a session, a wallet key or the planted value",
    ![...printed, ...shown].some((text) =>
      [session, wallet, PLANTED].some((needle) => text.includes(needle))
    ),
  );

  narrator.step("SIGTERM");
  running1.kill("SIGTERM");
  const left = await running1.status;
  const gone = await adminAgain("GET", "/api/v1/nodes/worker-1");
  narrator.check("worker-1 says goodbye", left.code === 0 && ready(gone.body) === "Unknown", {
    output: running1.output(),
    gone,
  });
  const stopping = performance.now();
  second.running.kill("SIGTERM");
  const { code } = await second.running.status;
  const took = performance.now() - stopping;
  narrator.check(`exit code 0 after ${took.toFixed(0)} ms`, code === 0 && took < 10_000, {
    code,
    took,
  });
}

function chainReady(line: string): Chain | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  return {
    url: textAt(value, "url"),
    packageId: textAt(value, "package_id"),
    registryId: textAt(value, "registry_id"),
    clusterId: textAt(value, "cluster_id"),
  };
}

async function writeSettings(directory: string, chain: Chain): Promise<Record<string, string>> {
  const path = `${directory}/nautilus.jsonc`;
  await Deno.writeTextFile(
    path,
    JSON.stringify({
      grants: [{
        address: TENANT,
        namespaces: ["default"],
        verbs: ["create", "get"],
        resources: ["configmaps", "pods"],
      }],
    }),
  );
  return {
    TEE_MODE: "simulation",
    NAUTILUS_CONFIG: path,
    NAUTILUS_DATA_DIR: `${directory}/data`,
    NAUTILUS_LISTEN: "127.0.0.1:0",
    NAUTILUS_TLS_LISTEN: `127.0.0.1:${freePort()}`,
    CONTRACT_ADDRESS: chain.packageId,
    SUI_RPC_ENDPOINT: `${chain.url},graphql+${chain.url}/graphql`,
    NAUTILUS_SUI_REGISTRY: chain.registryId,
    NAUTILUS_CLUSTER_ID: chain.clusterId,
    HOME: "/nonexistent",
    PATH: "/usr/bin:/bin",
  };
}

async function startMaster(
  binary: string,
  directory: string,
  env: Record<string, string>,
): Promise<Master> {
  const begun = performance.now();
  const { running, value } = await start({
    command: binary,
    args: ["serve"],
    cwd: directory,
    env,
    ready: (line) => /^ +Listening +.*?(http:\/\/[\w.:[\]]+)/.exec(line)?.[1],
    timeoutMs: 30_000,
  });
  return { running, url: value, readyMs: performance.now() - begun };
}

async function adminClient(directory: string, master: Call): Promise<Call> {
  const kubeconfig = await Deno.readTextFile(`${directory}/data/admin.kubeconfig`);
  const token = /^ *token: (\S+)$/m.exec(kubeconfig)?.[1] ?? "";
  return (method, path, options = {}) =>
    master(method, path, {
      ...options,
      headers: { authorization: `Bearer ${token}`, ...options.headers },
    });
}

async function checkHealth(narrator: Narrator, master: Call): Promise<void> {
  const { status, body } = await master("GET", "/health");
  narrator.check("/health answers", status === 200, body);
  narrator.check(
    "and says that this is a simulation, level 1",
    at(body, "tee_type") === "SIMULATION" && at(body, "security_level") === 1,
    body,
  );
}

/** Checks the bundle as a relying party would; returns the identity key. */
async function checkAttestation(narrator: Narrator, master: Call): Promise<string> {
  const nonce = crypto.getRandomValues(new Uint8Array(32));
  const { body } = await master("GET", `/api/v1/attestation?nonce=${nonce.toHex()}`);
  const signed = Uint8Array.fromBase64(textAt(body, "signed"));
  const statement: unknown = JSON.parse(new TextDecoder().decode(signed));
  const identitySpki = Uint8Array.fromBase64(textAt(statement, "identity_key"));
  const genuine = verify(
    null,
    attestationSignatureInput(signed),
    createPublicKey({ key: Buffer.from(identitySpki), format: "der", type: "spki" }),
    Buffer.from(textAt(body, "signature"), "base64"),
  );
  narrator.check("the attestation is signed by the node's identity key", genuine, statement);
  const expected = reportData({
    nonce,
    bootId: Uint8Array.fromHex(textAt(statement, "boot_id")),
    identitySpki,
    tlsSpki: Uint8Array.fromBase64(textAt(statement, "tls_key")),
    configDigest: Uint8Array.fromHex(textAt(statement, "config_digest")),
    storeId: Uint8Array.fromHex(textAt(statement, "store_id")),
    incarnation: Uint8Array.fromHex(textAt(statement, "incarnation")),
  });
  const evidence = Uint8Array.fromBase64(textAt(body, "evidence", "data"));
  narrator.check(
    "its evidence binds our nonce, the key, the configuration and the store",
    evidence.toHex().includes(expected.toHex()),
    statement,
  );
  return identitySpki.toBase64();
}

function register(master: Call, nodeId: string, token: string) {
  return master("POST", "/api/v1/register-worker", {
    body: {
      node_id: nodeId,
      seal_token: `seal_${token}`,
      timestamp: Math.floor(Date.now() / 1000),
    },
  });
}

function heartbeat(master: Call, nodeId: string, session: string) {
  return master("POST", "/api/v1/nodes/heartbeat", {
    headers: { "x-seal-token": session },
    body: {
      node_id: nodeId,
      timestamp: Math.floor(Date.now() / 1000),
      stake_status: "active",
      stake_amount: 5_000_000_000,
      running_pods: 0,
      resource_usage: { cpu_percent: 3, memory_percent: 12, disk_percent: 40 },
    },
  });
}

async function filesContaining(directory: string, needle: string): Promise<string[]> {
  const bytes = Buffer.from(needle);
  const found: string[] = [];
  for await (const entry of Deno.readDir(directory)) {
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory) found.push(...await filesContaining(path, needle));
    else if (entry.isFile && Buffer.from(await Deno.readFile(path)).includes(bytes)) {
      found.push(path);
    }
  }
  return found;
}

/** The same after the restart, so that the worker finds the master again. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

function short(text: string): string {
  return text.length <= 40 ? text : `${text.slice(0, 14)}…${text.slice(-6)}`;
}
