import {
  assert,
  assertEquals,
  assertLessOrEqual,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import { FakeChain } from "../tests/fakes/sui/chain.ts";
import { FakeGateway, MIST_PER_SUI, type NewToken } from "../tests/fakes/sui/gateway.ts";
import { MemoryLedger } from "../tests/fakes/sui/memory_ledger.ts";
import { gatewayType } from "./address.ts";
import { LedgerProtocolError, LedgerUnavailable } from "./ledger.ts";
import {
  createSealTokenValidator,
  type SealTokenValidatorOptions,
  type TokenDecision,
} from "./seal_token.ts";

const ALICE = "0x" + "a1".repeat(32);
const MALLORY = "0x" + "66".repeat(32);
const START_MS = 1_790_000_000_000;

function world(options: Partial<SealTokenValidatorOptions> = {}) {
  const time = { nowMs: START_MS };
  const clock = () => time.nowMs;
  const chain = new FakeChain({ clock });
  const gateway = new FakeGateway({ chain, clock });
  const ledger = new MemoryLedger(chain);
  const validator = createSealTokenValidator({
    ledger,
    packageId: gateway.packageId,
    registryId: gateway.registryId,
    minimumStakeMist: MIST_PER_SUI,
    clock,
    cacheTtlMs: 1000,
    negativeCacheTtlMs: 100,
    allowLegacyBearer: true,
    ...options,
  });
  const token = (more: Partial<NewToken> = {}) =>
    gateway.createToken({ owner: ALICE, nodeId: "node-a", ...more });
  return { time, chain, gateway, ledger, validator, token };
}

function code(decision: TokenDecision): string {
  return decision.valid ? "valid" : decision.code;
}

Deno.test("validate() admits a token that stands on chain, with its claims", async () => {
  const { validator, token, time } = world();
  const { tokenId, token: presented } = token({ stakeMist: 5n * MIST_PER_SUI });
  const decision = await validator.validate({ token: presented, nodeId: "node-a" });
  assert(decision.valid);
  assertEquals(decision.token, {
    tokenId,
    owner: ALICE,
    nodeId: "node-a",
    nodeKeyHash: "00".repeat(32),
    permissions: ["register", "heartbeat"],
    stakeMist: 5n * MIST_PER_SUI,
    stakeStatus: "active",
    expiresAtMs: time.nowMs + 30 * 24 * 3600 * 1000,
  });
});

Deno.test("validate() without --legacy-bearer-tokens refuses every bare id, unseen by the chain", async () => {
  const { validator, token, ledger } = world({ allowLegacyBearer: false });
  const { token: presented, tokenId } = token();
  const decision = await validator.validate({ token: presented, nodeId: "node-a" });
  assert(!decision.valid);
  assertEquals(decision.code, "bearer_not_allowed");
  assertStringIncludes(decision.reason, "--legacy-bearer-tokens");
  assertStringIncludes(decision.reason, "/api/v1/admission/challenge");
  assertEquals(ledger.calls, 0);
  assertEquals(code(await validator.check(tokenId, "node-a")), "valid");
});

Deno.test("validate() refuses whatever is not seal_0x and 64 hex digits, unseen by the chain", async () => {
  const { validator, ledger } = world();
  const good = "seal_0x" + "ab".repeat(32);
  const bad = [
    "",
    "seal_",
    "seal_" + "a".repeat(32),
    good.slice(0, -1),
    good + "0",
    good.toUpperCase(),
    "seal_0x" + "AB".repeat(32),
    "seal_0x" + "zz".repeat(32),
    " " + good.slice(1),
    good.slice(0, -1) + "\n",
  ];
  for (const token of bad) {
    assertEquals(code(await validator.validate({ token, nodeId: "n" })), "malformed", token);
  }
  await fc.assert(fc.asyncProperty(fc.string({ maxLength: 90 }), async (token) => {
    assertEquals(code(await validator.validate({ token, nodeId: "n" })), "malformed");
  }));
  assertEquals(ledger.calls, 0);
});

Deno.test("validate() refuses with the reason, one by one", async () => {
  const { validator, gateway, chain, token, time } = world();
  const refused = async (tokenId: string, nodeId = "node-a") =>
    code(await validator.validate({ token: `seal_${tokenId}`, nodeId }));

  assertEquals(await refused("0x" + "77".repeat(32)), "not_found");
  assertEquals(await refused(gateway.registryId), "wrong_type");
  assertEquals(await refused(token().tokenId, "node-b"), "wrong_node");
  assertEquals(await refused(token({ register: false }).tokenId), "not_registered");
  assertEquals(await refused(token({ clusterId: new Uint8Array(16) }).tokenId), "wrong_cluster");
  assertEquals(await refused(token({ expiresAtMs: time.nowMs }).tokenId), "expired");
  assertEquals(
    await refused(token({ stakeMist: MIST_PER_SUI - 1n }).tokenId),
    "insufficient_stake",
  );
  for (const status of ["pending", "suspended", "slashed", "withdrawn"] as const) {
    assertEquals(await refused(token({ status }).tokenId), "inactive", status);
  }
  const revoked = token().tokenId;
  gateway.setEntry(revoked, { revoked: true });
  assertEquals(await refused(revoked), "revoked");

  // Held by somebody else than it says, as no transfer of the package allows.
  const moved = token().tokenId;
  chain.execute(
    MALLORY,
    (tx) => tx.mutate(moved, { owner: { kind: "address", address: MALLORY } }),
  );
  assertEquals(await refused(moved), "wrong_owner");
  const shared = token().tokenId;
  chain.execute(MALLORY, (tx) => tx.mutate(shared, { owner: { kind: "immutable" } }));
  assertEquals(await refused(shared), "wrong_owner");
  // The owner rewrote its own object, the registry still knows better.
  const renamed = token().tokenId;
  gateway.setToken(renamed, { node_id: "node-z" });
  assertEquals(await refused(renamed, "node-z"), "wrong_node");
});

Deno.test("validate() refuses the same struct of another package", async () => {
  const { validator, gateway, chain, token } = world();
  const real = token();
  const object = chain.latest(real.tokenId);
  assert(object !== undefined);
  const { result: forged } = chain.execute(MALLORY, (tx) => {
    const id = tx.newId();
    tx.create({
      id,
      type: gatewayType(MALLORY, "SealToken"),
      owner: { kind: "address", address: ALICE },
      contents: object.contents,
    });
    return id;
  });
  assertEquals(code(await validator.check(forged, "node-a")), "wrong_type");
  assertEquals(code(await validator.check(gateway.tableId, "node-a")), "not_found");
});

Deno.test("validate() answers from memory until its time is over, yes and no alike", async () => {
  const { validator, gateway, ledger, token, time } = world();
  const { tokenId } = token();
  const ask = async () => code(await validator.check(tokenId, "node-a"));
  assertEquals(await ask(), "valid");
  const calls = ledger.calls;
  gateway.setEntry(tokenId, { status: "slashed" });
  time.nowMs += 999;
  assertEquals(await ask(), "valid");
  assertEquals(ledger.calls, calls);
  time.nowMs += 1;
  assertEquals(await ask(), "inactive");
  const more = ledger.calls;
  gateway.setEntry(tokenId, { status: "active" });
  time.nowMs += 99;
  assertEquals(await ask(), "inactive");
  assertEquals(ledger.calls, more);
  time.nowMs += 1;
  assertEquals(await ask(), "valid");
});

Deno.test("validate() never answers yes after the token's end, cached or not", async () => {
  const { validator, token, time } = world();
  const { tokenId } = token({ expiresAtMs: START_MS + 500 });
  assertEquals(code(await validator.check(tokenId, "node-a")), "valid");
  time.nowMs += 500;
  assertEquals(code(await validator.check(tokenId, "node-a")), "expired");
});

Deno.test("validate() asks again when the clock was set back", async () => {
  const { validator, gateway, token, time } = world();
  const { tokenId } = token();
  assertEquals(code(await validator.check(tokenId, "node-a")), "valid");
  gateway.setEntry(tokenId, { revoked: true });
  time.nowMs -= 1;
  assertEquals(code(await validator.check(tokenId, "node-a")), "revoked");
});

Deno.test("validate() throws while the chain is away, also for a token that was valid", async () => {
  const { validator, ledger, token, time } = world();
  const { tokenId } = token();
  assertEquals(code(await validator.check(tokenId, "node-a")), "valid");
  ledger.unavailable = "as told";
  time.nowMs += 1000;
  await assertRejects(() => validator.check(tokenId, "node-a"), LedgerUnavailable);
  const unknown = "0x" + "77".repeat(32);
  await assertRejects(() => validator.check(unknown, "node-a"), LedgerUnavailable);
  ledger.unavailable = undefined;
  assertEquals(code(await validator.check(tokenId, "node-a")), "valid");
  assertEquals(code(await validator.check(unknown, "node-a")), "not_found");
});

Deno.test("validate() asks the chain once for many who want to know", async () => {
  const { validator, ledger, token } = world();
  const { tokenId } = token();
  const decisions = await Promise.all(
    Array.from({ length: 100 }, () => validator.check(tokenId, "node-a")),
  );
  assert(decisions.every((decision) => decision.valid));
  assertEquals(ledger.calls, 3); // registry, token, entry
  assertEquals(validator.stats().lookupsInFlight, 0);
});

Deno.test("validate() keeps bounded memory, and strangers do not push members out", async () => {
  const { validator, ledger, token } = world({ maxCacheEntries: 10 });
  const members = Array.from({ length: 10 }, (_, i) => token({ nodeId: `n${i}` }).tokenId);
  for (const [i, id] of members.entries()) await validator.check(id, `n${i}`);
  for (let i = 0; i < 200; i++) {
    await validator.check("0x" + i.toString(16).padStart(64, "0"), "stranger");
  }
  assertEquals(validator.stats().cached, 10);
  assertLessOrEqual(validator.stats().cachedRefusals, 10);
  const calls = ledger.calls;
  for (const [i, id] of members.entries()) {
    assertEquals(code(await validator.check(id, `n${i}`)), "valid");
  }
  assertEquals(ledger.calls, calls);
});

Deno.test("validate() limits how many lookups wait", async () => {
  const { validator, ledger, token } = world({ maxLookups: 3 });
  const gate = Promise.withResolvers<void>();
  ledger.before = () => gate.promise;
  const ids = Array.from({ length: 4 }, () => token().tokenId);
  const waiting = ids.slice(0, 3).map((id) => validator.check(id, "node-a"));
  await assertRejects(() => validator.check(ids[3] ?? "", "node-a"), LedgerUnavailable, "wait");
  gate.resolve();
  assertEquals((await Promise.all(waiting)).map(code), ["valid", "valid", "valid"]);
});

Deno.test("check() remembers nothing for who wants it fresh, and forgets what it knew before", async () => {
  const { validator, gateway, ledger, token } = world();
  const { tokenId } = token();
  const fresh = () => validator.check(tokenId, "node-a", { fresh: true });
  assertEquals(code(await fresh()), "valid");
  assertEquals(validator.stats().cached, 0);
  assertEquals(code(await validator.check(tokenId, "node-a")), "valid");
  assertEquals(validator.stats().cached, 1);
  gateway.setEntry(tokenId, { revoked: true });
  assertEquals(code(await fresh()), "revoked");
  assertEquals(validator.stats().cached, 0);
  assertEquals(code(await validator.check(tokenId, "node-a")), "revoked");

  // One question for both: the answer is remembered for the one who may take a remembered one.
  const second = token({ nodeId: "node-b" }).tokenId;
  const gate = Promise.withResolvers<void>();
  ledger.before = () => gate.promise;
  const both = [
    validator.check(second, "node-b", { fresh: true }),
    validator.check(second, "node-b"),
  ];
  gate.resolve();
  assertEquals((await Promise.all(both)).map(code), ["valid", "valid"]);
  assertEquals(validator.stats().cached, 1);
});

Deno.test("invalidate() makes the next check read the chain, and outruns one on its way", async () => {
  const { validator, gateway, ledger, chain, token } = world();
  const { tokenId } = token();
  assertEquals(code(await validator.check(tokenId, "node-a")), "valid");
  gateway.setEntry(tokenId, { revoked: true });
  assertEquals(code(await validator.check(tokenId, "node-a")), "valid"); // still believed
  validator.invalidate(tokenId, chain.tip.sequence);
  assertEquals(code(await validator.check(tokenId, "node-a")), "revoked");

  // The chain is read before the revocation, the answer arrives after it.
  const second = token({ nodeId: "node-b" }).tokenId;
  const gate = Promise.withResolvers<void>();
  const read = ledger.getObject.bind(ledger);
  ledger.getObject = async (id, signal) => {
    const object = await read(id, signal);
    if (id === second) await gate.promise;
    return object;
  };
  const early = validator.check(second, "node-b");
  await new Promise((resolve) => setTimeout(resolve, 0));
  gateway.setEntry(second, { revoked: true });
  validator.invalidate(second, chain.tip.sequence);
  gate.resolve();
  assertEquals(code(await early), "revoked");
  assertEquals(code(await validator.check(second, "node-b")), "revoked");
});

Deno.test("invalidate() stops a node that stands before the revocation from saying yes", async () => {
  const { validator, gateway, ledger, chain, token } = world();
  const { tokenId } = token();
  chain.advance();
  gateway.setEntry(tokenId, { revoked: true });
  validator.invalidate(tokenId, chain.tip.sequence);
  ledger.lag = 1n;
  await assertRejects(() => validator.check(tokenId, "node-a"), LedgerUnavailable, "behind");
  ledger.lag = 0n;
  assertEquals(code(await validator.check(tokenId, "node-a")), "revoked");
});

Deno.test("invalidateNode() forgets every token of the node and no other", async () => {
  const { validator, gateway, ledger, token } = world();
  const a = token({ nodeId: "node-a" }).tokenId;
  const b = token({ nodeId: "node-b" }).tokenId;
  await validator.check(a, "node-a");
  await validator.check(b, "node-b");
  gateway.setEntry(a, { status: "slashed" });
  validator.invalidateNode("node-a");
  const calls = ledger.calls;
  assertEquals(code(await validator.check(b, "node-b")), "valid");
  assertEquals(ledger.calls, calls);
  assertEquals(code(await validator.check(a, "node-a")), "inactive");
});

Deno.test("validate() throws on a chain whose newest checkpoint is too old", async () => {
  const { validator, chain, token, time } = world({ maxChainAgeMs: 5000 });
  const { tokenId } = token();
  time.nowMs += 5001;
  await assertRejects(() => validator.check(tokenId, "node-a"), LedgerUnavailable, "old");
  chain.advance();
  assertEquals(code(await validator.check(tokenId, "node-a")), "valid");
});

Deno.test("validate() throws where registry, cluster or entry cannot be", async () => {
  const wrongRegistry = world({ registryId: "0x" + "99".repeat(32) });
  await assertRejects(
    () => wrongRegistry.validator.check(wrongRegistry.token().tokenId, "node-a"),
    LedgerProtocolError,
    "no such object",
  );
  const wrongCluster = world({ clusterId: new Uint8Array(16) });
  await assertRejects(
    () => wrongCluster.validator.check(wrongCluster.token().tokenId, "node-a"),
    LedgerProtocolError,
    "cluster",
  );
  const { validator, gateway, chain, token } = world();
  const { tokenId } = token();
  const fieldId = gateway.entryFieldId(tokenId);
  const contents = chain.latest(fieldId)?.contents ?? new Uint8Array();
  const otherKey = contents.slice();
  otherKey[40] = (otherKey[40] ?? 0) ^ 1;
  const trailing = new Uint8Array([...contents, 0]);
  for (const lie of [otherKey, trailing, contents.subarray(0, 60).slice()]) {
    chain.execute(MALLORY, (tx) => tx.mutate(fieldId, { contents: lie }));
    await assertRejects(() => validator.check(tokenId, "node-a"), LedgerProtocolError);
  }
  chain.execute(MALLORY, (tx) => tx.mutate(fieldId, { contents }));
  assertEquals(code(await validator.check(tokenId, "node-a")), "valid");
});

Deno.test("createSealTokenValidator() refuses malformed ids", () => {
  assertThrows(() => world({ packageId: "package" }), TypeError, "packageId");
  assertThrows(() => world({ registryId: "" }), TypeError, "registryId");
  assertThrows(() => world({ clusterId: new Uint8Array(3) }), TypeError, "16 bytes");
});
