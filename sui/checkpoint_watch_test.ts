import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { FakeChain } from "../tests/fakes/sui/chain.ts";
import { FakeGateway } from "../tests/fakes/sui/gateway.ts";
import { startFakeNode } from "../tests/fakes/sui/server.ts";
import { SubscriptionUnsupported } from "./chain_client.ts";
import { type CheckpointWatch, createCheckpointWatch } from "./checkpoint_watch.ts";
import { createChainListener } from "./events.ts";
import { openGrpcLedger } from "./grpc_ledger.ts";
import { LedgerUnavailable } from "./ledger.ts";

/** Waiting that lasts until the test says so. */
class Pauses {
  readonly #waiting: { readonly ms: number; readonly done: () => void }[] = [];
  readonly #expected: { readonly ms: number; readonly resolve: () => void }[] = [];

  readonly sleep = (ms: number, signal: AbortSignal): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (signal.aborted) return Promise.resolve();
    const entry = {
      ms,
      done: () => {
        signal.removeEventListener("abort", entry.done);
        const index = this.#waiting.indexOf(entry);
        if (index >= 0) this.#waiting.splice(index, 1);
        resolve();
      },
    };
    signal.addEventListener("abort", entry.done);
    this.#waiting.push(entry);
    for (const expected of this.#expected.splice(0)) {
      if (expected.ms === ms) expected.resolve();
      else this.#expected.push(expected);
    }
    return promise;
  };

  /** How long those wait that wait now. */
  get now(): readonly number[] {
    return this.#waiting.map(({ ms }) => ms);
  }

  /** Ends one wait of this length, as soon as there is one. */
  async end(ms: number): Promise<void> {
    if (!this.now.includes(ms)) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#expected.push({ ms, resolve });
      await promise;
    }
    this.#waiting.find((entry) => entry.ms === ms)?.done();
  }
}

/** Streams that the test feeds: every subscription takes the next script. */
class Source {
  readonly #scripts: ((signal: AbortSignal) => AsyncIterable<bigint>)[] = [];
  readonly #asked: (() => void)[] = [];
  subscriptions = 0;

