import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { generateKeyPairSync } from "node:crypto";
import { SESSION_TTL_MS } from "../tests/fakes/api.ts";
import {
  type Answer,
  heartbeatBody,
  type ProtocolWorker,
  type ProtocolWorld,
  protocolWorld,
  signedHeaders,
} from "../tests/fakes/protocol.ts";
import type { AdmissionProof } from "../sui/admission.ts";
import { nodeKeyHash } from "../sui/admission_message.ts";

function tokenOf({ status, body }: Answer): string {
  assertEquals(status, 200, JSON.stringify(body));
  return String(body["session_token"]);
}

function refused({ status, body }: Answer): string {
  assertNotEquals(status, 200, JSON.stringify(body));
  return String(body["code"]);
}

async function joined(): Promise<{ world: ProtocolWorld; worker: ProtocolWorker; token: string }> {
  const world = await protocolWorld();
  const worker = world.worker("worker-1", 21);
  return { world, worker, token: tokenOf(await world.join(worker)) };
}

/** Refusals are noted in the audit log, which has bounds of its own. */
async function keysBesideAudit({ store }: ProtocolWorld): Promise<string[]> {
  const all = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };
  const kept: string[] = [];
  for (const keyspace of ["system", "k8s"] as const) {
    for (const { key, modRevision } of (await store.range(keyspace, all)).kvs) {
      const name = new TextDecoder().decode(key);
      if (!name.startsWith("/nautilus/audit/")) kept.push(`${keyspace} ${name} ${modRevision}`);
    }
  }
  return kept;
}

Deno.test("challenge, proof and registration answer as the first implementation, with a session", async () => {
  await using world = await protocolWorld();
  const worker = world.worker("worker-1", 21);
  const { status, body } = await world.join(worker);
  assertEquals(status, 200);
  assertEquals(body["status"], "registered");
  assertEquals(body["node_id"], "worker-1");
  assertMatch(String(body["session_token"]), /^eyJ[\w-]+\.[\w-]+\.[\w-]{86}$/);
  assertEquals(body["session_expires_at"], (world.time.now + SESSION_TTL_MS) / 1000);
  assertEquals((await world.beat(worker, String(body["session_token"]), 1)).status, 200);
  assertEquals(world.workers.get("worker-1")?.state, "active");
});

Deno.test("challenges cost the master nothing: no write, no memory", async () => {
  await using world = await protocolWorld();
  const worker = world.worker("worker-1", 21);
  const before = world.store.head().sequence;
  for (let i = 0; i < 50; i++) await world.challenge(worker);
  const refusals = [
    await world.post("/api/v1/admission/challenge", { node_id: "UPPER", address: "0x" }),
    await world.post("/api/v1/admission/challenge", { node_id: "n", address: "0x12" }),
  ];
  assertEquals(refusals.map(({ status }) => status), [400, 400]);
  assertEquals(world.store.head().sequence, before);
});

