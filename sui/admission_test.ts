import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import fc from "fast-check";
import { FakeChain } from "../tests/fakes/sui/chain.ts";
import { FakeGateway, MIST_PER_SUI } from "../tests/fakes/sui/gateway.ts";
import { MemoryLedger } from "../tests/fakes/sui/memory_ledger.ts";
import { ed25519Wallet, type Wallet, wallets } from "../tests/fakes/sui/wallets.ts";
import {
  type Admission,
  type AdmissionChallenge,
  type AdmissionDecision,
  type AdmissionProof,
  createAdmission,
  type MasterFacts,
} from "./admission.ts";
import { type AdmissionFields, admissionMessage, nodeKeyHash } from "./admission_message.ts";
import { ChallengeMismatch, proveAdmission } from "./admission_proof.ts";
import { LedgerUnavailable } from "./ledger.ts";
import { createSealTokenValidator } from "./seal_token.ts";

type Bytes = Uint8Array<ArrayBuffer>;

interface NodeKey {
  readonly spki: Bytes;
  sign(input: Uint8Array): Bytes;
}

function nodeKey(): NodeKey {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const key: KeyObject = privateKey;
  return {
    spki: Uint8Array.from(publicKey.export({ type: "spki", format: "der" })),
    sign: (input) => Uint8Array.from(sign(null, input, key)),
  };
}

interface Worker {
  readonly nodeId: string;
  readonly wallet: Wallet;
  readonly key: NodeKey;
  readonly tokenId: string;
}

function world(more: { maxBurned?: number; name?: string; bootKey?: Bytes } = {}) {
  const time = { nowMs: 1_790_000_000_000 };
  const clock = () => time.nowMs;
  const chain = new FakeChain({ clock, name: more.name ?? "stand-in" });
  const gateway = new FakeGateway({ chain, clock });
  const ledger = new MemoryLedger(chain);
  const validator = createSealTokenValidator({
    ledger,
    packageId: gateway.packageId,
    registryId: gateway.registryId,
    minimumStakeMist: MIST_PER_SUI,
    clock,
    allowLegacyBearer: false,
  });
  const facts: MasterFacts = {
    chainId: chain.chainId,
    clusterId: Uint8Array.from(gateway.clusterId),
    measurement: new Uint8Array(48).fill(3),
    identityKey: nodeKey().spki,
    tlsKey: nodeKey().spki,
  };
  const admission = createAdmission({
    facts,
    validator,
    bootKey: more.bootKey ?? crypto.getRandomValues(new Uint8Array(32)),
    clock,
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    ...(more.maxBurned === undefined ? {} : { maxBurned: more.maxBurned }),
  });
  const worker = (nodeId: string, wallet: Wallet): Worker => {
    const key = nodeKey();
    const { tokenId } = gateway.createToken({
      owner: wallet.address,
      nodeId,
      nodeKeyHash: Uint8Array.fromHex(nodeKeyHash(key.spki)),
    });
    return { nodeId, wallet, key, tokenId };
  };
  return { time, chain, gateway, ledger, validator, facts, admission, worker };
}

/** What a worker does that believes whatever the challenge says of the master. */
function prove(worker: Worker, challenge: AdmissionChallenge): Promise<AdmissionProof> {
  return proveAdmission({
    challenge,
    appraised: challenge,
    nodeId: worker.nodeId,
    tokenId: worker.tokenId,
    wallet: {
      address: worker.wallet.address,
      signPersonalMessage: (message) => worker.wallet.sign(message),
    },
    nodeKey: worker.key,
    nowMs: challenge.issuedAtMs,
  });
}

function fieldsOf(worker: Worker, challenge: AdmissionChallenge): AdmissionFields {
  return {
    chainId: challenge.chainId,
    clusterId: challenge.clusterId,
    nodeId: worker.nodeId,
    tokenId: worker.tokenId,
    owner: worker.wallet.address,
    nodeKey: worker.key.spki,
    masterIdentityKey: challenge.identityKey,
    masterTlsKey: challenge.tlsKey,
    measurement: challenge.measurement,
    challenge: challenge.challenge,
    issuedAtMs: challenge.issuedAtMs,
    expiresAtMs: challenge.expiresAtMs,
  };
}

function ask(admission: Admission, worker: Worker): AdmissionChallenge {
  const challenge = admission.challenge(worker.nodeId, worker.wallet.address);
  assert(challenge !== undefined);
  return challenge;
}

