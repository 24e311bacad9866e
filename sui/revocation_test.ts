/** Listener and validator together: what the chain revokes is out at once, whatever is cached. */
import { assert, assertEquals, assertLess } from "@std/assert";
import { FakeChain } from "../tests/fakes/sui/chain.ts";
import { FakeGateway, MIST_PER_SUI } from "../tests/fakes/sui/gateway.ts";
import { startFakeNode } from "../tests/fakes/sui/server.ts";
import { createChainListener } from "./events.ts";
import { openGrpcLedger } from "./grpc_ledger.ts";
import { createSealTokenValidator } from "./seal_token.ts";

const ALICE = "0x" + "a1".repeat(32);

Deno.test("a slashed worker is out within a second of the event, its neighbour is not", async () => {
  const chain = new FakeChain({ clock: Date.now });
  const gateway = new FakeGateway({ chain, clock: Date.now });
  await using node = await startFakeNode({ gateway });
  await using ledger = await openGrpcLedger({ endpoint: node.url });
  const validator = createSealTokenValidator({
    ledger,
    packageId: gateway.packageId,
    registryId: gateway.registryId,
    minimumStakeMist: MIST_PER_SUI,
    clock: Date.now,
    cacheTtlMs: 3_600_000,
    allowLegacyBearer: false,
  });
  const slashed = gateway.createToken({ owner: ALICE, nodeId: "node-a" }).tokenId;
  const revoked = gateway.createToken({ owner: ALICE, nodeId: "node-b" }).tokenId;
  const neighbour = gateway.createToken({ owner: ALICE, nodeId: "node-c" }).tokenId;
  for (const [id, nodeId] of [[slashed, "node-a"], [revoked, "node-b"], [neighbour, "node-c"]]) {
    assert((await validator.check(id ?? "", nodeId ?? "")).valid);
  }

  let cursor: string | undefined;
  const outAt = new Map<string, number>();
  const both = Promise.withResolvers<void>();
  const stop = new AbortController();
  const listener = createChainListener({
    ledger,
    packageId: gateway.packageId,
    cursorStore: { load: () => Promise.resolve(cursor), save: () => Promise.resolve() },
    clock: Date.now,
    pollIntervalMs: 50,
    apply: ({ event, checkpoint, cursor: next }) => {
      cursor = next;
      if (event.kind === "worker_status_changed") {
        validator.invalidateNode(event.nodeId, checkpoint);
        outAt.set(event.nodeId, performance.now());
      }
      if (event.kind === "seal_token_revoked") {
        validator.invalidate(event.tokenId, checkpoint);
        outAt.set(event.nodeId, performance.now());
      }
      if (outAt.size === 2) both.resolve();
      return Promise.resolve();
    },
  });
  const running = listener.run(stop.signal);
  const startedMs = performance.now();
  gateway.setEntry(slashed, { status: "slashed" });
  gateway.setEntry(revoked, { revoked: true });
  await both.promise;
  for (const at of outAt.values()) assertLess(at - startedMs, 1000);

  const first = await validator.check(slashed, "node-a");
  const second = await validator.check(revoked, "node-b");
  assert(!first.valid && first.code === "inactive");
  assert(!second.valid && second.code === "revoked");
  const asked = node.calls.get("BatchGetObjects");
  assert((await validator.check(neighbour, "node-c")).valid);
  assertEquals(node.calls.get("BatchGetObjects"), asked);
  stop.abort();
  await running;
});
