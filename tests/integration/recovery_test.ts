/**
 * The recovery drill, by the built file alone: a master's data directory comes to a host whose TEE
 * cannot open it, and back to life there, by the operator's recovery key.
 */
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { createHash } from "node:crypto";
import { spawnFakeNode } from "../fakes/sui/spawn.ts";
import {
  asRecord,
  type Finished,
  makePlace,
  type Place,
  runBinary,
  startMaster,
} from "./harness.ts";

async function done(running: Promise<Finished>, code = 0): Promise<Finished> {
  const finished = await running;
  assertEquals(finished.code, code, finished.stdout + finished.stderr);
  return finished;
}

async function jsonFile(path: string): Promise<Readonly<Record<string, unknown>>> {
  return asRecord(JSON.parse(await Deno.readTextFile(path)));
}

async function attested(url: string): Promise<Readonly<Record<string, unknown>>> {
  const bundle = asRecord(await (await fetch(`${url}/api/v1/attestation`)).json());
  const signed = new TextDecoder().decode(Uint8Array.fromBase64(String(bundle["signed"])));
  return asRecord(JSON.parse(signed));
}

async function adminToken(place: Place): Promise<string> {
  const kubeconfig = await Deno.readTextFile(`${place.data}/admin.kubeconfig`);
  const token = /^ +token: (\S+)$/m.exec(kubeconfig)?.[1];
  assert(token !== undefined, kubeconfig);
  return token;
}

async function adminStatus(url: string, token: string): Promise<number> {
  const response = await fetch(`${url}/api/v1/namespaces/default/configmaps`, {
    headers: { authorization: `Bearer ${token}` },
  });
  await response.body?.cancel();
  return response.status;
}

async function post(
  url: string,
  body: Readonly<Record<string, unknown>>,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ readonly status: number; readonly body: Readonly<Record<string, unknown>> }> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({
      timestamp: Math.floor(Date.now() / 1000),
      ...body,
    }),
  });
  return { status: response.status, body: asRecord(await response.json()) };
}

/** Registers a worker by its token; returns its session. */
async function session(url: string, nodeId: string, token: string): Promise<string> {
  const { status, body } = await post(`${url}/api/v1/register-worker`, {
    node_id: nodeId,
    seal_token: `seal_${token}`,
  });
  assertEquals(status, 200, JSON.stringify(body));
  return String(body["session_token"]);
}

async function heartbeatStatus(url: string, nodeId: string, token: string): Promise<number> {
  const { status } = await post(`${url}/api/v1/nodes/heartbeat`, {
    node_id: nodeId,
    stake_status: "active",
    stake_amount: 5_000_000_000,
    running_pods: 0,
    resource_usage: { cpu_percent: 3, memory_percent: 12, disk_percent: 40 },
  }, { "x-seal-token": token });
  return status;
}

interface KeyStatus {
  readonly version: unknown;
  readonly wraps: readonly Readonly<Record<string, unknown>>[];
}

async function keyStatus(place: Place): Promise<KeyStatus> {
  const { stdout } = await done(runBinary(place, ["key", "status", "--json"]));
  const status = asRecord(JSON.parse(stdout));
  const wraps = status["wraps"];
  assert(Array.isArray(wraps));
  return { version: status["key_ring_version"], wraps: wraps.map(asRecord) };
}

/** The data directory without its simulated device: what a host that is gone leaves behind. */
async function moveStore(from: Place, to: Place): Promise<void> {
  await Deno.mkdir(to.data, { recursive: true, mode: 0o700 });
  for await (const { name } of Deno.readDir(from.data)) {
    if (name.startsWith("store.sqlite")) {
      await Deno.copyFile(`${from.data}/${name}`, `${to.data}/${name}`);
    }
  }
}

/** What the operator accepts: one measurement, one development root. */
async function writePolicy(
  path: string,
  request: Readonly<Record<string, unknown>>,
  over: Readonly<Record<string, unknown>>,
): Promise<void> {
  const endorsements = asRecord(request["evidence"])["endorsements"];
  assert(Array.isArray(endorsements));
  const root = Uint8Array.fromBase64(String(asRecord(endorsements[0])["data"]));
  const simulation = {
    allowSimulation: true,
    trustedRoots: [createHash("sha256").update(root).digest("hex")],
    measurements: "any",
    reportData: "require",
    maxAgeSeconds: 300,
    ...over,
  };
  await Deno.writeTextFile(path, JSON.stringify({ version: 1, id: "drill", simulation }));
}

