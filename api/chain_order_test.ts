/** Many events on their way: who waits for whom, and what one that fails does to the others. */
import { assert, assertEquals } from "@std/assert";
import { getLogger } from "@logtape/logtape";
import type { ChainEvent, K8sRequestFromChain } from "../sui/chain_event.ts";
import type { ChainDelivery } from "../sui/events.ts";
import { REQUESTER, type TestApi, testApi } from "../tests/fakes/api.ts";
import { createChainExecutor } from "./chain_executor.ts";
import { EventOrder, type Place } from "./chain_order.ts";

/** Lets everything run that waits for nothing from outside. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

function told(promise: Promise<void>, what: string, log: string[]): void {
  promise.then(() => log.push(what));
}

function five(order: EventOrder): [Place, Place, Place, Place, Place] {
  return [order.take(), order.take(), order.take(), order.take(), order.take()];
}

Deno.test("EventOrder gives turns in order, to whoever comes after one that was handed over or failed", async () => {
  const log: string[] = [];
  const [a, b, c] = five(new EventOrder());
  told(a.turn, "a", log);
  told(b.turn, "b", log);
  told(c.turn, "c", log);
  await settle();
  assertEquals(log, ["a"]);
  a.submitted();
  await settle();
  assertEquals(log, ["a", "b"]);
  // It failed before it was handed over.
  b.finish();
  await settle();
  assertEquals(log, ["a", "b", "c"]);
});

Deno.test("EventOrder lets the same object wait for all up to who named it last, and no other", async () => {
  const log: string[] = [];
  const [a, b, c, d] = five(new EventOrder());
  told(a.ready({ object: "x" }), "a", log);
  a.submitted();
  told(b.ready("nothing"), "b", log);
  b.submitted();
  told(c.ready({ object: "y" }), "c", log);
  c.submitted();
  told(d.ready({ object: "y" }), "d", log);
  await settle();
  assertEquals(log, ["a", "b", "c"]);
  // Out of order: the ones before it are not durable yet.
  c.finish();
  b.finish();
  await settle();
  assertEquals(log, ["a", "b", "c"]);
  a.finish();
  await settle();
  assertEquals(log, ["a", "b", "c", "d"]);
});

Deno.test("EventOrder lets one that reaches everything wait for all, and all wait for it", async () => {
  const log: string[] = [];
  const [a, b, c] = five(new EventOrder());
  told(a.ready({ object: "x" }), "a", log);
  a.submitted();
  told(b.ready("everything"), "b", log);
  told(b.allBefore(), "all before b", log);
  told(c.turn, "c", log);
  await settle();
  assertEquals(log, ["a"]);
  a.finish();
  await settle();
  assertEquals(log.toSorted(), ["a", "all before b", "b"]);
  b.submitted();
  await settle();
  assertEquals(log.includes("c"), false);
  b.finish();
  await settle();
  assertEquals(log.at(-1), "c");
});

const GRANT = {
  address: REQUESTER,
  namespaces: ["default"],
  verbs: ["create", "get", "update", "delete"],
  resources: ["configmaps"],
};

function request(n: number, more: Partial<K8sRequestFromChain> = {}): ChainEvent {
  return {
    kind: "k8s_request",
    request: {
      method: "POST",
      namespace: "default",
      resource: "ConfigMap",
      name: `made-${n}`,
      path: undefined,
      payload: `{"data":{"n":"${n}"}}`,
      requester: REQUESTER,
      requestId: `r-${n}`,
      priority: 5,
      assignedWorker: undefined,
      sealTokenId: undefined,
      timestampMs: 1n,
      ...more,
    },
  };
}

function deliveries(events: readonly ChainEvent[]): ChainDelivery[] {
  return events.map((event, n) => ({
    event,
    cursor: `cursor-${n}`,
    previousCursor: n === 0 ? undefined : `cursor-${n - 1}`,
    dedupeKey: `digest${n}/0`,
    checkpoint: 7n,
    sender: REQUESTER,
  }));
}

/** All handed over before the first of them is durable. */
async function applyTogether(api: TestApi, events: readonly ChainEvent[]) {
  const outcomes = await Promise.all(deliveries(events).map((one) => api.executor.apply(one)));
  return outcomes.map((outcome) => {
    assert(outcome.kind === "applied");
    return outcome.result;
  });
}