function code(decision: AdmissionDecision): string {
  return decision.admitted ? "admitted" : decision.code;
}

Deno.test("admit() admits a worker of every offline wallet scheme, once per challenge", async () => {
  const { admission, worker } = world();
  for (const wallet of wallets(11)) {
    const honest = worker(`node-${wallet.scheme}`, wallet);
    const proof = await prove(honest, ask(admission, honest));
    const decision = await admission.admit(proof);
    assert(decision.admitted);
    assertEquals(decision.scheme, wallet.scheme);
    assertEquals(decision.token.owner, wallet.address);
    assertEquals(decision.token.nodeId, honest.nodeId);
    assertEquals(code(await admission.admit(proof)), "challenge_used");
  }
});

Deno.test("challenge() is given to no malformed name, and costs no memory", () => {
  const { admission } = world();
  const { address } = ed25519Wallet(11);
  for (const bad of ["", "Node", "a_b", "-a", "a-", "a..b", "a\nb", "a".repeat(254), "ä"]) {
    assertEquals(admission.challenge(bad, address), undefined, bad);
  }
  assertEquals(admission.challenge("node-a", "0x1"), undefined);
  for (let i = 0; i < 100; i++) admission.challenge("node-a", address);
  assertEquals(admission.burned, 0);
});

Deno.test("admit() refuses whatever an attacker swaps", async () => {
  const { admission, worker, gateway, time } = world();
  const alice = worker("node-a", ed25519Wallet(11));
  const mallory = worker("node-m", ed25519Wallet(66));
  const good = await prove(alice, ask(admission, alice));
  const attempt = async (change: Partial<AdmissionProof>) =>
    code(await admission.admit({ ...good, ...change }));

  // Other people's challenge, node, address, token, key.
  const theirs = ask(admission, mallory);
  assertEquals(await attempt({ challenge: theirs.challenge }), "challenge_foreign");
  assertEquals(await attempt({ nodeId: "node-m" }), "challenge_foreign");
  assertEquals(await attempt({ address: mallory.wallet.address }), "challenge_foreign");
  assertEquals(await attempt({ tokenId: mallory.tokenId }), "wrong_node_signature");
  assertEquals(await attempt({ nodeKey: mallory.key.spki }), "wrong_node_signature");
  assertEquals(
    await attempt({ nodeSignature: mallory.key.sign(new Uint8Array(3)) }),
    "wrong_node_signature",
  );
  assertEquals(
    await attempt({ walletSignature: await mallory.wallet.sign(new Uint8Array(3)) }),
    "wrong_wallet_signature",
  );
  assertEquals(await attempt({ walletSignature: "AAAA" }), "malformed_proof");
  assertEquals(await attempt({ nodeKey: new Uint8Array(44) }), "malformed_proof");
  assertEquals(await attempt({ nodeSignature: new Uint8Array(63) }), "malformed_proof");
  assertEquals(await attempt({ challenge: new Uint8Array(5) }), "challenge_malformed");

  // Mallory signs properly, for herself, but presents Alice's token.
  const thief: Worker = { ...mallory, tokenId: alice.tokenId };
  assertEquals(
    code(await admission.admit(await prove(thief, ask(admission, thief)))),
    "wrong_node",
  );
  // …under Alice's node id, with her own wallet: the token's owner is another.
  const named: Worker = { ...thief, nodeId: "node-a" };
  assertEquals(
    code(await admission.admit(await prove(named, ask(admission, named)))),
    "wrong_owner",
  );
  // Alice's wallet, but a node key that the token does not name.
  const stolen: Worker = { ...alice, key: mallory.key };
  assertEquals(
    code(await admission.admit(await prove(stolen, ask(admission, stolen)))),
    "wrong_node_key",
  );

  // Nothing of that used the challenge up.
  assertEquals(admission.burned, 0);
  gateway.setEntry(alice.tokenId, { revoked: true });
  assertEquals(await attempt({}), "revoked");
  gateway.setEntry(alice.tokenId, { revoked: false, status: "slashed" });
  assertEquals(await attempt({}), "inactive");
  gateway.setEntry(alice.tokenId, { status: "active" });
  time.nowMs += 59_999;
  assertEquals(await attempt({}), "admitted");
  const late = await prove(alice, ask(admission, alice));
  time.nowMs += 60_000;
  assertEquals(code(await admission.admit(late)), "challenge_expired");
});

