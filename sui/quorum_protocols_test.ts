/** A full node's gRPC and an indexer's GraphQL, of which neither is believed alone. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { FakeChain } from "../tests/fakes/sui/chain.ts";
import type { Fault } from "../tests/fakes/sui/faults.ts";
import { FakeGateway, MIST_PER_SUI } from "../tests/fakes/sui/gateway.ts";
import { startFakeNode } from "../tests/fakes/sui/server.ts";
import { zkLoginSignature } from "../tests/fakes/sui/wallets.ts";
import { createChainListener } from "./events.ts";
import { LedgerHistoryPruned, LedgerProtocolError, LedgerUnavailable } from "./ledger.ts";
import { openEndpoints } from "./open_endpoint.ts";
import { createQuorumLedger } from "./quorum_ledger.ts";
import { createQuorumZkLogin } from "./quorum_zk_login.ts";
import { createSealTokenValidator } from "./seal_token.ts";

const ALICE = "0x" + "a1".repeat(32);
const MALLORY = "0x" + "66".repeat(32);

/** Both nodes of one chain, or each of its own. */
async function world(left: FakeGateway = gateway(), right: FakeGateway = left) {
  const grpc = await startFakeNode({ gateway: left });
  const graphql = await startFakeNode({ gateway: right });
  const clients = await openEndpoints([`graphql+${graphql.graphqlUrl}`, grpc.url]);
  const ledger = createQuorumLedger({ ledgers: clients, retryMs: 1 });
  /** A fresh one each time: nothing is remembered of an earlier answer. */
  const decide = async (tokenId: string) => {
    const decision = await createSealTokenValidator({
      ledger,
      packageId: left.packageId,
      registryId: left.registryId,
      minimumStakeMist: MIST_PER_SUI,
      clock: Date.now,
      maxChainAgeMs: 60_000,
      allowLegacyBearer: false,
    }).check(tokenId, "node-a");
    return decision.valid ? "valid" : decision.code;
  };
  return {
    gateway: left,
    grpc,
    graphql,
    ledger,
    decide,
    zkLogin: createQuorumZkLogin(clients.map(({ zkLogin }) => zkLogin)),
    [Symbol.asyncDispose]: async () => {
      await ledger[Symbol.asyncDispose]();
      await Promise.all([grpc, graphql].map((node) => node[Symbol.asyncDispose]()));
    },
  };
}

function gateway(clock: () => number = Date.now): FakeGateway {
  return new FakeGateway({ chain: new FakeChain({ clock }), clock });
}

Deno.test("openEndpoints() opens each by what it speaks, gRPC first", async () => {
  await using w = await world();
  w.graphql.faults.set({ kind: "http_status", status: 503 });
  const clients = await openEndpoints([`graphql+${w.graphql.graphqlUrl}`, w.grpc.url]);
  assertEquals((await clients[0]?.status())?.chainId, w.gateway.chain.chainId);
  await assertRejects(() => clients[1]?.status() ?? Promise.resolve(), LedgerUnavailable, "503");
  for (const client of clients) await client[Symbol.asyncDispose]();
  await assertRejects(() => openEndpoints(["https://graphql.example"]), TypeError, "GraphQL");
});

Deno.test("gRPC and GraphQL that agree admit; either lying about anything admits nobody", async () => {
  await using w = await world();
  const { tokenId } = w.gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  const entryId = w.gateway.entryFieldId(tokenId);
  assertEquals(await w.decide(tokenId), "valid");
  const flipped = (id: string, at: number) => {
    const bytes = w.gateway.chain.latest(id)?.contents.slice() ?? new Uint8Array();
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    return bytes.toHex();
  };
  const lies = [tokenId, entryId, w.gateway.registryId].flatMap((id): Fault[] => [
    { kind: "lie_object", id, version: "99" },
    { kind: "lie_object", id, digest: "1".repeat(43) },
    { kind: "lie_object", id, ownerAddress: MALLORY },
    { kind: "lie_object", id, type: `${MALLORY}::k8s_gateway::SealToken` },
    { kind: "lie_object", id, contentsHex: flipped(id, 60) },
    { kind: "hide_object", id },
  ]);
  const away: Fault[] = [
    { kind: "other_chain", chainId: "2".repeat(43) },
    { kind: "http_status", status: 503 },
    { kind: "html" },
    { kind: "garbage" },
    { kind: "wrong_object", id: w.gateway.registryId },
  ];
  for (const node of [w.grpc, w.graphql]) {
    for (const fault of [...lies, ...away]) {
      node.faults.set(fault);
      const error = await assertRejects(
        () => w.decide(tokenId),
        Error,
        undefined,
        JSON.stringify(fault),
      );
      assert(
        error instanceof LedgerUnavailable || error instanceof LedgerProtocolError,
        `${error}`,
      );
      node.faults.clear();
    }
  }
  assertEquals(await w.decide(tokenId), "valid");
});

