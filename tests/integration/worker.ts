/** A worker of the built file: its wallet, token, state and simulated machine, and how it joins. */
import { assertEquals } from "@std/assert";
import { Ed25519Keypair } from "@mysten/sui/keypairs/ed25519";
import { createHash } from "node:crypto";
import { createSimulationFactory } from "../../backends/simulation/backend.ts";
import type { SpawnedNode } from "../fakes/sui/spawn.ts";
import { asRecord, type Finished, type Master, type Place, runBinary } from "./harness.ts";

export interface TestWorker {
  readonly folder: string;
  readonly token: string;
  /** SHA-256 of the root of its simulated machine, hex. */
  readonly root: string;
}

/** A wallet, a node key, a token for both, and a simulated machine. */
export async function makeWorker(place: Place, chain: SpawnedNode): Promise<TestWorker> {
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

/** `nautilus worker join`, once the chain has answered the master. */
export async function joinOnce(
  place: Place,
  master: Master,
  worker: TestWorker,
  flags: readonly string[],
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
      ...flags,
    ]);
    // The master has just begun: the chain has not answered it yet.
    if (!finished.stderr.includes("chain_unreachable")) return finished;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
