import { assertEquals, assertStringIncludes } from "@std/assert";
import { FakeChain } from "../tests/fakes/sui/chain.ts";
import { FakeGateway } from "../tests/fakes/sui/gateway.ts";
import { startFakeNode } from "../tests/fakes/sui/server.ts";
import { createChainListener } from "./events.ts";
import { openGrpcLedger } from "./grpc_ledger.ts";
import { createQuorumLedger } from "./quorum_ledger.ts";

const ALICE = "0x" + "a1".repeat(32);

/** A chain that has gone its own way after the events that all have. */
function branch(...own: readonly number[]): FakeGateway {
  const clock = () => 1_790_000_000_000;
  const gateway = new FakeGateway({ chain: new FakeChain({ clock }), clock });
  for (const event of [0, 1, ...own]) gateway.emit(ALICE, "E", Uint8Array.of(event));
  return gateway;
}

/** Follows full nodes of these chains until the listener has nothing to do or nobody to believe. */
async function followed(
  gateways: readonly FakeGateway[],
): Promise<{ readonly applied: readonly string[]; readonly state: string; readonly why: string }> {
  const nodes = await Promise.all(gateways.map((gateway) => startFakeNode({ gateway })));
  const ledger = createQuorumLedger({
    ledgers: await Promise.all(nodes.map(({ url }) => openGrpcLedger({ endpoint: url }))),
    retryMs: 1,
  });
  const applied: string[] = [];
  const stop = new AbortController();
  let seen = { state: "", why: "" };
  const listener = createChainListener({
    ledger,
    packageId: gateways[0]?.packageId ?? "",
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
  await ledger[Symbol.asyncDispose]();
  await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()));
  return { applied, ...seen };
}

Deno.test("over a fork the common past is applied, and of the branches none", async () => {
  const [left, right] = [branch(7, 8), branch(9)];
  const { applied, state, why } = await followed([left, right]);
  assertEquals([applied.length, state], [2, "unreachable"]);
  assertStringIncludes(why, "do not agree on event 0 after ");
  // The same place on both branches: what is said there differs.
  const digest = async (byte: number) =>
    new Uint8Array(await crypto.subtle.digest("SHA-256", Uint8Array.of(byte))).toHex();
  assertStringIncludes(why, `contents sha256:${await digest(7)} / sha256:${await digest(9)}`);
  assertEquals(why.includes("undefined"), false, why);
});

Deno.test("over a fork the branch that most endpoints are on is followed", async () => {
  const { applied, state } = await followed([branch(7, 8), branch(9), branch(7, 8)]);
  assertEquals([applied.length, state], [4, "following"]);
});
