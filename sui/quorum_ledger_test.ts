import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { FakeChain } from "../tests/fakes/sui/chain.ts";
import { FakeGateway, MIST_PER_SUI } from "../tests/fakes/sui/gateway.ts";
import { MemoryLedger } from "../tests/fakes/sui/memory_ledger.ts";
import { type FakeNode, startFakeNode } from "../tests/fakes/sui/server.ts";
import { openGrpcLedger } from "./grpc_ledger.ts";
import { type Ledger, LedgerHistoryPruned, LedgerUnavailable } from "./ledger.ts";
import { createQuorumLedger } from "./quorum_ledger.ts";
import { createSealTokenValidator } from "./seal_token.ts";

const ALICE = "0x" + "a1".repeat(32);
const MALLORY = "0x" + "66".repeat(32);

interface World extends AsyncDisposable {
  readonly chain: FakeChain;
  readonly gateway: FakeGateway;
  readonly nodes: readonly FakeNode[];
  readonly ledger: Ledger;
  readonly module: { readonly packageId: string; readonly module: string };
  node(index: number): FakeNode;
}

async function world(count: number, required?: number): Promise<World> {
  const chain = new FakeChain({ clock: Date.now });
  const gateway = new FakeGateway({ chain, clock: Date.now });
  const nodes = await Promise.all(Array.from({ length: count }, () => startFakeNode({ gateway })));
  const ledger = createQuorumLedger({
    ledgers: await Promise.all(nodes.map(({ url }) => openGrpcLedger({ endpoint: url }))),
    retryMs: 1,
    ...(required === undefined ? {} : { required }),
  });
  return {
    chain,
    gateway,
    nodes,
    ledger,
    module: { packageId: gateway.packageId, module: "k8s_gateway" },
    node: (index) => {
      const node = nodes[index];
      assert(node !== undefined);
      return node;
    },
    [Symbol.asyncDispose]: async () => {
      await ledger[Symbol.asyncDispose]();
      await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()));
    },
  };
}

Deno.test("createQuorumLedger() wants two to agree at least, and no more than there are", () => {
  const one = new MemoryLedger(new FakeChain({ clock: Date.now }));
  assertThrows(() => createQuorumLedger({ ledgers: [one] }), RangeError);
  assertThrows(() => createQuorumLedger({ ledgers: [one, one], required: 1 }), RangeError);
  assertThrows(() => createQuorumLedger({ ledgers: [one, one], required: 3 }), RangeError);
});

Deno.test("getObject() believes no endpoint alone, whatever it lies about", async () => {
  await using w = await world(2);
  const { tokenId } = w.gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  const contents = w.chain.latest(tokenId)?.contents.slice() ?? new Uint8Array();
  contents[60] = (contents[60] ?? 0) ^ 1;
  const lies = [
    { kind: "lie_object", id: tokenId, version: "99" },
    { kind: "lie_object", id: tokenId, ownerAddress: MALLORY },
    { kind: "lie_object", id: tokenId, type: `${MALLORY}::k8s_gateway::SealToken` },
    // The right version and digest, but other contents.
    { kind: "lie_object", id: tokenId, contentsHex: contents.toHex() },
    { kind: "hide_object", id: tokenId },
  ] as const;
  for (const lie of lies) {
    w.node(1).faults.set(lie);
    await assertRejects(() => w.ledger.getObject(tokenId), LedgerUnavailable, "do not agree");
    w.node(1).faults.clear();
  }
  assertEquals((await w.ledger.getObject(tokenId))?.id, tokenId);
});

Deno.test("getObject() invents nothing that one endpoint alone shows", async () => {
  await using w = await world(2);
  const { tokenId } = w.gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  const forged = "0x" + "77".repeat(32);
  w.node(0).faults.set({ kind: "hide_object", id: tokenId });
  await assertRejects(() => w.ledger.getObject(tokenId), LedgerUnavailable);
  assertEquals(await w.ledger.getObject(forged), undefined);
});

Deno.test("two of three carry on without the third, away or lying", async () => {
  await using w = await world(3);
  const { tokenId } = w.gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  const faults = [
    { kind: "http_status", status: 503 },
    { kind: "lie_object", id: tokenId, ownerAddress: MALLORY },
    { kind: "hide_object", id: tokenId },
    { kind: "other_chain", chainId: "2".repeat(43) },
    { kind: "lag", checkpoints: 1 },
  ] as const;
  for (const fault of faults) {
    w.node(2).faults.set(fault);
    const object = await w.ledger.getObject(tokenId);
    assertEquals(object?.owner, { kind: "address", address: ALICE }, fault.kind);
    assertEquals((await w.ledger.status()).chainId, w.chain.chainId);
    w.node(2).faults.clear();
  }
  w.node(1).faults.set({ kind: "http_status", status: 503 });
  w.node(2).faults.set({ kind: "http_status", status: 503 });
  await assertRejects(() => w.ledger.getObject(tokenId), LedgerUnavailable, "1 of 3");
});

