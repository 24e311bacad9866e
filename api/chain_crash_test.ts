/** Events of the chain happen exactly once and in order: many on their way, and killed at every step. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { getLogger } from "@logtape/logtape";
import { createMemoryMedium, type MemoryMedium } from "../store/logs/memory.ts";
import type { Store } from "../store/mod.ts";
import { createChainListener } from "../sui/events.ts";
import {
  HEARTBEAT_TIMEOUT_MS,
  randomBytes,
  REQUESTER,
  SESSION_TTL_MS,
} from "../tests/fakes/api.ts";
import { type Crash, crashAt, crashingLog } from "../tests/fakes/crash.ts";
import { FakeChain } from "../tests/fakes/sui/chain.ts";
import { FakeGateway } from "../tests/fakes/sui/gateway.ts";
import { MemoryLedger } from "../tests/fakes/sui/memory_ledger.ts";
import { createTestSealer } from "../tests/fakes/test_sealer.ts";
import { openTestStore } from "../tests/fakes/test_store.ts";
import { type ChainExecutor, createChainExecutor } from "./chain_executor.ts";
import { createAuthorizer } from "./k8s/authorize.ts";
import { createK8sService } from "./k8s/service.ts";
import { createSessionTokens } from "./session_tokens.ts";
import { openWorkers } from "./workers.ts";

const NIGHTLY = Deno.env.get("NAUTILUS_NIGHTLY") === "1";
const START_MS = 1_790_000_000_000;
const STRANGER = `0x${"11".repeat(32)}`;
const GRANT = {
  address: REQUESTER,
  namespaces: ["default", "made"],
  verbs: ["create", "get", "list", "update", "delete"],
  resources: ["configmaps"],
};
const NAMESPACES = { ...GRANT, namespaces: ["*"], resources: ["namespaces"] };
const STEPS = [
  "read",
  "plan",
  "planned",
  "append",
  "appended",
  "applied",
] as const;

const eventArbitrary = fc.record({
  what: fc.constantFrom(
    "create",
    "count",
    "count",
    "get",
    "list",
    "delete",
    "stranger",
    "noise",
    "namespace",
    "inside",
  ),
  name: fc.nat({ max: 3 }),
});
type Happening = typeof eventArbitrary extends fc.Arbitrary<infer T> ? T : never;

function emit(gateway: FakeGateway, { what, name }: Happening, n: number): void {
  if (what === "noise") {
    gateway.emit(STRANGER, "K8sAPIRequestScheduledEvent", Uint8Array.of(n));
    return;
  }
  const method = { count: "PUT", get: "GET", list: "GET", delete: "DELETE" }[String(what)] ??
    "POST";
  gateway.schedule({
    requester: what === "stranger" ? STRANGER : REQUESTER,
    requestId: `r-${n}`,
    method,
    resource: what === "namespace" ? "namespaces" : "configmaps",
    namespace: what === "namespace" ? "" : what === "inside" ? "made" : "default",
    name: what === "namespace" ? "made" : what === "list" ? "" : `object-${name}`,
    payload: method === "GET" || method === "DELETE" ? "" : JSON.stringify({
      apiVersion: "v1",
      kind: what === "namespace" ? "Namespace" : "ConfigMap",
      data: what === "namespace" ? undefined : { n: `${n}` },
    }),
  });
}

/** One life of the master over the medium, until it has nothing to do or dies. */
async function live(
  medium: MemoryMedium,
  sealer: ReturnType<typeof createTestSealer>,
  chain: FakeChain,
  packageId: string,
  maxInFlight: number,
  crash: Crash,
): Promise<{ readonly store: Store; readonly executor: ChainExecutor }> {
  const clock = () => START_MS;
  const store = await openTestStore({ log: crashingLog(medium, crash), sealer });
  const real = createK8sService({
    store,
    clock,
    random: randomBytes,
    authorizer: createAuthorizer([GRANT, NAMESPACES]),
  });
  const k8s = {
    ...real,
    plan: async (request: Parameters<typeof real.plan>[0]) => {
      await crash.step("plan");
      const planned = await real.plan(request);
      await crash.step("planned");
      return planned;
    },
  };
  const workers = await openWorkers({
    store,
    nodes: k8s.nodes,
    clock,
    sessions: createSessionTokens(await store.secret("session-token"), randomBytes),
    validator: undefined,
    heartbeatTimeoutMs: HEARTBEAT_TIMEOUT_MS,
    removeAfterMs: HEARTBEAT_TIMEOUT_MS,
    sessionTtlMs: SESSION_TTL_MS,
    revalidateAfterMs: 60_000,
  });
  await k8s.bootstrap();
  const executor = createChainExecutor({ store, k8s, workers, clock, log: getLogger(["test"]) });
  const ledger = new MemoryLedger(chain);
  ledger.before = () => crash.step("read");
  const idle = Promise.withResolvers<void>();
  const stop = new AbortController();
  const listener = createChainListener({
    ledger,
    packageId,
    cursorStore: executor.cursorStore,
    apply: async (delivery) => {
      await executor.apply(delivery);
      await crash.step("applied");
    },
    clock,
    maxInFlight,
    pageSize: 5,
    sleep: () => {
      idle.resolve();
      stop.abort();
      return Promise.resolve();
    },
  });
  // A life that was ended is not told to stop: nobody is there to hear it.
  await Promise.race([listener.run(stop.signal), crash.happened]);
  if (!crash.dead) assertEquals(listener.status().detail, "told to stop");
  return { store, executor };
}

