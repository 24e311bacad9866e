import { assert, assertEquals, assertLess, assertRejects, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { FakeChain } from "../tests/fakes/sui/chain.ts";
import { FakeGateway } from "../tests/fakes/sui/gateway.ts";
import { MemoryLedger } from "../tests/fakes/sui/memory_ledger.ts";
import { type FakeNode, startFakeNode } from "../tests/fakes/sui/server.ts";
import {
  type ChainDelivery,
  type ChainListener,
  type ChainListenerOptions,
  createChainListener,
} from "./events.ts";
import { openGraphqlLedger } from "./graphql_ledger.ts";
import { openGrpcLedger } from "./grpc_ledger.ts";
import type { Ledger } from "./ledger.ts";
import { createQuorumLedger } from "./quorum_ledger.ts";

const ALICE = "0x" + "a1".repeat(32);
const START_MS = 1_790_000_000_000;

/** What the API side does: an event and its cursor in one transaction, guarded by the cursor. */
class Store {
  cursor: string | undefined;
  readonly applied: string[] = [];
  readonly kinds: string[] = [];
  saves = 0;
  /** Runs before the commit; a throw stands for a store that cannot. */
  before: ((delivery: ChainDelivery) => Promise<void> | void) | undefined;
  /** Runs after the commit; a throw stands for a crash that hides that it happened. */
  after: ((delivery: ChainDelivery) => Promise<void> | void) | undefined;

  load = () => Promise.resolve(this.cursor);
  save = (cursor: string, previous: string | undefined) => {
    if (this.cursor !== previous) return Promise.reject(new Error("the cursor has moved"));
    this.cursor = cursor;
    this.saves++;
    return Promise.resolve();
  };
  apply = async (delivery: ChainDelivery) => {
    await this.before?.(delivery);
    if (this.cursor !== delivery.previousCursor) throw new Error("the cursor has moved");
    this.cursor = delivery.cursor;
    this.applied.push(delivery.dedupeKey);
    this.kinds.push(delivery.event.kind);
    await this.after?.(delivery);
  };
}

/** Time that passes when the test says so. */
class Pauses {
  nowMs = START_MS;
  readonly #waiting: { ms: number; done: () => void }[] = [];
  #arrived = Promise.withResolvers<void>();

  sleep = (ms: number, signal: AbortSignal): Promise<void> => {
    if (signal.aborted) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const entry = { ms, done: resolve };
    this.#waiting.push(entry);
    signal.addEventListener("abort", () => {
      const at = this.#waiting.indexOf(entry);
      if (at >= 0) this.#waiting.splice(at, 1);
      resolve();
    }, { once: true });
    this.#arrived.resolve();
    return promise;
  };

  /** Waits until the listener sleeps; tells for how long it wants to. */
  async asleep(): Promise<number> {
    while (this.#waiting.length === 0) {
      this.#arrived = Promise.withResolvers<void>();
      await this.#arrived.promise;
    }
    return this.#waiting[0]?.ms ?? 0;
  }

  /** Lets the sleeper sleep out. */
  pass(): void {
    const entry = this.#waiting.shift();
    this.nowMs += entry?.ms ?? 0;
    entry?.done();
  }
}

interface World {
  readonly chain: FakeChain;
  readonly gateway: FakeGateway;
  readonly ledger: MemoryLedger;
  readonly store: Store;
  readonly pauses: Pauses;
  listen(options?: Partial<ChainListenerOptions>): Running;
}

interface Running extends AsyncDisposable {
  readonly listener: ChainListener;
  readonly finished: Promise<void>;
  stop(): Promise<void>;
}

function world(): World {
  const pauses = new Pauses();
  const clock = () => pauses.nowMs;
  const chain = new FakeChain({ clock });
  const gateway = new FakeGateway({ chain, clock });
  const ledger = new MemoryLedger(chain);
  const store = new Store();
  return {
    chain,
    gateway,
    ledger,
    store,
    pauses,
    listen: (options = {}) => {
      const abort = new AbortController();
      const listener = createChainListener({
        ledger,
        packageId: gateway.packageId,
        cursorStore: store,
        apply: store.apply,
        clock,
        sleep: pauses.sleep,
        ...options,
      });
      const finished = listener.run(abort.signal);
      const stop = async () => {
        abort.abort();
        await finished;
      };
      return { listener, finished, stop, [Symbol.asyncDispose]: stop };
    },
  };
}

function keys(chain: FakeChain): string[] {
  return chain.events.map((event) => `${event.transactionDigest}/${event.eventIndex}`);
}

Deno.test("run() applies every event once, in order, and goes on from the stored cursor", async () => {
  const { chain, gateway, store, pauses, listen } = world();
  for (let i = 0; i < 7; i++) gateway.emit(ALICE, `E${i}`, Uint8Array.of(i));
  {
    await using running = listen({ pageSize: 3 });
    await pauses.asleep();
    assertEquals(store.applied, keys(chain));
    assertEquals(running.listener.status().state, "following");
    assertEquals(running.listener.status().eventsApplied, 7);
    gateway.emit(ALICE, "E7", Uint8Array.of(7));
    pauses.pass();
    await pauses.asleep();
    assertEquals(store.applied, keys(chain));
  }
  gateway.emit(ALICE, "E8", Uint8Array.of(8));
  await using again = listen();
  await pauses.asleep();
  assertEquals(store.applied, keys(chain));
  assertEquals(again.listener.status().eventsApplied, 1);
  assertEquals(again.listener.status().cursor, store.cursor);
});

Deno.test("run() hands over what the events say", async () => {
  const { gateway, store, pauses, listen } = world();
  const seen: ChainDelivery[] = [];
  const { tokenId } = gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  gateway.setEntry(tokenId, { status: "slashed", revoked: true });
  const { digest, requestId } = gateway.schedule({
    requester: ALICE,
    method: "POST",
    resource: "ConfigMap",
    namespace: "default",
    name: "x",
    payload: "{}",
  });
  gateway.emit(ALICE, "K8sAPIRequest", Uint8Array.of(1, 2, 3));
  gateway.emit(ALICE, "FromTheFuture", Uint8Array.of());
  const passedOver: string[] = [];
  await using running = listen({
    apply: (delivery) => {
      seen.push(delivery);
      return store.apply(delivery);
    },
    log: { passedOver: (delivery) => passedOver.push(delivery.event.kind) },
  });
  await pauses.asleep();
  assertEquals(seen.map((delivery) => delivery.event.kind), [
    "worker_registered",
    "worker_status_changed",
    "seal_token_revoked",
    "k8s_request",
    "undecodable",
    "unknown",
  ]);
  assertEquals(passedOver, ["undecodable", "unknown"]);
  const request = seen[3];
  assert(request?.event.kind === "k8s_request");
  assertEquals(request.event.request.requestId, requestId);
  assertEquals(request.event.request.requester, ALICE);
  assertEquals(request.dedupeKey, `${digest}/0`);
  assertEquals(request.sender, ALICE);
  const { eventsApplied, eventsUndecodable, eventsUnknown } = running.listener.status();
  assertEquals([eventsApplied, eventsUndecodable, eventsUnknown], [6, 1, 1]);
});

Deno.test("run() tries the same event again while it cannot be applied, and says so", async () => {
  const { chain, gateway, store, pauses, listen } = world();
  for (let i = 0; i < 3; i++) gateway.emit(ALICE, `E${i}`, Uint8Array.of(i));
  let broken = true;
  store.before = ({ dedupeKey }) => {
    if (broken && dedupeKey === keys(chain)[1]) throw new Error("disk full");
  };
  const failures: number[] = [];
  await using running = listen({
    log: { failed: (_error, retryInMs) => failures.push(retryInMs) },
  });
  for (const expected of [500, 1000, 2000]) {
    assertEquals(await pauses.asleep(), expected);
    const { state, detail } = running.listener.status();
    assertEquals(state, "blocked");
    assertStringIncludes(detail, "disk full");
    assertEquals(store.applied, keys(chain).slice(0, 1));
    pauses.pass();
  }
  assertEquals(await pauses.asleep(), 4000);
  broken = false;
  running.listener.wake(); // strangers can call it: no way around the backoff
  assertEquals(store.applied.length, 1);
  pauses.pass();
  assertEquals(await pauses.asleep(), 1000);
  assertEquals(store.applied, keys(chain));
  assertEquals(running.listener.status().state, "following");
  assertEquals(running.listener.status().consecutiveFailures, 0);
  assertEquals(failures, [500, 1000, 2000, 4000]);
});

Deno.test("run() waits out a chain that is away, with bounded backoff", async () => {
  const { chain, gateway, ledger, store, pauses, listen } = world();
  gateway.emit(ALICE, "E0", Uint8Array.of(0));
  ledger.unavailable = "as told";
  await using running = listen({ backoff: { initialMs: 100, maxMs: 350 } });
  const waits: number[] = [];
  for (let i = 0; i < 4; i++) {
    waits.push(await pauses.asleep());
    assertEquals(running.listener.status().state, "unreachable");
    pauses.pass();
  }
  assertEquals(waits, [100, 200, 350, 350]);
  await pauses.asleep();
  ledger.unavailable = undefined;
  pauses.pass();
  await pauses.asleep();
  assertEquals(store.applied, keys(chain));
});

Deno.test("run() stops and says so where the node forgot events that were not seen", async () => {
  const { chain, gateway, store, pauses, listen } = world();
  gateway.emit(ALICE, "E0", Uint8Array.of(0));
  {
    await using _ = listen();
    await pauses.asleep();
  }
  gateway.emit(ALICE, "Lost", Uint8Array.of(1));
  chain.advance(5);
  chain.prune(chain.tip.sequence);
  const running = listen();
  await running.finished;
  const { state, detail } = running.listener.status();
  assertEquals(state, "stopped");
  assertStringIncludes(detail, "below");
  assertEquals(store.applied.length, 1);
});

Deno.test("run() applies what a node that stands still has to tell, and says that it is too old", async () => {
  const { gateway, store, pauses, listen, chain } = world();
  await using running = listen({ maxChainAgeMs: 60_000 });
  await pauses.asleep();
  assertEquals(running.listener.status().state, "following");
  gateway.emit(ALICE, "E0", Uint8Array.of(0));
  pauses.nowMs += 60_001;
  pauses.pass();
  await pauses.asleep();
  assertEquals(store.applied.length, 1);
  const { state, detail } = running.listener.status();
  assertEquals(state, "unreachable");
  assertStringIncludes(detail, "ms old, more than 60000");
  chain.advance();
  pauses.pass();
  await pauses.asleep();
  assertEquals(running.listener.status().state, "following");
});

Deno.test("run() stops where the endpoint is on another chain", async () => {
  const { gateway, chain, store, pauses, listen } = world();
  gateway.emit(ALICE, "E0", Uint8Array.of(0));
  {
    await using _ = listen({ chainId: chain.chainId });
    await pauses.asleep();
  }
  const elsewhere = new FakeChain({ clock: () => START_MS, name: "elsewhere" });
  for (const chainId of [undefined, chain.chainId]) {
    const running = listen({ ledger: new MemoryLedger(elsewhere), chainId });
    await running.finished;
    assertEquals(running.listener.status().state, "stopped");
    assertStringIncludes(running.listener.status().detail, chain.chainId);
  }
  store.cursor = "no cursor";
  const running = listen();
  await running.finished;
  assertEquals(running.listener.status().state, "stopped");
});

Deno.test("run() begins at a checkpoint where told to and nothing is stored", async () => {
  const { gateway, chain, store, pauses, listen } = world();
  gateway.emit(ALICE, "Old", Uint8Array.of(0));
  const start = { checkpoint: chain.tip.sequence + 1n };
  gateway.emit(ALICE, "New", Uint8Array.of(1));
  await using _ = listen({ start });
  await pauses.asleep();
  assertEquals(store.applied, keys(chain).slice(1));
});

Deno.test("wake() brings the next look forward, but not as often as it is called", async () => {
  const { chain, gateway, ledger, store, pauses, listen } = world();
  await using running = listen({ pollIntervalMs: 60_000 });
  assertEquals(await pauses.asleep(), 60_000);
  gateway.emit(ALICE, "E0", Uint8Array.of(0));
  for (let i = 0; i < 50; i++) running.listener.wake();
  assertEquals(await pauses.asleep(), 100); // minPollIntervalMs after the last look
  const calls = ledger.calls;
  pauses.pass();
  assertEquals(await pauses.asleep(), 60_000);
  assertEquals(store.applied, keys(chain));
  assertEquals(ledger.calls, calls + 1);
});

Deno.test("run() saves the cursor from time to time where nothing happens", async () => {
  const { chain, gateway, store, pauses, listen } = world();
  {
    await using _ = listen({ idleSaveIntervalMs: 2500 });
    for (let i = 0; i < 4; i++) {
      await pauses.asleep();
      chain.advance();
      pauses.pass();
    }
    await pauses.asleep();
    assertEquals(store.saves, 1);
  }
  // Old history may go: nothing was in it.
  chain.prune(chain.tip.sequence - 1n);
  gateway.emit(ALICE, "E0", Uint8Array.of(0));
  await using _ = listen();
  await pauses.asleep();
  assertEquals(store.applied, keys(chain));
});

Deno.test("run() ends within a second of the abort, whatever hangs", async () => {
  const hanging = () => Promise.withResolvers<never>().promise;
  for (const what of ["apply", "ledger", "idle"] as const) {
    const { gateway, ledger, store, pauses, listen } = world();
    const entered = Promise.withResolvers<void>();
    const { events } = ledger;
    if (what === "idle") {
      entered.resolve();
    } else {
      gateway.emit(ALICE, "E0", Uint8Array.of(0));
      store.before = () => {
        entered.resolve();
        return what === "apply" ? hanging() : undefined;
      };
    }
    if (what === "ledger") {
      ledger.events = async (filter, after, limit, signal) => {
        if (after === undefined) return await events.call(ledger, filter, after, limit, signal);
        entered.resolve();
        await new Promise((resolve) => signal?.addEventListener("abort", resolve));
        throw new Error("aborted");
      };
    }
    const running = listen();
    await entered.promise;
    if (what !== "apply") {
      await pauses.asleep();
      pauses.pass();
    }
    const startedMs = performance.now();
    await running.stop();
    assertLess(performance.now() - startedMs, 1000, what);
    assertEquals(running.listener.status().state, "stopped");
  }
});

Deno.test("run() runs once", async () => {
  const { listen } = world();
  await using running = listen();
  await assertRejects(() => running.listener.run(AbortSignal.abort()), TypeError, "once");
});

Deno.test("run() with several events on their way loses and repeats none when one fails", async () => {
  const { chain, gateway, store, pauses, listen } = world();
  for (let i = 0; i < 20; i++) gateway.emit(ALICE, `E${i}`, Uint8Array.of(i));
  let failures = 3;
  store.before = ({ dedupeKey }) => {
    const at = keys(chain).indexOf(dedupeKey);
    if (at % 6 === 5 && failures-- > 0) throw new Error("busy");
  };
  await using _ = listen({ maxInFlight: 4 });
  while (store.applied.length < 20) {
    await pauses.asleep();
    pauses.pass();
  }
  assertEquals(store.applied, keys(chain));
});

Deno.test("run() applies exactly once through crashes at every step (property)", async () => {
  const rounds = Deno.env.get("NAUTILUS_NIGHTLY") === "1" ? 1000 : 60;
  const step = fc.record({
    emit: fc.nat({ max: 4 }),
    crash: fc.constantFrom("no", "before commit", "after commit", "stop"),
    at: fc.nat({ max: 6 }),
    width: fc.constantFrom(1, 3),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
      const { chain, gateway, store, pauses, listen } = world();
      for (
        const { emit, crash, at, width } of [
          ...steps,
          { emit: 0, crash: "no", at: 0, width: 1 },
        ]
      ) {
        chain.execute(ALICE, (tx) => {
          for (let i = 0; i < emit; i++) {
            tx.emit(`${gateway.packageId}::k8s_gateway::E`, Uint8Array.of(i));
          }
        });
        let countdown = at;
        const crashed = Promise.withResolvers<void>();
        const trip = () => {
          if (countdown-- > 0) return;
          crashed.resolve();
          throw new Error(crash);
        };
        store.before = crash === "before commit" ? trip : undefined;
        store.after = crash === "after commit" ? trip : undefined;
        await using _ = listen({ maxInFlight: width, pageSize: 2 });
        // Killed at the first failure, or once nothing is left to do.
        await Promise.race([crashed.promise, pauses.asleep()]);
      }
      assertEquals(store.applied, keys(chain));
    }),
    { numRuns: rounds },
  );
});

