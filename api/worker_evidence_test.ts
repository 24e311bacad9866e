import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { createHash } from "node:crypto";
import type { Bytes } from "../backends/mod.ts";
import { workerReportData } from "../sui/admission_message.ts";
import type { SignedProof } from "../sui/admission_proof.ts";
import { SESSION_TTL_MS } from "../tests/fakes/api.ts";
import { type Answer, type ProtocolWorld, protocolWorld } from "../tests/fakes/protocol.ts";
import {
  appraiserOf,
  type Machine,
  machine,
  MAX_AGE_SECONDS,
  MEASUREMENT,
  type PolicyChoices,
  policyText,
} from "../tests/fakes/worker_tee.ts";
import type { WorkerAppraisal, WorkerAppraiser } from "./worker_evidence.ts";

interface Scene extends AsyncDisposable {
  readonly world: ProtocolWorld;
  readonly machine: Machine;
  readonly appraiser: WorkerAppraiser & { calls: number };
}

async function scene(choices: PolicyChoices = {}): Promise<Scene> {
  const world = await protocolWorld();
  const clock = () => world.time.now;
  const own = await machine(clock);
  const appraiser = appraiserOf(policyText(own.root, choices), clock);
  world.appraiser = appraiser;
  await world.restart();
  return {
    world,
    machine: own,
    appraiser,
    async [Symbol.asyncDispose]() {
      await own[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
}

function present(
  world: ProtocolWorld,
  proof: SignedProof,
  evidence: unknown,
  address = proof.address,
): Promise<Answer> {
  return world.post("/api/v1/register-worker", {
    node_id: proof.nodeId,
    seal_token: `seal_${proof.tokenId}`,
    timestamp: 1,
    proof: {
      address,
      node_key: proof.nodeKey.toBase64(),
      challenge: proof.challenge.toHex(),
      wallet_signature: proof.walletSignature,
      node_signature: proof.nodeSignature.toBase64(),
      ...(evidence === undefined ? {} : { evidence }),
    },
  });
}

function codeOf({ status, body }: Answer): string {
  return status === 200 ? "admitted" : String(body["code"]);
}

Deno.test("workerReportData() is SHA-512 over domain and message, each with its length", () => {
  const domain = new TextEncoder().encode("nautilus-tee/worker-report-data/v1");
  const message = new TextEncoder().encode("abc");
  const input = [0, 0, 0, domain.length, ...domain, 0, 0, 0, 3, ...message];
  const digest = createHash("sha512").update(Uint8Array.from(input)).digest("hex");
  assertEquals(workerReportData(message).toHex(), digest);
  assertEquals(workerReportData(message).length, 64);
});

Deno.test("without a worker policy nothing changes: no word of it in the challenge, the field unknown", async () => {
  await using world = await protocolWorld();
  const worker = world.worker("worker-1", 21);
  const answer = await world.post("/api/v1/admission/challenge", {
    node_id: "worker-1",
    address: worker.wallet.address,
  });
  assertEquals(Object.keys(answer.body).includes("worker_evidence"), false);
  await using own = await machine(() => world.time.now);
  const proof = await world.prove(worker, await world.challenge(worker));
  const evidence = await own.evidence(workerReportData(proof.message));
  assertEquals(codeOf(await present(world, proof, evidence)), "unknown_field");
  const plain = await present(world, proof, undefined);
  assertEquals(codeOf(plain), "admitted", "the challenge is still good");
  assertEquals(Object.keys(plain.body).includes("worker_evidence"), false);
  assertEquals(world.workers.get("worker-1")?.evidence, undefined);
});

Deno.test("evidence that the policy affirms admits; what was appraised is kept, told and shown", async () => {
  await using all = await scene();
  const { world } = all;
  const worker = world.worker("worker-1", 21);
  const asked = await world.post("/api/v1/admission/challenge", {
    node_id: "worker-1",
    address: worker.wallet.address,
  });
  assertEquals(asked.body["worker_evidence"], "required");
  const proof = await world.prove(worker, await world.challenge(worker));
  const evidence = await all.machine.evidence(workerReportData(proof.message));
  const answer = await present(world, proof, evidence);
  assertEquals(codeOf(answer), "admitted", JSON.stringify(answer.body));
  const kept: WorkerAppraisal = {
    tee_type: "SIMULATION",
    measurement: MEASUREMENT.toHex(),
    policy_id: "workers",
    policy_digest: all.appraiser.policyDigest,
    evidence_digest: createHash("sha256").update(Uint8Array.fromBase64(evidence.data)).digest(
      "hex",
    ),
    appraised_at_ms: world.time.now,
    expires_at_ms: world.time.now + MAX_AGE_SECONDS * 1000,
  };
  assertEquals(answer.body["worker_evidence"], kept);
  assertEquals(world.workers.get("worker-1")?.evidence, kept);
  const node = await world.store.range("k8s", {
    key: Uint8Array.of(0),
    rangeEnd: Uint8Array.of(0),
  });
  const shown = node.kvs.map(({ value }) => new TextDecoder().decode(value))
    .filter((text) => text.includes("nautilus-tee.io/worker-evidence"));
  assertEquals(shown.length, 1);
  assertStringIncludes(String(shown[0]), MEASUREMENT.toHex());
  await world.restart();
  assertEquals(world.workers.authenticate(String(answer.body["session_token"])), "worker-1");
});

Deno.test("a session ends with what its evidence relies on, and is not renewed beyond it", async () => {
  await using all = await scene();
  const { world } = all;
  const worker = world.worker("worker-1", 21);
  const proof = await world.prove(worker, await world.challenge(worker));
  const evidence = await all.machine.evidence(workerReportData(proof.message));
  const { body } = await present(world, proof, evidence);
  const token = String(body["session_token"]);
  assert(MAX_AGE_SECONDS * 1000 < SESSION_TTL_MS);
  assertEquals(body["session_expires_at"], Math.floor(world.time.now / 1000 + MAX_AGE_SECONDS));
  world.time.now += (MAX_AGE_SECONDS - 1) * 1000;
  const beat = await world.beat(worker, token, 1);
  assertEquals([beat.status, beat.body["session_token"]], [200, undefined]);
  world.time.now += 1_000;
  assertEquals(codeOf(await world.beat(worker, token, 2)), "session_expired");
});

Deno.test("a worker whose evidence is too old shows new one to go on, also where the operator shortened its age", async () => {
  await using all = await scene({ maxAgeSeconds: 10 * SESSION_TTL_MS / 1000 });
  const { world } = all;
  const clock = () => world.time.now;
  const worker = world.worker("worker-1", 21);
  const text = policyText(all.machine.root, { maxAgeSeconds: 10 * SESSION_TTL_MS / 1000 });
  const demand = async (maxAgeMs: number) => {
    world.appraiser = appraiserOf(text, clock, maxAgeMs);
    await world.restart();
  };
  await demand(1.5 * SESSION_TTL_MS);
  const join = async () => {
    const proof = await world.prove(worker, await world.challenge(worker));
    const evidence = await all.machine.evidence(workerReportData(proof.message));
    return (await present(world, proof, evidence)).body;
  };
  const begun = world.time.now;
  const first = await join();
  assertEquals(first["session_expires_at"], (begun + SESSION_TTL_MS) / 1000);
  world.time.now += SESSION_TTL_MS - 1_000;
  const { body: renewed } = await world.beat(worker, String(first["session_token"]), 1);
  assertEquals(renewed["session_expires_at"], (begun + 1.5 * SESSION_TTL_MS) / 1000);
  const token = String(renewed["session_token"]);
  // Nothing more is to be had on this evidence: the chain is not even asked.
  world.time.now = begun + 1.5 * SESSION_TTL_MS - 1_000;
  const calls = world.ledger.calls;
  const last = await world.beat(worker, token, 2);
  assertEquals([last.status, last.body["session_token"]], [200, undefined]);
  assertEquals(world.ledger.calls, calls);
  world.time.now += 1_000;
  assertEquals(codeOf(await world.beat(worker, token, 3)), "session_expired");
  // New evidence, and everything goes on under the same name.
  const again = await join();
  assertEquals(again["state"], "active");
  assertEquals((await world.beat(worker, String(again["session_token"]), 1)).status, 200);
  // A shorter age counts for what stands already.
  world.time.now += 600_000;
  await demand(600_000);
  assertEquals(world.workers.authenticate(String(again["session_token"])), undefined);
  await demand(900_000);
  assertEquals(world.workers.authenticate(String(again["session_token"])), "worker-1");
  world.time.now += 300_000;
  assertEquals(world.workers.authenticate(String(again["session_token"])), undefined);
});

Deno.test("attack: no evidence, another's, an older challenge's, altered or of another machine admits nobody", async () => {
  await using all = await scene();
  const { world } = all;
  const clock = () => world.time.now;
  await using stranger = await machine(clock);
  await using otherProgram = await machine(clock, new Uint8Array(48).fill(0x45));
  const a = world.worker("worker-1", 21);
  const b = world.worker("worker-2", 22);
  const earlier = await world.prove(a, await world.challenge(a));
  const byB = await world.prove(b, await world.challenge(b));
  const own = (proof: SignedProof) => all.machine.evidence(workerReportData(proof.message));
  const [ofEarlier, ofB] = [await own(earlier), await own(byB)];
  const flipped = (data: string, at: number) => {
    const bytes = Uint8Array.fromBase64(data);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    return bytes.toBase64();
  };
  const proof = await world.prove(a, await world.challenge(a));
  const good = await own(proof);
  const length = Uint8Array.fromBase64(good.data).length;
  const refused: [string, unknown, string][] = [
    ["another node's evidence", ofB, "report_data"],
    ["evidence over an earlier challenge", ofEarlier, "report_data"],
    [
      "evidence of an unknown machine",
      await stranger.evidence(workerReportData(proof.message)),
      "root",
    ],
    [
      "evidence of another program",
      await otherProgram.evidence(workerReportData(proof.message)),
      "root",
    ],
    ["report data of zeros", await all.machine.evidence(new Uint8Array(64)), "report_data"],
    ["the message's own digest", await all.machine.evidence(digest(proof.message)), "report_data"],
    ["a stranger's root beside", {
      ...good,
      endorsements: (await stranger.evidence(new Uint8Array(64))).endorsements,
    }, "root"],
    ["no root", { ...good, endorsements: [] }, "root"],
    ["another kind of TEE", { ...good, tee_type: "SEV" }, "tee_not_in_policy"],
    ["nothing at all", { ...good, data: "" }, "format"],
    [
      "cut short",
      { ...good, data: Uint8Array.fromBase64(good.data).slice(0, 40).toBase64() },
      "format",
    ],
  ];
  for (const [what, evidence, why] of refused) {
    const answer = await present(world, proof, evidence);
    assertEquals(codeOf(answer), "worker_evidence_refused", what);
    assertEquals(answer.status, 403, what);
    assertStringIncludes(String(answer.body["detail"]), why, what);
  }
  for (let at = 0; at < length; at += 7) {
    const altered = { ...good, data: flipped(good.data, at) };
    assertEquals(codeOf(await present(world, proof, altered)), "worker_evidence_refused", `${at}`);
  }
  assertEquals(codeOf(await present(world, proof, undefined)), "worker_evidence_missing");
  assertEquals(world.workers.list(), []);
  // None of them used the challenge up: the honest one gets in, and its proof is good once.
  assertEquals(codeOf(await present(world, proof, good)), "admitted");
  assertEquals(codeOf(await present(world, proof, good)), "challenge_used");
  // The earlier proof with its own evidence is as good as any fresh one until its challenge ends.
  world.time.now += 60_000;
  assertEquals(codeOf(await present(world, earlier, ofEarlier)), "challenge_expired");
});

function digest(message: Uint8Array): Bytes {
  return new Uint8Array(createHash("sha512").update(message).digest());
}

Deno.test("attack: strangers have nothing appraised; challenge, signatures and token come first", async () => {
  await using all = await scene();
  const { world, appraiser } = all;
  const a = world.worker("worker-1", 21);
  const b = world.worker("worker-2", 22);
  const proof = await world.prove(a, await world.challenge(a));
  const other = await world.prove(b, await world.challenge(b));
  const evidence = await all.machine.evidence(workerReportData(proof.message));
  const changes: [string, Partial<SignedProof>, string][] = [
    ["another's challenge", { challenge: other.challenge }, "challenge_foreign"],
    ["another's node signature", { nodeSignature: other.nodeSignature }, "wrong_node_signature"],
    ["another's wallet", { walletSignature: other.walletSignature }, "wrong_wallet_signature"],
  ];
  for (const [what, change, code] of changes) {
    assertEquals(codeOf(await present(world, { ...proof, ...change }, evidence)), code, what);
  }
  world.gateway.setEntry(a.tokenId, { status: "suspended" });
  assertEquals(codeOf(await present(world, proof, evidence)), "seal_token_inactive");
  world.ledger.unavailable = "down";
  assertEquals(codeOf(await present(world, proof, evidence)), "chain_unreachable");
  world.ledger.unavailable = undefined;
  assertEquals(appraiser.calls, 0);
  world.gateway.setEntry(a.tokenId, { status: "active" });
  assertEquals(codeOf(await present(world, proof, evidence)), "admitted");
  assertEquals(appraiser.calls, 1);
});

for (
  const [what, choices, why] of [
    ["a production policy", { allowSimulation: false }, "simulation_allowed"],
    ["a policy of another program", { measurement: "55".repeat(48) }, "measurement"],
  ] as const
) {
  Deno.test(`attack: ${what} refuses simulated evidence, naming the check`, async () => {
    await using all = await scene(choices);
    const { world } = all;
    const worker = world.worker("worker-1", 21);
    const proof = await world.prove(worker, await world.challenge(worker));
    const evidence = await all.machine.evidence(workerReportData(proof.message));
    const answer = await present(world, proof, evidence);
    assertEquals(codeOf(answer), "worker_evidence_refused");
    assertStringIncludes(String(answer.body["detail"]), why);
  });
}

Deno.test("attack: a policy that excuses report data does not excuse evidence for something else", async () => {
  await using all = await scene({ reportData: "any" });
  const { world } = all;
  const worker = world.worker("worker-1", 21);
  const proof = await world.prove(worker, await world.challenge(worker));
  const evidence = await all.machine.evidence(new Uint8Array(64).fill(7));
  assertEquals(codeOf(await present(world, proof, evidence)), "worker_evidence_refused");
});

Deno.test("attack: sessions of before the demand, of another policy, or of a bare id do not pass it by", async () => {
  await using world = await protocolWorld();
  const clock = () => world.time.now;
  await using own = await machine(clock);
  const worker = world.worker("worker-1", 21);
  const before = String((await world.join(worker)).body["session_token"]);
  assertEquals(world.workers.authenticate(before), "worker-1");
  world.appraiser = appraiserOf(policyText(own.root), clock);
  await world.restart();
  assertEquals(world.workers.authenticate(before), undefined);
  assertEquals(codeOf(await world.beat(worker, before, 1)), "session_unknown");
  const proof = await world.prove(worker, await world.challenge(worker));
  const evidence = await own.evidence(workerReportData(proof.message));
  const answer = await present(world, proof, evidence);
  const token = String(answer.body["session_token"]);
  assertEquals(world.workers.authenticate(token), "worker-1");
  world.appraiser = appraiserOf(policyText(own.root, { id: "stricter" }), clock);
  await world.restart();
  assertEquals(world.workers.authenticate(token), undefined);
  const bare = await world.post("/api/v1/register-worker", {
    node_id: "worker-1",
    seal_token: `seal_${worker.tokenId}`,
    timestamp: 1,
  });
  assertEquals(codeOf(bare), "worker_evidence_missing");
});

Deno.test("attack: a slashing while the evidence is judged admits nobody", async () => {
  await using all = await scene();
  const { world, appraiser } = all;
  const worker = world.worker("worker-1", 21);
  const judge = appraiser.appraise;
  world.appraiser = {
    policyDigest: appraiser.policyDigest,
    maxAgeMs: appraiser.maxAgeMs,
    async appraise(evidence, reportData) {
      world.gateway.setEntry(worker.tokenId, { status: "slashed" });
      await world.deliver();
      return await judge(evidence, reportData);
    },
  };
  await world.restart();
  const proof = await world.prove(worker, await world.challenge(worker));
  const evidence = await all.machine.evidence(workerReportData(proof.message));
  const answer = await present(world, proof, evidence);
  assertEquals(codeOf(answer), "seal_token_inactive");
  assertEquals(world.workers.get("worker-1")?.state, "refused");
});