Deno.test("a revocation that only one of gRPC and GraphQL has seen admits nobody", async () => {
  await using w = await world();
  const { tokenId } = w.gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  w.gateway.setEntry(tokenId, { revoked: true });
  for (const node of [w.grpc, w.graphql]) {
    node.faults.set({ kind: "lag", checkpoints: 1 });
    await assertRejects(() => w.decide(tokenId), LedgerUnavailable, "do not agree");
    node.faults.clear();
  }
  assertEquals(await w.decide(tokenId), "revoked");
  // One that is behind for a moment is waited for.
  const made = w.gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  w.graphql.faults.set({ kind: "lag", checkpoints: 1, times: 2, method: "BatchGetObjects" });
  assertEquals(await w.decide(made.tokenId), "valid");
});

Deno.test("an answer is as old as the older of gRPC and GraphQL", async () => {
  let nowMs = Date.now() - 3_600_000;
  await using w = await world(gateway(() => nowMs));
  const { tokenId } = w.gateway.createToken({
    owner: ALICE,
    nodeId: "node-a",
    expiresAtMs: Date.now() + 3_600_000,
  });
  await assertRejects(() => w.decide(tokenId), LedgerUnavailable, "ms old");
  nowMs = Date.now();
  w.gateway.chain.advance();
  assertEquals(await w.decide(tokenId), "valid");
  for (const node of [w.grpc, w.graphql]) {
    node.faults.set({ kind: "lag", checkpoints: 1 });
    await assertRejects(() => w.decide(tokenId), LedgerUnavailable, "ms old");
    node.faults.clear();
  }
});

Deno.test("a zkLogin signature counts when gRPC and GraphQL both confirm it", async () => {
  await using w = await world();
  const message = new TextEncoder().encode("hello");
  const { address, signature } = await zkLoginSignature(message);
  const verify = () =>
    w.zkLogin.verifyPersonalMessage(message, signature, address, new AbortController().signal);
  assertEquals(await verify(), false);
  w.gateway.chain.zkLogin.set(signature, { address, message });
  assertEquals(await verify(), true);
  w.graphql.faults.set({ kind: "grpc_status", code: 13 });
  await assertRejects(verify, LedgerUnavailable, "do not agree");
});

/** A chain that has gone its own way after the events that all have. */
function branch(...own: readonly number[]): FakeGateway {
  const made = gateway(() => 1_790_000_000_000);
  for (const event of [0, 1, ...own]) made.emit(ALICE, "E", Uint8Array.of(event));
  return made;
}

Deno.test("over a fork between gRPC and GraphQL the common past is applied, and no branch", async () => {
  await using w = await world(branch(7, 8), branch(9));
  const applied: string[] = [];
  const stop = new AbortController();
  let seen = { state: "", why: "" };
  const listener = createChainListener({
    ledger: w.ledger,
    packageId: w.gateway.packageId,
    cursorStore: { load: () => Promise.resolve(undefined), save: () => Promise.resolve() },
    apply: ({ dedupeKey }) => {
      applied.push(dedupeKey);
      return Promise.resolve();
    },
    clock: Date.now,
    pageSize: 2,
    sleep: () => {
      const { state, detail } = listener.status();
      seen = { state, why: detail };
      stop.abort();
      return Promise.resolve();
    },
  });
  await listener.run(stop.signal);
  assertEquals([applied.length, seen.state], [2, "unreachable"]);
  assert(seen.why !== "");
});

Deno.test("who begins at the oldest there is begins where both still have it", async () => {
  const [left, right] = [branch(2, 3, 4, 5), branch(2, 3, 4, 5)];
  await using w = await world(left, right);
  const module = { packageId: left.packageId, module: "k8s_gateway" };
  const all = await w.ledger.events(module, undefined, 10);
  assertEquals(all.events.map((event) => event.contents[0]), [0, 1, 2, 3, 4, 5]);
  left.chain.prune(left.chain.tip.sequence - 4n);
  right.chain.prune(right.chain.tip.sequence - 2n);
  for (const start of [undefined, {}]) {
    const { events } = await w.ledger.events(module, start, 10);
    assertEquals(events.map((event) => event.contents[0]), [3, 4, 5]);
  }
  // An explicit beginning that one of them has no more is not moved.
  const explicit = { checkpoint: left.chain.tip.sequence - 4n };
  await assertRejects(() => w.ledger.events(module, explicit, 10), LedgerHistoryPruned);
});

Deno.test("events come as fast as pages do, though a page of GraphQL is smaller", async () => {
  await using w = await world();
  for (let i = 0; i < 130; i++) w.gateway.emit(ALICE, "E", Uint8Array.of(i));
  const module = { packageId: w.gateway.packageId, module: "k8s_gateway" };
  const all = await w.ledger.events(module, undefined, 1000);
  assertEquals([all.events.length, all.hasMore], [130, false]);
  const part = await w.ledger.events(module, undefined, 100);
  assertEquals([part.events.length, part.hasMore], [100, true]);
  // Where one has sent less than it could, there is more to be had at once.
  w.graphql.faults.set({ kind: "lag", checkpoints: 30 });
  const held = await w.ledger.events(module, undefined, 1000);
  assertEquals([held.events.length, held.hasMore], [100, false]);
  assertStringIncludes(held.cursor ?? "", "v2:");
});