Deno.test("admit() refuses proofs made for another master, chain, cluster or key", async () => {
  const bootKey = crypto.getRandomValues(new Uint8Array(32));
  const here = world({ bootKey });
  const alice = here.worker("node-a", ed25519Wallet(11));
  const challenge = ask(here.admission, alice);
  const lies: Partial<AdmissionChallenge>[] = [
    { chainId: world({ name: "elsewhere" }).chain.chainId },
    { clusterId: new Uint8Array(16) },
    { identityKey: nodeKey().spki },
    { tlsKey: nodeKey().spki },
    { tlsKey: new Uint8Array() },
    { measurement: new Uint8Array(48) },
    { issuedAtMs: challenge.issuedAtMs + 1 },
    { expiresAtMs: challenge.expiresAtMs - 1 },
  ];
  for (const lie of lies) {
    // A man in the middle tells the worker something else about the master.
    const proof = await prove(alice, { ...challenge, ...lie });
    assertEquals(
      code(await here.admission.admit(proof)),
      "wrong_node_signature",
      Object.keys(lie).join(),
    );
  }
  // The same boot key, another master: the challenge itself does not hold there.
  const there = world({ bootKey });
  const elsewhere = await prove(alice, challenge);
  assertEquals(code(await there.admission.admit(elsewhere)), "challenge_foreign");
  assertEquals(code(await here.admission.admit(elsewhere)), "admitted");
});

Deno.test("admit() reads the chain afresh, whatever was decided a moment ago", async () => {
  const { admission, worker, gateway, validator, ledger } = world();
  const alice = worker("node-a", ed25519Wallet(11));
  assertEquals((await validator.check(alice.tokenId, "node-a")).valid, true);
  const proof = await prove(alice, ask(admission, alice));
  gateway.setEntry(alice.tokenId, { revoked: true });
  assertEquals(code(await admission.admit(proof)), "revoked");
  ledger.unavailable = "as told";
  await assertRejects(() => admission.admit(proof), LedgerUnavailable);
  ledger.unavailable = undefined;
  gateway.setEntry(alice.tokenId, { revoked: false });
  assertEquals(code(await admission.admit(proof)), "admitted");
});

Deno.test("admit() lets one of two proofs at the same time through", async () => {
  const { admission, worker } = world();
  const alice = worker("node-a", ed25519Wallet(11));
  const proof = await prove(alice, ask(admission, alice));
  const decisions = await Promise.all(Array.from({ length: 8 }, () => admission.admit(proof)));
  assertEquals(decisions.map(code).toSorted(), [
    "admitted",
    ...Array<string>(7).fill("challenge_used"),
  ]);
});

Deno.test("admit() refuses beyond its memory, and strangers take none", async () => {
  const { admission, worker, time } = world({ maxBurned: 2 });
  const stranger: Worker = {
    nodeId: "node-s",
    wallet: ed25519Wallet(99),
    key: nodeKey(),
    tokenId: "0x" + "77".repeat(32),
  };
  for (let i = 0; i < 5; i++) {
    assertEquals(
      code(await admission.admit(await prove(stranger, ask(admission, stranger)))),
      "not_found",
    );
  }
  assertEquals(admission.burned, 0);
  const alice = worker("node-a", ed25519Wallet(11));
  const admit = async () => code(await admission.admit(await prove(alice, ask(admission, alice))));
  assertEquals([await admit(), await admit(), await admit()], [
    "admitted",
    "admitted",
    "overloaded",
  ]);
  time.nowMs += 60_000;
  assertEquals(await admit(), "admitted");
});