  checkpoints = (signal: AbortSignal): AsyncIterable<bigint> => {
    this.subscriptions++;
    for (const resolve of this.#asked.splice(0)) resolve();
    return (this.#scripts.shift() ?? silent)(signal);
  };

  next(script: (signal: AbortSignal) => AsyncIterable<bigint>): this {
    this.#scripts.push(script);
    return this;
  }

  /** Resolves with the `count`th subscription. */
  async asked(count: number): Promise<void> {
    while (this.subscriptions < count) {
      await new Promise<void>((resolve) => this.#asked.push(resolve));
    }
  }
}

// deno-lint-ignore require-yield
async function* silent(signal: AbortSignal): AsyncGenerator<bigint> {
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  throw signal.reason;
}

const says = (...numbers: bigint[]) =>
  async function* (signal: AbortSignal): AsyncGenerator<bigint> {
    yield* numbers;
    yield* silent(signal);
  };

const breaks = (error: Error, ...numbers: bigint[]) =>
  async function* (): AsyncGenerator<bigint> {
    yield* numbers;
    await Promise.resolve();
    throw error;
  };

interface World extends AsyncDisposable {
  readonly pauses: Pauses;
  readonly watch: CheckpointWatch;
  readonly said: string[];
  readonly errors: unknown[];
  now: number;
  wakes: number;
  /** Resolves when the reader was woken so often. */
  woken(count: number): Promise<void>;
}

function watching(...sources: Partial<Source>[]): World {
  const pauses = new Pauses();
  const waiting: (() => void)[] = [];
  const stop = new AbortController();
  const said: string[] = [];
  const errors: unknown[] = [];
  const watch = createCheckpointWatch({
    endpoints: sources.map(({ checkpoints }) => checkpoints === undefined ? {} : { checkpoints }),
    wake: () => {
      world.wakes++;
      for (const resolve of waiting.splice(0)) resolve();
    },
    clock: () => world.now,
    backoff: { initialMs: 500, maxMs: 4_000 },
    silentAfterMs: 10_000,
    unsupportedRetryMs: 600_000,
    sleep: pauses.sleep,
    log: {
      stands: (standing, endpoints) => said.push(`${standing} of ${endpoints} stand`),
      broken: (error, retryInMs) => {
        errors.push(error);
        said.push(`broken, again in ${retryInMs}`);
      },
      unsupported: () => said.push("unsupported"),
    },
  });
  const running = watch.run(stop.signal);
  const world: World = {
    pauses,
    watch,
    said,
    errors,
    now: 0,
    wakes: 0,
    woken: async (count) => {
      while (world.wakes < count) await new Promise<void>((resolve) => waiting.push(resolve));
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await running;
      assertEquals([watch.standing(), pauses.now], [0, []]);
    },
  };
  return world;
}

const AWAY = new LedgerUnavailable("cut off");

Deno.test("createCheckpointWatch() wakes for every checkpoint of every endpoint, and says once that it stands", async () => {
  await using w = watching(new Source().next(says(7n, 8n)), {}, new Source().next(says(7n)));
  await w.woken(3);
  assertEquals(w.watch.standing(), 2);
  assertEquals(w.said, ["1 of 3 stand", "2 of 3 stand"]);
  assertEquals(w.pauses.now, [10_000, 10_000]);
});

Deno.test("createCheckpointWatch() subscribes anew after ever longer pauses while the stream breaks off", async () => {
  const source = new Source().next(breaks(AWAY)).next(breaks(AWAY, 1n)).next(breaks(AWAY))
    .next(breaks(AWAY)).next(breaks(AWAY)).next(says(2n));
  await using w = watching(source);
  for (const ms of [500, 1_000, 2_000, 4_000, 4_000]) {
    assertEquals(w.watch.standing(), 0);
    await w.pauses.end(ms);
  }
  await w.woken(2);
  assertEquals(source.subscriptions, 6);
  assertEquals(w.errors, [AWAY, AWAY]);
  // Said when it changes, not with every try.
  assertEquals(w.said, [
    "broken, again in 500",
    "1 of 1 stand",
    "broken, again in 1000",
    "1 of 1 stand",
  ]);
});

Deno.test("createCheckpointWatch() begins with a short pause again after a stream that stood long enough", async () => {
  const long = async function* (): AsyncGenerator<bigint> {
    yield 1n;
    w.now += 4_000;
    throw AWAY;
  };
  const source = new Source().next(breaks(AWAY)).next(breaks(AWAY)).next(long).next(says(2n));
  await using w = watching(source);
  for (const ms of [500, 1_000, 500]) await w.pauses.end(ms);
  await w.woken(2);
  assertEquals(w.watch.standing(), 1);
});

Deno.test("createCheckpointWatch() gives up a stream that says nothing, and tries another", async () => {
  const source = new Source().next(silent).next(says(3n));
  await using w = watching(source);
  await w.pauses.end(10_000);
  await w.pauses.end(500);
  await w.woken(1);
  assertInstanceOf(w.errors[0], LedgerUnavailable);
  assertEquals(w.errors[0].message, "no checkpoint within 10000 ms");
  assertEquals([source.subscriptions, w.watch.standing()], [2, 1]);
});

Deno.test("createCheckpointWatch() says once that a node has no subscription, and asks it seldom", async () => {
  const none = new SubscriptionUnsupported("node: no service");
  const source = new Source().next(breaks(none)).next(breaks(none)).next(says(1n));
  await using w = watching(source);
  await w.pauses.end(600_000);
  await source.asked(2);
  await w.pauses.end(600_000);
  await w.woken(1);
  assertEquals(w.said, ["unsupported", "1 of 1 stand"]);
});

Deno.test("createCheckpointWatch() leaves nothing behind when it is told to stop, wherever it stands", async () => {
  const none = new SubscriptionUnsupported("node: no service");
  // Its disposal waits for the end of every stream and looks for pauses that are left.
  const before = watching(new Source());
  await before[Symbol.asyncDispose]();
  const w = watching(
    new Source().next(says(1n)),
    new Source().next(breaks(AWAY)),
    new Source().next(breaks(none)),
  );
  await w.woken(1);
  await w[Symbol.asyncDispose]();
});

Deno.test("createCheckpointWatch() resolves only when told to stop, also without any subscription", async () => {
  const stop = new AbortController();
  const watch = createCheckpointWatch({ endpoints: [{}], wake: () => {}, clock: () => 0 });
  await watch.run(stop.signal);
  assertEquals(watch.standing(), 0);
});

Deno.test("an event is applied when the node makes its checkpoint known, without any polling", async () => {
  const chain = new FakeChain({ clock: Date.now });
  const gateway = new FakeGateway({ chain, clock: Date.now });
  await using node = await startFakeNode({ gateway });
  await using ledger = await openGrpcLedger({ endpoint: node.url });
  const stop = new AbortController();
  const applied: string[] = [];
  const events: (() => void)[] = [];
  const happened = async (isMet: () => boolean) => {
    while (!isMet()) await new Promise<void>((resolve) => events.push(resolve));
  };
  const happen = () => events.splice(0).forEach((resolve) => resolve());
  let pausing = 0;
  let subscribed = 0;
  const pauses = new Pauses();
  const listener = createChainListener({
    ledger,
    packageId: gateway.packageId,
    cursorStore: { load: () => Promise.resolve(undefined), save: () => Promise.resolve() },
    apply: ({ dedupeKey }) => {
      applied.push(dedupeKey);
      happen();
      return Promise.resolve();
    },
    clock: () => 0,
    pollIntervalMs: 500,
    minPollIntervalMs: 0,
    // Only a signal ends it: nothing is ever looked for because time went by.
    sleep: async (ms, signal) => {
      pausing++;
      happen();
      await pauses.sleep(ms, signal);
    },
  });
  const watch = createCheckpointWatch({
    endpoints: [ledger],
    wake: () => {
      subscribed++;
      listener.wake();
      happen();
    },
    clock: () => 0,
    sleep: pauses.sleep,
  });
  const running = Promise.all([listener.run(stop.signal), watch.run(stop.signal)]);
  await happened(() => pausing > 0);
  // The subscription may still be on its way: a checkpoint that it does not tell of tells nobody.
  while (subscribed === 0) {
    chain.advance();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const { digest } = gateway.emit("0x" + "cd".repeat(32), "Something", Uint8Array.of(1));
  await happened(() => applied.length > 0);
  assertEquals(applied, [`${digest}/0`]);
  assertEquals(watch.standing(), 1);
  assert(pauses.now.every((ms) => ms === 500 || ms === 10_000), String(pauses.now));
  stop.abort();
  await running;
  assertEquals(pauses.now, []);
});