Deno.test("getObject() waits for an endpoint that is a moment behind", async () => {
  await using w = await world(2);
  const { tokenId } = w.gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  w.node(1).faults.set({ kind: "lag", checkpoints: 1, times: 2 });
  assertEquals((await w.ledger.getObject(tokenId))?.id, tokenId);
});

Deno.test("an agreed answer is as fresh as the older of those who agree", async () => {
  await using w = await world(2);
  const { tokenId } = w.gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  w.chain.advance(5);
  w.node(0).faults.set({ kind: "lag", checkpoints: 3 });
  const object = await w.ledger.getObject(tokenId);
  assertEquals(object?.observed?.checkpoint, w.chain.tip.sequence - 3n);
  assertEquals((await w.ledger.status()).checkpoint, w.chain.tip.sequence - 3n);
});

Deno.test("events() gives what enough have seen, and the rest later", async () => {
  await using w = await world(2);
  for (let i = 0; i < 6; i++) w.gateway.emit(ALICE, "E", Uint8Array.of(i));
  w.node(1).faults.set({ kind: "lag", checkpoints: 2 });
  const first = await w.ledger.events(w.module, undefined, 100);
  assertEquals(first.events.map((event) => event.contents[0]), [0, 1, 2, 3]);
  w.node(1).faults.clear();
  const rest = await w.ledger.events(w.module, first.cursor, 100);
  assertEquals(rest.events.map((event) => event.contents[0]), [4, 5]);
  // The cursors of one endpoint work with the others.
  w.chain.advance(3);
  const quiet = await w.ledger.events(w.module, rest.cursor, 100);
  assertEquals(quiet.events, []);
  assertEquals(quiet.covered, w.chain.tip.sequence);
});

Deno.test("events() stops at an endpoint that leaves one out or makes one up", async () => {
  await using w = await world(2);
  for (let i = 0; i < 3; i++) w.gateway.emit(ALICE, "E", Uint8Array.of(i));
  const elsewhere = new FakeChain({ clock: Date.now, name: w.chain.name });
  const other = new FakeGateway({ chain: elsewhere, clock: Date.now });
  other.emit(ALICE, "E", Uint8Array.of(0));
  other.emit(ALICE, "E", Uint8Array.of(9));
  const ledger = createQuorumLedger({
    ledgers: [new MemoryLedger(w.chain), new MemoryLedger(elsewhere)],
  });
  await assertRejects(() => ledger.events(w.module, undefined, 100), LedgerUnavailable, "agree");
});

Deno.test("events() says pruned where too few still have them", async () => {
  const chain = new FakeChain({ clock: Date.now });
  const gateway = new FakeGateway({ chain, clock: Date.now });
  gateway.emit(ALICE, "E", Uint8Array.of(1));
  const ledger = createQuorumLedger({
    ledgers: [new MemoryLedger(chain), new MemoryLedger(chain)],
  });
  const module = { packageId: gateway.packageId, module: "k8s_gateway" };
  const { events } = await ledger.events(module, undefined, 10);
  chain.advance(5);
  chain.prune(chain.tip.sequence);
  await assertRejects(
    () => ledger.events(module, events[0]?.cursor, 10),
    LedgerHistoryPruned,
  );
});

Deno.test("a validator over a quorum admits nobody on the word of one", async () => {
  await using w = await world(2);
  const { tokenId } = w.gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  w.gateway.setEntry(tokenId, { revoked: true });
  const validator = createSealTokenValidator({
    ledger: w.ledger,
    packageId: w.gateway.packageId,
    registryId: w.gateway.registryId,
    minimumStakeMist: MIST_PER_SUI,
    clock: Date.now,
    allowLegacyBearer: false,
  });
  // One endpoint pretends that the revocation never happened.
  w.node(0).faults.set({ kind: "lag", checkpoints: 1 });
  await assertRejects(() => validator.check(tokenId, "node-a"), LedgerUnavailable);
  w.node(0).faults.clear();
  const decision = await validator.check(tokenId, "node-a");
  assert(!decision.valid && decision.code === "revoked");
});