Deno.test("admissionMessage() differs wherever a field differs, and refuses bad ones", async () => {
  const { admission, worker } = world();
  const alice = worker("node-a", ed25519Wallet(11));
  const fields = fieldsOf(alice, ask(admission, alice));
  const message = new TextDecoder().decode(admissionMessage(fields));
  assertEquals(message.split("\n").length, 14);
  const changes: Partial<AdmissionFields>[] = [
    { chainId: "1".repeat(32) },
    { clusterId: new Uint8Array(16) },
    { nodeId: "node-b" },
    { tokenId: "0x" + "77".repeat(32) },
    { owner: "0x" + "77".repeat(32) },
    { nodeKey: nodeKey().spki },
    { masterIdentityKey: nodeKey().spki },
    { masterTlsKey: new Uint8Array() },
    { measurement: new Uint8Array(32) },
    { challenge: new Uint8Array(81) },
    { issuedAtMs: 1 },
    { expiresAtMs: 1 },
  ];
  assertEquals(changes.length, Object.keys(fields).length);
  for (const change of changes) {
    const changed = new TextDecoder().decode(admissionMessage({ ...fields, ...change }));
    assertNotEquals(changed, message, Object.keys(change).join());
  }
  const bad: Partial<AdmissionFields>[] = [
    { chainId: "a\nb" },
    { clusterId: new Uint8Array(15) },
    { nodeId: "node-a\nseal-token: 0x1" },
    { tokenId: "0x1" },
    { owner: "0x" + "AA".repeat(32) },
    { nodeKey: new Uint8Array(44) },
    { masterIdentityKey: new Uint8Array(1025) },
    { masterTlsKey: new Uint8Array(1025) },
    { measurement: new Uint8Array() },
    { challenge: new Uint8Array(80) },
    { issuedAtMs: -1 },
    { expiresAtMs: 2 ** 53 },
  ];
  for (const change of bad) {
    assertThrows(
      () => admissionMessage({ ...fields, ...change }),
      TypeError,
      Object.keys(change)[0],
    );
  }
  await fc.assert(fc.asyncProperty(fc.string(), (nodeId) => {
    try {
      const text = new TextDecoder().decode(admissionMessage({ ...fields, nodeId }));
      assertEquals(text.split("\n")[3], `node: ${nodeId}`);
    } catch (error) {
      assert(error instanceof TypeError);
    }
    return Promise.resolve();
  }));
});

Deno.test("proveAdmission() signs for the appraised master, this node and now, or not at all", async () => {
  const { admission, worker, facts, time } = world();
  const alice = worker("node-a", ed25519Wallet(11));
  const challenge = ask(admission, alice);
  const signed: string[] = [];
  const options = {
    challenge,
    appraised: facts,
    nodeId: alice.nodeId,
    tokenId: alice.tokenId,
    wallet: {
      address: alice.wallet.address,
      signPersonalMessage: (message: Uint8Array) => {
        signed.push("wallet");
        return alice.wallet.sign(message);
      },
    },
    nodeKey: alice.key,
    nowMs: time.nowMs,
  };
  const lies: Partial<AdmissionChallenge>[] = [
    { chainId: "1".repeat(32) },
    { clusterId: new Uint8Array(16) },
    { measurement: new Uint8Array(48) },
    { identityKey: nodeKey().spki },
    { tlsKey: new Uint8Array() },
    { nodeId: "node-b" },
    { address: "0x" + "77".repeat(32) },
    { expiresAtMs: challenge.issuedAtMs + 60_001 },
    { expiresAtMs: challenge.issuedAtMs },
  ];
  for (const lie of lies) {
    await assertRejects(
      () => proveAdmission({ ...options, challenge: { ...challenge, ...lie } }),
      ChallengeMismatch,
      undefined,
      Object.keys(lie).join(),
    );
  }
  await assertRejects(
    () => proveAdmission({ ...options, nowMs: time.nowMs + 300_001 }),
    ChallengeMismatch,
    "clock",
  );
  assertEquals(signed, []);
  assertEquals(code(await admission.admit(await proveAdmission(options))), "admitted");
});

Deno.test("admit() refuses a node key that anybody can sign for, unseen by the chain", async () => {
  const { admission, worker, ledger } = world();
  const [wallet] = wallets(12);
  assert(wallet !== undefined);
  const honest = worker("node-a", wallet);
  const proof = await prove(honest, ask(admission, honest));
  const asked = ledger.calls;
  const spki = Uint8Array.from(proof.nodeKey);
  spki.set([1, ...new Uint8Array(31)], 12);
  // R the neutral point, S zero: good for every message under this key.
  const nodeSignature = new Uint8Array(64);
  nodeSignature[0] = 1;
  assertEquals(
    code(await admission.admit({ ...proof, nodeKey: spki, nodeSignature })),
    "weak_node_key",
  );
  assertEquals(ledger.calls, asked);
  assertEquals(code(await admission.admit(proof)), "admitted");
});
