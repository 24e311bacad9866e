/** Evidence of the worker's own TEE, from the built worker to the built master. */
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { Ed25519Keypair } from "@mysten/sui/keypairs/ed25519";
import { createHash } from "node:crypto";
import { createSimulationFactory } from "../../backends/simulation/backend.ts";
import { type SpawnedNode, spawnFakeNode } from "../fakes/sui/spawn.ts";
import {
  asRecord,
  type Finished,
  makePlace,
  type Master,
  type Place,
  runBinary,
  startMaster,
} from "./harness.ts";

interface TestWorker {
  readonly folder: string;
  readonly token: string;
  /** SHA-256 of the root of its simulated machine, hex. */
  readonly root: string;
}

/** A wallet, a node key, a token for both, and a simulated machine. */
async function makeWorker(place: Place, chain: SpawnedNode): Promise<TestWorker> {
  const folder = `${place.cwd}/worker`;
  const wallet = Ed25519Keypair.generate();
  const state = `${folder}/worker.json`;
  const shown = await runBinary(place, ["worker", "key", "--state", state]);
  assertEquals(shown.code, 0, shown.stderr);
  await Deno.writeTextFile(`${folder}/wallet`, `${wallet.getSecretKey()}\n`, { mode: 0o600 });
  const made = await chain.control("token", {
    owner: wallet.toSuiAddress(),
    node_id: "worker-1",
    node_key_hash: asRecord(JSON.parse(shown.stdout))["node_key_hash"],
    stake_amount: "5000000000",
    permissions: ["node"],
  });
  await using machine = await createSimulationFactory({
    measureProgram: () => Promise.resolve(new Uint8Array(48)),
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    clock: Date.now,
  }).open({ dataDir: folder, create: true });
  const evidence = await machine.attester?.attest(new Uint8Array(64));
  const root = createHash("sha256").update(evidence?.endorsements[0]?.data ?? "").digest("hex");
  return { folder, token: String(made["token_id"]), root };
}

/** What the worker must believe of the master, made of its evidence as operators do. */
async function masterPolicy(place: Place, master: Master): Promise<string> {
  const bundle = `${place.cwd}/bundle.json`;
  await Deno.writeTextFile(
    bundle,
    await (await fetch(`${master.url}/api/v1/attestation`)).text(),
  );
  const made = await runBinary(place, ["policy", "init", "--from", bundle]);
  assertEquals(made.code, 0, made.stderr);
  const path = `${place.cwd}/master.jsonc`;
  await Deno.writeTextFile(
    path,
    made.stdout.replace(/"covers": \[[^\]]*\]/, '"covers": ["none"]'),
  );
  return path;
}

async function join(
  place: Place,
  master: Master,
  worker: TestWorker,
  teeMode: string,
): Promise<Finished> {
  for (;;) {
    const policy = await masterPolicy(place, master);
    const finished = await runBinary(place, [
      "worker",
      "join",
      "--master",
      master.url,
      "--policy",
      policy,
      "--token",
      worker.token,
      "--key",
      `${worker.folder}/wallet`,
      "--node-id",
      "worker-1",
      "--state",
      `${worker.folder}/worker.json`,
      "--tee-mode",
      teeMode,
    ]);
    // The master has just begun: the chain has not answered it yet.
    if (!finished.stderr.includes("chain_unreachable")) return finished;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function statement(master: Master): Promise<Readonly<Record<string, unknown>>> {
  const bundle = asRecord(await (await fetch(`${master.url}/api/v1/attestation`)).json());
  const signed = new TextDecoder().decode(Uint8Array.fromBase64(String(bundle["signed"])));
  return asRecord(JSON.parse(signed));
}

async function writePolicy(path: string, section: Record<string, unknown>): Promise<string> {
  await Deno.writeTextFile(
    path,
    JSON.stringify({ version: 1, id: "workers", simulation: section }),
  );
  return path;
}

Deno.test("serve demands a worker's own evidence, and admits what the sealed policy affirms", async () => {
  await using chain = await spawnFakeNode();
  await using place = await makePlace();
  const worker = await makeWorker(place, chain);
  const settings = {
    CONTRACT_ADDRESS: chain.packageId,
    SUI_RPC_ENDPOINT: chain.url,
    NAUTILUS_SUI_REGISTRY: chain.registryId,
    NAUTILUS_CLUSTER_ID: chain.clusterId,
  };
  let measurement: unknown;
  const digests: unknown[] = [];
  {
    await using master = await startMaster(place, [], settings);
    const said = await statement(master);
    measurement = said["measurement"];
    digests.push(said["config_digest"]);
    const joined = await join(place, master, worker, "production");
    assertEquals(joined.code, 0, joined.stderr);
    assertEquals((await master.end("SIGTERM")).code, 0);
  }
  const accepting = {
    allowSimulation: true,
    trustedRoots: [worker.root],
    // One file is both, so its measurement is the master's.
    measurements: [measurement],
    reportData: "require",
    maxAgeSeconds: 3600,
  };
  {
    const policy = await writePolicy(`${place.cwd}/workers.jsonc`, accepting);
    await using master = await startMaster(place, [], {
      ...settings,
      NAUTILUS_WORKER_POLICY: policy,
    });
    assertStringIncludes(master.output(), "simulation.allowSimulation");
    digests.push((await statement(master))["config_digest"]);
    const without = await join(place, master, worker, "production");
    assertEquals(without.code, 1, without.stderr);
    assertStringIncludes(without.stderr, "demands evidence of the worker's own TEE");
    const joined = await join(place, master, worker, "simulation");
    assertEquals(joined.code, 0, joined.stderr);
    assertEquals(typeof asRecord(JSON.parse(joined.stdout))["session_token"], "string");
    const health = asRecord(await (await fetch(`${master.url}/health`)).json());
    const components = health["components"];
    assert(Array.isArray(components) && components.includes("worker-appraisal"));
    assertEquals((await master.end("SIGTERM")).code, 0);
  }
  assertNotEquals(digests[0], digests[1], "the policy is in the digest of the configuration");
  const refusing = await writePolicy(`${place.cwd}/production.jsonc`, {
    ...accepting,
    allowSimulation: false,
  });
  await using master = await startMaster(place, ["--worker-policy", refusing], settings);
  const refused = await join(place, master, worker, "simulation");
  assertEquals(refused.code, 1, refused.stderr);
  assertStringIncludes(refused.stderr, "worker_evidence_refused");
  assertStringIncludes(refused.stderr, "simulation_allowed");
});

Deno.test("serve refuses a worker policy that is none, or beside bearer tokens", async () => {
  await using place = await makePlace();
  const policy = `${place.cwd}/workers.jsonc`;
  await Deno.writeTextFile(policy, "{}");
  const broken = await runBinary(place, ["serve", "--worker-policy", policy]);
  assertEquals(broken.code, 2, broken.stderr);
  assertStringIncludes(broken.stderr, "--worker-policy");
  await Deno.writeTextFile(policy, JSON.stringify({ version: 1, id: "workers" }));
  const both = await runBinary(place, [
    "serve",
    "--worker-policy",
    policy,
    "--legacy-bearer-tokens",
  ]);
  assertEquals(both.code, 2, both.stderr);
  assertStringIncludes(both.stderr, "contradict");
});