Deno.test("a recovery drill: the store opens on another TEE by the operator's key, and by nothing else", async () => {
  await using old = await makePlace();
  await using fresh = await makePlace();
  const keys = `${old.cwd}/keys`;
  const made = await done(runBinary(old, ["key", "recovery-init", "--out", keys]));
  const fingerprint = /recovery key +([0-9a-f]{64})/.exec(made.stdout)?.[1];
  assert(fingerprint !== undefined, made.stdout);
  assertEquals(((await Deno.stat(`${keys}/recovery.key`)).mode ?? 0) & 0o777, 0o600);
  const again = await done(runBinary(old, ["key", "recovery-init", "--out", keys]), 2);
  assertStringIncludes(again.stderr, "is there already");

  await using chain = await spawnFakeNode();
  const token = async (nodeId: string) => {
    const stake = { owner: `0x${"ab".repeat(32)}`, stake_amount: "5000000000" };
    return String((await chain.control("token", { ...stake, node_id: nodeId }))["token_id"]);
  };
  const env = {
    NAUTILUS_RECOVERY_KEYS: `${keys}/recovery.pub`,
    CONTRACT_ADDRESS: chain.packageId,
    SUI_RPC_ENDPOINT: chain.url,
    NAUTILUS_SUI_REGISTRY: chain.registryId,
    NAUTILUS_LEGACY_BEARER_TOKENS: "true",
  };
  const first = await startMaster(old, [], env);
  const before = await attested(first.url);
  const oldToken = await adminToken(old);
  assertEquals(await adminStatus(first.url, oldToken), 200);
  const oldSession = await session(first.url, "worker-1", await token("worker-1"));
  assertEquals(await heartbeatStatus(first.url, "worker-1", oldSession), 200);
  assertEquals((await first.end("SIGTERM")).code, 0);
  await done(runBinary(old, ["store", "put", "kept", "as it was"]));
  const original = await keyStatus(old);
  assertEquals(original.wraps, [
    { type: "sealer", policy: "signer" },
    { type: "recovery", recipient: fingerprint },
  ]);

  await moveStore(old, fresh);
  const unopened = await done(runBinary(fresh, ["serve"]), 3);
  assertStringIncludes(unopened.stderr, "no simulated device here");
  const early = `${fresh.cwd}/early.json`;
  await Deno.writeTextFile(
    early,
    JSON.stringify({
      v: 1,
      store_id: before["store_id"],
      encapsulated: "AA==",
      ciphertext: "AA==",
    }),
  );
  const tooEarly = await done(runBinary(fresh, ["key", "recovery-accept", "--in", early]), 2);
  assertStringIncludes(tooEarly.stderr, "no recovery was asked for");

  const file = `${fresh.cwd}/request.json`;
  const asked = await done(runBinary(fresh, ["key", "recovery-request", "--out", file]));
  assertStringIncludes(asked.stdout, fingerprint);
  const stillSealed = await done(runBinary(fresh, ["serve"]), 3);
  assertStringIncludes(stillSealed.stderr, "the keyring was sealed elsewhere");
  const request = await jsonFile(file);
  const policy = `${old.cwd}/policy.jsonc`;
  await writePolicy(policy, request, { measurements: [before["measurement"]] });
  const answer = `${old.cwd}/answer.json`;
  const rewrap = (over: Readonly<Record<string, string>> = {}) => {
    const args = { request: file, key: `${keys}/recovery.key`, policy, out: answer, ...over };
    return runBinary(
      old,
      ["key", "rewrap", ...Object.entries(args).flatMap(([name, value]) => [`--${name}`, value])],
    );
  };
  const nothingWrapped = () => Deno.stat(answer).then(() => false, () => true);

  // Somebody else's policy, key and request.
  for (
    const [over, says] of [
      [{ allowSimulation: false }, "simulation_refused"],
      [{ trustedRoots: ["00".repeat(32)] }, "unknown_root"],
      [{ measurements: ["00".repeat(48)] }, "unknown_measurement"],
    ] as const
  ) {
    const strict = `${old.cwd}/strict.jsonc`;
    await writePolicy(strict, request, over);
    const refused = await done(rewrap({ policy: strict }), 1);
    assertStringIncludes(refused.stdout + refused.stderr, says);
    assertStringIncludes(refused.stderr, "nothing was wrapped");
  }
  const hardwareOnly = `${old.cwd}/hardware.jsonc`;
  await Deno.writeTextFile(hardwareOnly, '{"version": 1, "id": "hardware"}');
  assertStringIncludes((await done(rewrap({ policy: hardwareOnly }), 1)).stdout, "simulation");
  await done(runBinary(old, ["key", "recovery-init", "--out", `${old.cwd}/other`]));
  const wrongKey = await done(rewrap({ key: `${old.cwd}/other/recovery.key` }), 1);
  assertStringIncludes(wrongKey.stderr, "is none of this store's recovery keys");
  const altered = `${old.cwd}/altered.json`;
  for (
    const [field, value] of [
      ["ephemeral_key", crypto.getRandomValues(new Uint8Array(32)).toBase64()],
      ["keyring_sha256", "00".repeat(32)],
      ["store_id", "00".repeat(16)],
    ] as const
  ) {
    await Deno.writeTextFile(altered, JSON.stringify({ ...request, [field]: value }));
    const refused = await done(rewrap({ request: altered }), 1);
    assertStringIncludes(refused.stdout, "does not carry the expected report data");
  }
  await Deno.writeTextFile(altered, JSON.stringify({ ...request, keyring: "AAAA" }));
  await done(rewrap({ request: altered }), 1);
  await Deno.writeTextFile(altered, JSON.stringify({ ...request, extra: 1 }));
  await done(rewrap({ request: altered }), 2);
  await Deno.chmod(`${keys}/recovery.key`, 0o644);
  assertStringIncludes((await done(rewrap(), 2)).stderr, "chmod 600");
  await Deno.chmod(`${keys}/recovery.key`, 0o600);
  assert(await nothingWrapped(), "a refused rewrap left an answer");

  // The right ones. An answer to an earlier request is void once another one was made.
  await done(rewrap());
  await done(runBinary(fresh, ["key", "recovery-request", "--out", file]));
  const accept = () => runBinary(fresh, ["key", "recovery-accept", "--in", answer]);
  assertStringIncludes((await done(accept(), 1)).stderr, "it is not for this request");
  await done(rewrap());
  await done(accept());
  assertStringIncludes((await done(accept(), 2)).stderr, "no recovery was asked for");

  const { stdout: kept } = await done(runBinary(fresh, ["store", "get", "kept"]));
  assertEquals(kept, "as it was\n");
  const recovered = await keyStatus(fresh);
  assertEquals(recovered.wraps, original.wraps);
  assertEquals(recovered.version, Number(original.version) + 1);
  await using second = await startMaster(fresh, [], env);
  const after = await attested(second.url);
  for (const same of ["store_id", "measurement", "config_digest"]) {
    assertEquals(after[same], before[same], same);
  }
  for (const renewed of ["identity_key", "tls_key", "incarnation", "boot_id"]) {
    assertNotEquals(after[renewed], before[renewed], renewed);
  }
  const newToken = await adminToken(fresh);
  assertNotEquals(newToken, oldToken);
  assertEquals(await adminStatus(second.url, newToken), 200);
  assertEquals(await adminStatus(second.url, oldToken), 401);
  assertEquals(await heartbeatStatus(second.url, "worker-1", oldSession), 401);
  const newSession = await session(second.url, "worker-2", await token("worker-2"));
  assertEquals(await heartbeatStatus(second.url, "worker-2", newSession), 200);
  assertEquals((await second.end("SIGTERM")).code, 0);

  // The old TEE is out: its seal is gone from the recovered store.
  await using back = await makePlace();
  await moveStore(fresh, back);
  await Deno.mkdir(`${back.data}/simulation`, { mode: 0o700 });
  await Deno.copyFile(
    `${old.data}/simulation/sealing_root`,
    `${back.data}/simulation/sealing_root`,
  );
  const out = await done(runBinary(back, ["serve"]), 3);
  assertStringIncludes(out.stderr, "the keyring was sealed elsewhere");
});

