import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { FakeChain } from "../tests/fakes/sui/chain.ts";
import type { Fault, FaultKind } from "../tests/fakes/sui/faults.ts";
import { FakeGateway } from "../tests/fakes/sui/gateway.ts";
import { type FakeNode, startFakeNode } from "../tests/fakes/sui/server.ts";
import { type ChainClient, SubscriptionUnsupported } from "./chain_client.ts";
import { openGraphqlLedger } from "./graphql_ledger.ts";
import { openGrpcLedger } from "./grpc_ledger.ts";
import { LedgerProtocolError, LedgerUnavailable } from "./ledger.ts";

const METHOD = "SubscribeCheckpoints";

interface World extends AsyncDisposable {
  readonly chain: FakeChain;
  readonly node: FakeNode;
  readonly ledger: ChainClient;
  readonly stop: AbortController;
  /** What the node makes known, as far as somebody reads. */
  subscribe(): AsyncIterator<bigint>;
}

/** A node whose chain goes on all the time. */
async function world(options: { chainId?: string } = {}): Promise<World> {
  const chain = new FakeChain({ clock: Date.now });
  const gateway = new FakeGateway({ chain, clock: Date.now });
  const node = await startFakeNode({ gateway });
  const ledger = await openGrpcLedger({ endpoint: node.url, ...options });
  const stop = new AbortController();
  const sealing = setInterval(() => chain.advance(), 5);
  return {
    chain,
    node,
    ledger,
    stop,
    subscribe: () => {
      assert(ledger.checkpoints !== undefined);
      return ledger.checkpoints(stop.signal)[Symbol.asyncIterator]();
    },
    [Symbol.asyncDispose]: async () => {
      clearInterval(sealing);
      stop.abort();
      await ledger[Symbol.asyncDispose]();
      await node[Symbol.asyncDispose]();
    },
  };
}

/** Reads until the stream ends. @returns why, and what came before */
async function untilItEnds(
  stream: AsyncIterator<bigint>,
): Promise<{ readonly error: unknown; readonly numbers: readonly bigint[] }> {
  const numbers: bigint[] = [];
  try {
    for (;;) {
      const { value, done } = await stream.next();
      if (done === true) return { error: undefined, numbers };
      numbers.push(value);
    }
  } catch (error) {
    return { error, numbers };
  }
}

Deno.test("checkpoints() hands on what the node makes known, each later than the one before", async () => {
  await using w = await world();
  const stream = w.subscribe();
  const [first, second, third] = [await stream.next(), await stream.next(), await stream.next()];
  assert(first.value < second.value && second.value < third.value);
  assert(third.value <= w.chain.tip.sequence);
  await stream.return?.();
  assertEquals(w.node.calls.get(METHOD), 1);
});

Deno.test("checkpoints() of GraphQL: there are none", async () => {
  await using w = await world();
  const ledger = await openGraphqlLedger({ endpoint: w.node.graphqlUrl });
  assertEquals(ledger.checkpoints, undefined);
  await ledger[Symbol.asyncDispose]();
});

Deno.test("checkpoints() of a node without the service is SubscriptionUnsupported", async () => {
  await using w = await world();
  w.node.faults.set({ kind: "grpc_status", code: 12, message: "no such service", method: METHOD });
  const error = await assertRejects(() => w.subscribe().next(), SubscriptionUnsupported);
  assert(error.message.includes(new URL(w.node.url).host) && error.message.includes("no such"));
});