const GRPC = ({ url }: FakeNode, timeoutMs: number) => openGrpcLedger({ endpoint: url, timeoutMs });
const GRAPHQL = ({ graphqlUrl }: FakeNode, timeoutMs: number) =>
  openGraphqlLedger({ endpoint: graphqlUrl, timeoutMs, maxAnswerBytes: 1024 * 1024 });

/** Follows the chain through `open` while its node, and no other, does everything wrong in turn. */
async function followThroughFaults(
  open: (node: FakeNode, gateway: FakeGateway) => Promise<Ledger>,
): Promise<void> {
  const { chain, gateway, store, pauses, listen } = world();
  await using node = await startFakeNode({ gateway, scanLimit: 3 });
  const ledger = await open(node, gateway);
  await using _ledger = ledger;
  await using running = listen({ ledger, pageSize: 4 });
  const faults = [
    { kind: "duplicate_events" },
    { kind: "replay_events" },
    { kind: "reverse_events" },
    { kind: "no_query_end" },
    { kind: "drop", afterBytes: 40 },
    { kind: "drop", afterBytes: 400 },
    { kind: "garbage" },
    { kind: "html" },
    { kind: "http_status", status: 503 },
    { kind: "http_status", status: 404 },
    { kind: "grpc_status", code: 14 },
    { kind: "hang" },
    { kind: "flood" },
    { kind: "lag", checkpoints: 3 },
  ] as const;
  for (const fault of faults) {
    for (let i = 0; i < 5; i++) gateway.emit(ALICE, "E", Uint8Array.of(i));
    node.faults.set({ ...fault, times: 2, method: "ListEvents" });
    for (let i = 0; i < 8; i++) {
      await pauses.asleep();
      pauses.pass();
    }
    await pauses.asleep();
    assertEquals(store.applied, keys(chain), fault.kind);
    assertEquals(running.listener.status().state, "following", fault.kind);
  }
}

Deno.test("run() over gRPC applies exactly once through a node that errs in every way", () =>
  followThroughFaults((node) => GRPC(node, 200)));

Deno.test("run() over GraphQL applies exactly once through a node that errs in every way", () =>
  followThroughFaults((node) => GRAPHQL(node, 500)));

Deno.test("run() over gRPC and GraphQL applies exactly once while either errs in every way", async () => {
  for (const [erring, honest] of [[GRPC, GRAPHQL], [GRAPHQL, GRPC]] as const) {
    await using resources = new AsyncDisposableStack();
    await followThroughFaults(async (node, gateway) => {
      const other = resources.use(await startFakeNode({ gateway }));
      return createQuorumLedger({
        ledgers: [await erring(node, 500), await honest(other, 10_000)],
        retryMs: 1,
      });
    });
  }
});