Deno.test("what is swapped, stale, foreign or malformed admits nobody and leaves nothing but an audit record", async () => {
  await using world = await protocolWorld();
  const a = world.worker("worker-1", 21);
  const b = world.worker("worker-2", 22);
  const before = await keysBesideAudit(world);
  const proof = async () => await world.prove(a, await world.challenge(a));
  const other = await world.prove(b, await world.challenge(b));
  const bad = generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "der" });
  const cases: [string, Partial<AdmissionProof>, string][] = [
    ["another's node id", { nodeId: "worker-2" }, "challenge_foreign"],
    ["another's address", { address: b.wallet.address }, "challenge_foreign"],
    ["another's token", { tokenId: b.tokenId }, "wrong_node_signature"],
    ["another's node key", { nodeKey: b.spki }, "wrong_node_signature"],
    ["any node key", { nodeKey: new Uint8Array(bad) }, "wrong_node_signature"],
    ["another's challenge", { challenge: other.challenge }, "challenge_foreign"],
    ["a flipped challenge", { challenge: new Uint8Array(81).fill(1) }, "challenge_foreign"],
    [
      "another's wallet signature",
      { walletSignature: other.walletSignature },
      "wrong_wallet_signature",
    ],
    ["no wallet signature", { walletSignature: "AAAA" }, "malformed_proof"],
    ["no base64", { walletSignature: "%" }, "malformed_proof"],
    ["another's node signature", { nodeSignature: other.nodeSignature }, "wrong_node_signature"],
    ["a short node signature", { nodeSignature: new Uint8Array(63) }, "invalid_field"],
    ["a token nowhere", { tokenId: "0x" + "0".repeat(64) }, "wrong_node_signature"],
  ];
  for (const [what, change, code] of cases) {
    assertEquals(refused(await world.register({ ...await proof(), ...change })), code, what);
  }
  const stale = await proof();
  world.time.now += 60_000;
  assertEquals(refused(await world.register(stale)), "challenge_expired");
  const beforeRestart = await proof();
  await world.restart();
  assertEquals(refused(await world.register(beforeRestart)), "challenge_foreign");
  world.gateway.setEntry(a.tokenId, { status: "suspended" });
  assertEquals(refused(await world.join(a)), "seal_token_inactive");
  world.gateway.setEntry(a.tokenId, { status: "active", revoked: true });
  assertEquals(refused(await world.join(a)), "seal_token_revoked");
  world.ledger.unavailable = "down";
  assertEquals(refused(await world.join(b)), "chain_unreachable");
  assertEquals(world.workers.list(), []);
  assertEquals(await keysBesideAudit(world), before);
});

Deno.test("a proof is good once, however many come at the same time", async () => {
  await using world = await protocolWorld();
  const worker = world.worker("worker-1", 21);
  const proof = await world.prove(worker, await world.challenge(worker));
  const answers = await Promise.all(Array.from({ length: 8 }, () => world.register(proof)));
  assertEquals(answers.filter(({ status }) => status === 200).length, 1);
  assertEquals(refused(await world.register(proof)), "challenge_used");
});

Deno.test("the bare id of a token opens nothing", async () => {
  await using world = await protocolWorld();
  const { nodeId, tokenId } = world.worker("worker-1", 21);
  const answer = await world.post("/api/v1/register-worker", {
    node_id: nodeId,
    seal_token: `seal_${tokenId}`,
    timestamp: 1,
  });
  assertEquals(refused(answer), "seal_token_bearer_not_allowed");
});

Deno.test("heartbeats: signed by the node key, over this session and body, each once, upwards", async () => {
  const { world, worker, token } = await joined();
  await using _world = world;
  const thief = world.worker("worker-2", 22);
  const path = "/api/v1/nodes/heartbeat";
  const body = heartbeatBody("worker-1");
  const bytes = new TextEncoder().encode(body);
  const send = (headers: Record<string, string>, text = body) => world.post(path, text, headers);
  const good = signedHeaders(worker, "heartbeat", token, 5, bytes);
  assertEquals(refused(await send({ "X-Seal-Token": token })), "signature_missing");
  const byThief = signedHeaders(thief, "heartbeat", token, 5, bytes);
  assertEquals(refused(await send(byThief)), "signature_invalid");
  const otherSequence = { ...good, "X-Nautilus-Sequence": "6" };
  assertEquals(refused(await send(otherSequence)), "signature_invalid");
  assertEquals(
    refused(await send(good, body.replace(`"running_pods":0`, `"running_pods":9`))),
    "signature_invalid",
  );
  const asLeave = signedHeaders(worker, "leave", token, 5, bytes);
  assertEquals(refused(await send(asLeave)), "signature_invalid");
  for (const sequence of ["0", "-1", "1.5", "9007199254740992", "x"]) {
    const malformed = { ...good, "X-Nautilus-Sequence": sequence };
    assertEquals(refused(await send(malformed)), "invalid_header", sequence);
  }
  assertEquals((await send(good)).status, 200);
  assertEquals(refused(await send(good)), "replayed");
  assertEquals(refused(await world.beat(worker, token, 4)), "replayed");
  await world.restart();
  assertEquals(refused(await send(good)), "replayed", "after a restart");
  assertEquals((await world.beat(worker, token, 6)).status, 200);
  const second = tokenOf(await world.join(worker));
  assertEquals(refused(await world.beat(worker, token, 7)), "session_unknown", "the old session");
  assertEquals((await world.beat(worker, second, 1)).status, 200, "a new one counts anew");
});

