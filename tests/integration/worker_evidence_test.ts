/** Evidence of the worker's own TEE, from the built worker to the built master. */
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { spawnFakeNode } from "../fakes/sui/spawn.ts";
import { asRecord, makePlace, type Master, runBinary, startMaster } from "./harness.ts";
import { joinOnce, makeWorker } from "./worker.ts";

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
    const joined = await joinOnce(place, master, worker, ["--tee-mode", "production"]);
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
    const without = await joinOnce(place, master, worker, ["--tee-mode", "production"]);
    assertEquals(without.code, 1, without.stderr);
    assertStringIncludes(without.stderr, "demands evidence of the worker's own TEE");
    const joined = await joinOnce(place, master, worker, ["--tee-mode", "simulation"]);
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
  const refused = await joinOnce(place, master, worker, ["--tee-mode", "simulation"]);
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