interface Outcome {
  readonly revision: number;
  readonly objects: readonly string[];
  readonly results: readonly string[];
}

async function outcome(
  { store, executor }: { readonly store: Store; readonly executor: ChainExecutor },
  chain: FakeChain,
): Promise<Outcome> {
  const all = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };
  const { kvs } = await store.range("k8s", all);
  const results = await Promise.all(chain.events.map(async (event) => {
    const result = await executor.result({
      checkpoint: event.checkpoint,
      dedupeKey: `${event.transactionDigest}/${event.eventIndex}`,
    });
    const { digest: _, ...rest } = result ?? { kind: "missing" };
    return JSON.stringify(rest);
  }));
  const stored = kvs.map(({ key, value, version }) => {
    const object: unknown = JSON.parse(new TextDecoder().decode(value));
    assert(typeof object === "object" && object !== null);
    const data = "data" in object ? object.data : undefined;
    return `${new TextDecoder().decode(key)} v${version} ${JSON.stringify(data)}`;
  });
  return { revision: store.revision("k8s"), objects: stored, results };
}

/** Without crashes and one after the other: what the chain's order means. */
async function reference(chain: FakeChain, packageId: string): Promise<Outcome> {
  const sealer = createTestSealer();
  const lived = await live(
    createMemoryMedium(),
    sealer,
    chain,
    packageId,
    1,
    crashAt(undefined, 0),
  );
  const expected = await outcome(lived, chain);
  await lived.store[Symbol.asyncDispose]();
  return expected;
}

function chainOf(happenings: readonly Happening[]) {
  const clock = () => START_MS;
  const chain = new FakeChain({ clock });
  const gateway = new FakeGateway({ chain, clock });
  happenings.forEach((happening, n) => emit(gateway, happening, n));
  return { chain, packageId: gateway.packageId };
}

const manyEvents = fc.array(eventArbitrary, { minLength: 1, maxLength: 25 });

Deno.test("many events on their way come to what they come to one after the other (property)", async () => {
  await fc.assert(
    fc.asyncProperty(manyEvents, fc.integer({ min: 2, max: 16 }), async (happenings, width) => {
      const { chain, packageId } = chainOf(happenings);
      const expected = await reference(chain, packageId);
      const medium = createMemoryMedium();
      const lived = await live(
        medium,
        createTestSealer(),
        chain,
        packageId,
        width,
        crashAt(undefined, 0),
      );
      assertEquals(await outcome(lived, chain), expected);
      await lived.store[Symbol.asyncDispose]();
    }),
    { numRuns: NIGHTLY ? 500 : 25 },
  );
});

Deno.test("events happen exactly once through crashes at every step (property)", async () => {
  const death = fc.record({
    step: fc.constantFrom(...STEPS),
    at: fc.nat({ max: 12 }),
    width: fc.constantFrom(1, 4, 16),
  });
  await fc.assert(
    fc.asyncProperty(manyEvents, fc.array(death, { maxLength: 5 }), async (happenings, ends) => {
      const { chain, packageId } = chainOf(happenings);
      const expected = await reference(chain, packageId);
      const medium = createMemoryMedium();
      const sealer = createTestSealer();
      for (const { step, at, width } of ends) {
        const crash = crashAt(step, at);
        // The boot's own writes may be what it dies of.
        const lived = live(medium, sealer, chain, packageId, width, crash);
        const ended = await Promise.race([lived, crash.happened]);
        if (ended !== undefined && !crash.dead) await ended.store[Symbol.asyncDispose]();
      }
      const last = await live(medium, sealer, chain, packageId, 4, crashAt(undefined, 0));
      assertEquals(await outcome(last, chain), expected);
      await last.store[Symbol.asyncDispose]();
    }),
    { numRuns: NIGHTLY ? 1000 : 40 },
  );
});

Deno.test("a crash at each step in turn loses no event and repeats none", async () => {
  const names = ["create", "count", "get", "namespace", "inside", "count", "delete"] as const;
  const { chain, packageId } = chainOf(names.map((what) => ({ what, name: 1 })));
  const expected = await reference(chain, packageId);
  for (const step of STEPS) {
    let reached = 0;
    for (let died = true; died; reached += Number(died)) {
      const medium = createMemoryMedium();
      const sealer = createTestSealer();
      const crash = crashAt(step, reached);
      const ended = await Promise.race([
        live(medium, sealer, chain, packageId, 4, crash),
        crash.happened,
      ]);
      died = crash.dead;
      if (ended !== undefined) await ended.store[Symbol.asyncDispose]();
      const last = await live(medium, sealer, chain, packageId, 4, crashAt(undefined, 0));
      assertEquals(await outcome(last, chain), expected, `${step} ${reached}`);
      await last.store[Symbol.asyncDispose]();
    }
    assert(reached >= 3, `${step} was reached ${reached} times`);
  }
});