Deno.test("a session is renewed in its second half, once the chain was read again", async () => {
  const { world, worker, token } = await joined();
  await using _world = world;
  world.time.now += SESSION_TTL_MS / 2 - 1_000;
  assertEquals((await world.beat(worker, token, 1)).body["session_token"], undefined);
  world.time.now += 2_000;
  world.ledger.unavailable = "down";
  const without = await world.beat(worker, token, 2);
  assertEquals([without.status, without.body["session_token"]], [200, undefined]);
  world.ledger.unavailable = undefined;
  const renewed = tokenOf(await world.beat(worker, token, 3));
  assertNotEquals(renewed, token);
  // The answer may have been lost: the earlier one is good until its own end, and not longer.
  assertEquals((await world.beat(worker, token, 4)).status, 200);
  await world.restart();
  const again = tokenOf(await world.beat(worker, token, 5));
  world.time.now += SESSION_TTL_MS / 2;
  assertEquals(refused(await world.beat(worker, token, 6)), "session_expired");
  assertEquals((await world.beat(worker, again, 7)).status, 200);
});

Deno.test("a renewal that finds the token slashed ends the session, without any event", async () => {
  const { world, worker, token } = await joined();
  await using _world = world;
  world.gateway.setEntry(worker.tokenId, { status: "slashed" });
  world.time.now += SESSION_TTL_MS / 2 + 1_000;
  assertEquals(refused(await world.beat(worker, token, 1)), "seal_token_inactive");
  assertEquals(refused(await world.beat(worker, token, 2)), "session_unknown");
});

for (const how of ["renewal", "sweep"] as const) {
  Deno.test(`a ${how} ends the session of a node key that the token does not name any more`, async () => {
    const { world, worker, token } = await joined();
    await using _world = world;
    world.time.now += SESSION_TTL_MS / 2 + 1_000;
    const { spki } = world.worker("worker-2", 22);
    const node_key_hash = Uint8Array.fromHex(nodeKeyHash(spki));
    world.gateway.setToken(worker.tokenId, { node_key_hash });
    if (how === "sweep") assertEquals((await world.workers.sweep()).refused, ["worker-1"]);
    else assertEquals(refused(await world.beat(worker, token, 1)), "wrong_node_key");
    assertEquals(refused(await world.beat(worker, token, 2)), "session_unknown");
    assertEquals(refused(await world.join(worker)), "wrong_node_key");
  });
}

Deno.test("no session outlives its token", async () => {
  await using world = await protocolWorld();
  const worker = world.worker("worker-1", 21, world.time.now + 90_500);
  const { body } = await world.join(worker);
  assertEquals(body["session_expires_at"], Math.floor((world.time.now + 90_500) / 1000));
  world.time.now += 60_000;
  const token = String(body["session_token"]);
  assertEquals((await world.beat(worker, token, 1)).body["session_token"], undefined);
  world.time.now += 30_000;
  assertEquals(refused(await world.beat(worker, token, 2)), "session_expired");
  world.time.now += 1_000;
  assertEquals(refused(await world.join(worker)), "seal_token_expired");
});