Deno.test("serve says what it cannot do with recovery keys instead of passing it over", async () => {
  await using place = await makePlace();
  for (const name of ["a", "b"]) {
    await done(runBinary(place, ["key", "recovery-init", "--out", `${place.cwd}/${name}`]));
  }
  const [a, b] = ["a", "b"].map((name) => `${place.cwd}/${name}/recovery.pub`);
  const serve = (...args: string[]) => runBinary(place, ["serve", ...args]);
  const both = await done(serve("--recovery-key", `${a}`, "--no-recovery"), 2);
  assertStringIncludes(both.stderr, "contradict each other");
  const secret = await done(serve("--recovery-key", `${place.cwd}/a/recovery.key`), 2);
  assertStringIncludes(secret.stderr, "must never reach a master");
  const none = await done(serve("--recovery-key", `${place.cwd}/none`), 2);
  assertStringIncludes(none.stderr, "--recovery-key");

  assertEquals((await (await startMaster(place)).end("SIGTERM")).code, 0);
  const status = await done(runBinary(place, ["key", "status"]));
  assertStringIncludes(status.stdout, "recovery         none");
  const lost = `${place.cwd}/request.json`;
  const unasked = await done(runBinary(place, ["key", "recovery-request", "--out", lost]), 1);
  assertStringIncludes(unasked.stderr, "without a recovery key");

  // The simulation takes a key at any start; it never takes one away.
  const added = await startMaster(place, ["--recovery-key", `${a},${b}`]);
  assertEquals((await added.end("SIGTERM")).code, 0);
  assertEquals((await keyStatus(place)).wraps.length, 3);
  const fewer = await done(serve("--recovery-key", `${b}`), 2);
  assertStringIncludes(fewer.stderr, "cannot take a recovery key away");
  const refused = await done(serve("--no-recovery"), 2);
  assertStringIncludes(refused.stderr, "this store has recovery keys");
});