Deno.test("checkpoints() ends with an error where the node refuses, breaks off or sends what cannot be", async () => {
  await using w = await world();
  const cases: [FaultKind, string][] = [
    [{ kind: "http_status", status: 503 }, "LedgerUnavailable"],
    [{ kind: "http_status", status: 301 }, "LedgerUnavailable"],
    [{ kind: "html" }, "LedgerUnavailable"],
    [{ kind: "grpc_status", code: 14 }, "LedgerUnavailable"],
    [{ kind: "grpc_status", code: 7 }, "LedgerUnavailable"],
    [{ kind: "flood" }, "LedgerUnavailable"],
    [{ kind: "drop", afterBytes: 3 }, "LedgerUnavailable"],
    [{ kind: "drop", afterBytes: 0 }, "LedgerUnavailable"],
    [{ kind: "garbage" }, "LedgerUnavailable"],
    [{ kind: "end_stream" }, "LedgerUnavailable"],
    [{ kind: "omit_fields", fields: ["cursor"] }, "LedgerProtocolError"],
  ];
  for (const [kind, type] of cases) {
    w.node.faults.set({ ...kind, method: METHOD });
    const { error, numbers } = await untilItEnds(w.subscribe());
    assertEquals(error instanceof Error && error.name, type, JSON.stringify(kind));
    assertEquals(numbers, [], JSON.stringify(kind));
    w.node.faults.clear();
  }
});

Deno.test("checkpoints() ends with an error where a stream that stood breaks off in the middle", async () => {
  await using w = await world();
  const faults: FaultKind[] = [{ kind: "drop", afterBytes: 0 }, { kind: "end_stream" }, {
    kind: "garbage",
  }];
  for (const kind of faults) {
    const stream = w.subscribe();
    assertEquals((await stream.next()).done, false);
    w.node.faults.set({ ...kind, method: METHOD });
    assertInstanceOf((await untilItEnds(stream)).error, LedgerUnavailable, JSON.stringify(kind));
    w.node.faults.clear();
  }
});

Deno.test("checkpoints() hands lies, lags and repetitions on: nobody goes by them", async () => {
  await using w = await world();
  const cases: [FaultKind, (number: bigint) => boolean][] = [
    [{ kind: "lie_checkpoint", sequence: "18446744073709551615" }, (n) => n === 2n ** 64n - 1n],
    [{ kind: "lag", checkpoints: 1_000_000 }, (n) => n === 0n],
    [{ kind: "duplicate_events" }, (n) => n <= w.chain.tip.sequence],
  ];
  for (const [kind, isSo] of cases) {
    const fault: Fault = { ...kind, method: METHOD };
    w.node.faults.set(fault);
    const stream = w.subscribe();
    assert(isSo((await stream.next()).value), kind.kind);
    assert(isSo((await stream.next()).value), kind.kind);
    await stream.return?.();
    w.node.faults.clear();
  }
});

Deno.test("checkpoints() of another chain is refused", async () => {
  const pinned = new FakeChain({ clock: Date.now }).chainId;
  await using w = await world({ chainId: pinned });
  w.node.faults.set({
    kind: "other_chain",
    chainId: "4btiuiMPvEENsttpZC7CZ53DruC3MAgfznDbASZ7DR6S",
  });
  await assertRejects(() => w.subscribe().next(), LedgerProtocolError, "expected");
});

Deno.test("checkpoints() of a node that floods can be read and left", async () => {
  await using w = await world();
  w.node.faults.set({ kind: "flood_checkpoints", method: METHOD });
  const stream = w.subscribe();
  for (let i = 0; i < 4; i++) assertEquals((await stream.next()).done, false);
  await stream.return?.();
});

Deno.test("checkpoints() ends with its signal and with the ledger, also where the node says nothing", async () => {
  for (const silent of [true, false]) {
    await using w = await world();
    if (silent) w.node.faults.set({ kind: "hang", method: METHOD });
    const stream = w.subscribe();
    const read = untilItEnds(stream);
    w.stop.abort(new Error("enough"));
    assertInstanceOf((await read).error, LedgerUnavailable);
    await using v = await world();
    if (silent) v.node.faults.set({ kind: "hang", method: METHOD });
    const other = untilItEnds(v.subscribe());
    await v.ledger[Symbol.asyncDispose]();
    assertInstanceOf((await other).error, LedgerUnavailable);
    await assertRejects(() => v.subscribe().next(), LedgerUnavailable, "closed");
  }
});