for (
  const [what, change] of [["slashing", { status: "slashed" }], ["revocation", {
    revoked: true,
  }]] as const
) {
  Deno.test(`a ${what} event ends session and watch at once`, async () => {
    const { world, worker, token } = await joined();
    await using _world = world;
    let ended = 0;
    world.workers.onSessionEnd("worker-1", () => ended++);
    world.gateway.setEntry(worker.tokenId, change);
    assertEquals(world.workers.authenticate(token), "worker-1");
    await world.deliver();
    assertEquals([world.workers.authenticate(token), ended], [undefined, 1]);
    assertEquals(refused(await world.beat(worker, token, 1)), "session_unknown");
    await world.restart();
    assertEquals(refused(await world.beat(worker, token, 2)), "session_unknown");
  });

  Deno.test(`a ${what} between the chain's answer and the registration admits nobody`, async () => {
    await using world = await protocolWorld();
    const worker = world.worker("worker-1", 21);
    let raced = false;
    world.afterCheck = async () => {
      if (raced) return;
      raced = true;
      world.gateway.setEntry(worker.tokenId, change);
      await world.deliver();
    };
    refused(await world.join(worker));
    assert(raced);
    assertEquals(world.workers.get("worker-1")?.state, "refused");
  });

  Deno.test(`a ${what} between the chain's answer and the renewal leaves no session`, async () => {
    const { world, worker, token } = await joined();
    await using _world = world;
    world.time.now += SESSION_TTL_MS / 2 + 1_000;
    world.afterCheck = async () => {
      world.afterCheck = () => Promise.resolve();
      world.gateway.setEntry(worker.tokenId, change);
      await world.deliver();
    };
    assertEquals((await world.beat(worker, token, 1)).body["session_token"], undefined);
    assertEquals(refused(await world.beat(worker, token, 2)), "session_unknown");
    assertEquals(world.workers.get("worker-1")?.state, "refused");
  });
}

Deno.test("a worker that leaves ends its session; nobody can make it leave", async () => {
  const { world, worker, token } = await joined();
  await using _world = world;
  const body = JSON.stringify({ node_id: "worker-1", timestamp: 1 });
  const bytes = new TextEncoder().encode(body);
  const leave = (headers: Record<string, string>) =>
    world.post("/api/v1/nodes/leave", body, headers);
  assertEquals(refused(await leave({ "X-Seal-Token": token })), "signature_missing");
  const asBeat = signedHeaders(worker, "heartbeat", token, 1, bytes);
  assertEquals(refused(await leave(asBeat)), "signature_invalid");
  assertEquals((await leave(signedHeaders(worker, "leave", token, 2, bytes))).status, 200);
  assertEquals(refused(await world.beat(worker, token, 3)), "session_unknown");
  assertEquals(world.workers.get("worker-1")?.state, "lost");
});

Deno.test("sweep() reads the chain again for proven sessions, also after a restart", async () => {
  const { world, worker, token } = await joined();
  await using _world = world;
  await world.restart();
  assertEquals((await world.workers.sweep()).refused, []);
  world.gateway.setEntry(worker.tokenId, { status: "withdrawn" });
  world.time.now += 61_000;
  assertEquals((await world.workers.sweep()).refused, ["worker-1"]);
  assertEquals(world.workers.authenticate(token), undefined);
});

Deno.test("nothing that is answered or stored holds a session, and no answer a signature", async () => {
  const { world, worker, token } = await joined();
  await using _world = world;
  const proof = await world.prove(worker, await world.challenge(worker));
  await world.register({ ...proof, nodeId: "x" });
  await world.register({ ...proof, nodeSignature: new Uint8Array(64) });
  await world.post("/api/v1/register-worker", { proof: 1, seal_token: token, node_id: "a" });
  await world.post("/api/v1/nodes/heartbeat", token, { "X-Seal-Token": token });
  await world.beat(worker, token + "x", 1);
  assertEquals(world.refusals.length, 5);
  const { kvs } = await world.store.range("system", {
    key: Uint8Array.of(0),
    rangeEnd: Uint8Array.of(0),
  });
  const stored = kvs.map(({ value }) => new TextDecoder().decode(value)).join("\n");
  assert(stored.includes(worker.tokenId), "the public id is what renewal asks about");
  for (const text of [...world.refusals, stored]) {
    assert(!text.includes(token.slice(-86)), text);
    assert(!text.includes(proof.walletSignature), text);
  }
});