const IN_THE_MIDDLE = 20;
const MANY = Array.from({ length: 64 }, (_, n) => n);

Deno.test("of many events on their way a poisoned or refused one fails alone", async () => {
  const poisons: [string, ChainEvent, number][] = [
    ["undecodable", { kind: "undecodable", type: "0x1::m::E", reason: "it ends too early" }, 400],
    ["no JSON", request(IN_THE_MIDDLE, { payload: "{" }), 400],
    ["not granted", request(IN_THE_MIDDLE, { resource: "pods" }), 403],
    ["a name that cannot be", request(IN_THE_MIDDLE, { name: "Not A Name" }), 422],
    ["there already", request(IN_THE_MIDDLE, { name: "made-3" }), 409],
  ];
  for (const [what, poison, code] of poisons) {
    await using api = await testApi({ grants: [GRANT] });
    const results = await applyTogether(
      api,
      MANY.map((n) => n === IN_THE_MIDDLE ? poison : request(n)),
    );
    assertEquals(
      results.map((result) => result.code),
      MANY.map((n) => n === IN_THE_MIDDLE ? code : 201),
      what,
    );
    assertEquals(await api.executor.cursorStore.load(), "cursor-63");
    const { count } = await api.store.range("k8s", {
      key: new TextEncoder().encode("/registry/core/configmaps/default/made-"),
      rangeEnd: new TextEncoder().encode("/registry/core/configmaps/default/made."),
      countOnly: true,
    });
    assertEquals(count, 63, what);
  }
});

Deno.test("of many events on their way each has a revision of its own, in the chain's order", async () => {
  await using api = await testApi({ grants: [GRANT] });
  const before = api.store.revision("k8s");
  await applyTogether(api, MANY.map((n) => request(n)));
  const { kvs } = await api.store.range("k8s", {
    key: new TextEncoder().encode("/registry/core/configmaps/default/made-"),
    rangeEnd: new TextEncoder().encode("/registry/core/configmaps/default/made."),
  });
  const decoder = new TextDecoder();
  const names = kvs.toSorted((a, b) => a.modRevision - b.modRevision)
    .map(({ key, modRevision }) => [decoder.decode(key).split("-").at(-1), modRevision - before]);
  assertEquals(names, MANY.map((n) => [`${n}`, n + 1]));
});

Deno.test("many events on their way that lose against another writer come to the same", async () => {
  await using api = await testApi({ grants: [GRANT] });
  const { store, workers } = api;
  // Somebody else writes the very object after it was planned and before it is handed over.
  const k8s: TestApi["k8s"] = {
    ...api.k8s,
    plan: async (planned) => {
      const plan = await api.k8s.plan(planned);
      if (planned.name === "made-5" && racing.length > 0) await racing.pop()?.();
      return plan;
    },
  };
  const racing = [async () => {
    const answer = await api.admin("POST", "/api/v1/namespaces/default/configmaps", {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "made-5" },
    });
    assertEquals(answer.status, 201);
  }];
  const executor = createChainExecutor({
    store,
    k8s,
    workers,
    clock: Date.now,
    log: getLogger(["test"]),
  });
  const outcomes = await Promise.all(
    deliveries(MANY.map((n) => request(n))).map((one) => executor.apply(one)),
  );
  assertEquals(
    outcomes.map((outcome) => outcome.kind === "applied" ? outcome.result.code : outcome.kind),
    MANY.map((n) => n === 5 ? 409 : 201),
  );
  assertEquals(racing.length, 0);
  assertEquals(await executor.cursorStore.load(), "cursor-63");
});
