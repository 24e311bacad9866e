import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { bytes, commit, listing, openTestStore, put, text } from "../tests/fakes/test_store.ts";
import { StoreError } from "./errors.ts";
import type { DurableLog, LogAppend } from "./log.ts";
import { createMemoryLog, createMemoryMedium } from "./logs/memory.ts";
import type { Operation, Store, WatchBatch, Watcher } from "./types.ts";

const remove = (key: string, rangeEnd?: string): Operation => ({
  type: "delete",
  keyspace: "etcd",
  key: bytes(key),
  ...(rangeEnd === undefined ? {} : { rangeEnd: bytes(rangeEnd) }),
});

async function refused(action: () => Promise<unknown>, code: string): Promise<StoreError> {
  const error = await assertRejects(action, StoreError);
  assertEquals(error.code, code);
  return error;
}

Deno.test("txn() gives one revision to all its writes, and none to another keyspace", async () => {
  await using store = await openTestStore();
  assertEquals(store.revision("etcd"), 1);
  const { revisions } = await commit(store, put("etcd", "a", "1"), put("etcd", "b", "2"));
  assertEquals(revisions, { system: 1, k8s: 1, etcd: 2 });
  await commit(store, put("system", "s", "1"));
  const { kvs, revision } = await store.range("etcd", { key: bytes("a"), rangeEnd: bytes("c") });
  assertEquals(revision, 2);
  assertEquals(kvs.map((kv) => [text(kv.key), kv.createRevision, kv.modRevision, kv.version]), [
    ["a", 2, 2, 1],
    ["b", 2, 2, 1],
  ]);
  const again = await commit(store, put("etcd", "a", "3"), put("k8s", "x", "1"));
  assertEquals(again.revisions, { system: 2, k8s: 2, etcd: 3 });
  const a = (await store.range("etcd", { key: bytes("a") })).kvs[0]!;
  assertEquals([a.createRevision, a.modRevision, a.version], [2, 3, 2]);
});

Deno.test("txn() takes the branch that its guards choose", async () => {
  await using store = await openTestStore();
  const create = (value: string) =>
    store.txn({
      compare: [{
        keyspace: "k8s",
        key: bytes("pod"),
        target: "mod",
        result: "equal",
        operand: 0,
      }],
      success: [put("k8s", "pod", value)],
      failure: [{ type: "range", keyspace: "k8s", key: bytes("pod") }],
    });
  const [first, second] = await Promise.all([create("one"), create("two")]);
  assertEquals([first.succeeded, second.succeeded], [true, false]);
  const answer = second.responses[0]!;
  assert(answer.type === "range");
  assertEquals(answer.kvs.map((kv) => text(kv.value)), ["one"]);
});

Deno.test("txn() that deletes nothing moves no revision", async () => {
  await using store = await openTestStore();
  await commit(store, put("etcd", "a", "1"));
  const { revisions, responses } = await commit(store, remove("b"));
  assertEquals(revisions.etcd, 2);
  assertEquals(responses, [{ type: "delete", deleted: 0, prevKvs: [] }]);
});

Deno.test("txn() refuses a key that is changed twice, and changes nothing then", async () => {
  await using store = await openTestStore();
  await refused(() => commit(store, put("etcd", "a", "1"), put("etcd", "a", "2")), "duplicate_key");
  await refused(() => commit(store, put("etcd", "b", "1"), remove("a", "c")), "duplicate_key");
  await commit(store, put("etcd", "a", "1"), put("k8s", "a", "2"));
  assertEquals(store.revision("etcd"), 2);
});

Deno.test("txn() answers prevKv and reads its own writes", async () => {
  await using store = await openTestStore();
  await commit(store, put("etcd", "a", "1"));
  const { responses } = await commit(
    store,
    { type: "put", keyspace: "etcd", key: bytes("a"), value: bytes("2"), prevKv: true },
    { type: "range", keyspace: "etcd", key: bytes("a") },
    {
      type: "txn",
      txn: { compare: [], success: [put("etcd", "b", "3")], failure: [] },
    },
  );
  const [first, second] = responses;
  assert(first?.type === "put" && second?.type === "range");
  assertEquals(text(first.prevKv!.value), "1");
  assertEquals(second.kvs.map((kv) => [text(kv.value), kv.modRevision]), [["2", 3]]);
  assertEquals(second.revision, 3);
  assertEquals(await listing(store, "etcd"), ["a=2", "b=3"]);
});

Deno.test("range() reads the past, counts beyond its limit, and knows what it cannot read", async () => {
  await using store = await openTestStore();
  for (const value of ["1", "2", "3"]) await commit(store, put("etcd", "a", value));
  await commit(store, remove("a"), put("etcd", "b", "1"), put("etcd", "c", "1"));
  assertEquals(await listing(store, "etcd", 3), ["a=2"]);
  assertEquals(await listing(store, "etcd"), ["b=1", "c=1"]);
  const limited = await store.range("etcd", {
    key: bytes("a"),
    rangeEnd: bytes("z"),
    limit: 1,
  });
  assertEquals([limited.kvs.length, limited.more, limited.count], [1, true, 2]);
  const counted = await store.range("etcd", {
    key: bytes("a"),
    rangeEnd: bytes("z"),
    countOnly: true,
  });
  assertEquals([counted.kvs.length, counted.count], [0, 2]);
  await refused(() => listing(store, "etcd", 99), "future_revision");
  await refused(() => listing(store, "system", 0 + 99), "future_revision");
  await refused(() => store.range("etcd", { key: new Uint8Array(0) }), "invalid_request");
});

Deno.test("compact() forgets what is overwritten and deleted, keeps what is readable", async () => {
  const medium = createMemoryMedium();
  let store = await openTestStore({ log: createMemoryLog(medium) });
  for (const value of ["1", "2", "3"]) await commit(store, put("etcd", "a", value));
  await commit(store, put("etcd", "b", "1"));
  await commit(store, remove("b"));
  await commit(store, put("etcd", "c", "1"));
  await store.compact("etcd", 7);
  await refused(() => listing(store, "etcd", 6), "compacted");
  assertEquals(await listing(store, "etcd", 7), ["a=3", "c=1"]);
  assertThrows(() => store.watch("etcd", { key: bytes("a"), startRevision: 6 }), StoreError);
  await refused(() => store.compact("etcd", 7), "compacted");
  await refused(() => store.compact("etcd", 8), "future_revision");
  await refused(() => store.compact("system", 1), "invalid_request");
  await store[Symbol.asyncDispose]();
  // a=3, c=1 and the incarnation.
  assertEquals(medium.records.size, 3);
  store = await openTestStore({ log: createMemoryLog(medium) });
  assertEquals(await listing(store, "etcd", 7), ["a=3", "c=1"]);
  await refused(() => listing(store, "etcd", 6), "compacted");
  await store[Symbol.asyncDispose]();
});

Deno.test("the system keyspace leaves no trace of what was overwritten or deleted", async () => {
  const medium = createMemoryMedium();
  await using store = await openTestStore({ log: createMemoryLog(medium) });
  const removeSystem: Operation = { type: "delete", keyspace: "system", key: bytes("s") };
  await Promise.all([1, 2, 3].map((i) => commit(store, put("system", "s", String(i)))));
  await commit(store, put("system", "s", "4"));
  assertEquals(medium.records.size, 2);
  await Promise.all([commit(store, removeSystem), commit(store, put("system", "s", "5"))]);
  assertEquals(await listing(store, "system"), ["s=5"]);
  await commit(store, removeSystem);
  assertEquals(medium.records.size, 1);
  assertEquals(store.revision("system"), 8);
  assertEquals(store.stats().keys.system, 0);
});

async function take(watcher: Watcher, count: number): Promise<WatchBatch[]> {
  const batches: WatchBatch[] = [];
  for await (const batch of watcher) {
    batches.push(batch);
    if (batches.length === count) break;
  }
  return batches;
}

const shown = (batches: readonly WatchBatch[]) =>
  batches.map(({ revision, events }) => [
    revision,
    ...events.map((event) =>
      `${event.type} ${text(event.kv.key)}=${text(event.kv.value)}` +
      (event.prevKv === undefined ? "" : ` was ${text(event.prevKv.value)}`)
    ),
  ]);

Deno.test("watch() tells changes from now on, from the past, and across both", async () => {
  await using store = await openTestStore();
  const live = store.watch("etcd", { key: bytes("a"), rangeEnd: bytes("c"), prevKv: true });
  await commit(store, put("etcd", "a", "1"), put("etcd", "z", "9"), put("etcd", "b", "2"));
  await commit(store, put("etcd", "z", "8"));
  await commit(store, remove("a"));
  const expected = [[2, "put a=1", "put b=2"], [4, "delete a= was 1"]];
  assertEquals(shown(await take(live, 2)), expected);
  const past = store.watch("etcd", {
    key: bytes("a"),
    rangeEnd: bytes("c"),
    prevKv: true,
    startRevision: 2,
  });
  const both = take(past, 3);
  await commit(store, put("etcd", "b", "3"));
  assertEquals(shown(await both), [...expected, [5, "put b=3 was 2"]]);
});

Deno.test("watch() makes an event once for all who watch the key, whatever else they watch", async () => {
  await using store = await openTestStore();
  await commit(store, put("etcd", "a", "1"));
  const watch = (rangeEnd?: string, prevKv = true) =>
    take(
      store.watch("etcd", {
        key: bytes("a"),
        ...(rangeEnd === undefined ? {} : { rangeEnd: bytes(rangeEnd) }),
        prevKv,
      }),
      2,
    );
  const all = Promise.all([watch("c"), watch("c"), watch(), watch("c", false)]);
  await commit(store, put("etcd", "a", "2"));
  await commit(store, put("etcd", "b", "1"), put("etcd", "a", "3"));
  const [first, second, single, bare] = await all;
  const expected = [[3, "put a=2 was 1"], [4, "put b=1", "put a=3 was 2"]];
  assertEquals(shown(first), expected);
  assertEquals(shown(second), expected);
  assertEquals(shown(single), [[3, "put a=2 was 1"], [4, "put a=3 was 2"]]);
  assertEquals(shown(bare), [[3, "put a=2"], [4, "put b=1", "put a=3"]]);
  for (const other of [second, single]) {
    assertStrictEquals(other[0]?.events[0]?.kv, first[0]?.events[0]?.kv);
    assertStrictEquals(other[1]?.events.at(-1)?.kv, first[1]?.events.at(-1)?.kv);
  }
});

Deno.test("watch() lets a slow reader catch up from the history", async () => {
  await using store = await openTestStore();
  const watcher = store.watch("etcd", { key: bytes("k") });
  for (let i = 0; i < 50; i++) {
    await Promise.all(
      Array.from({ length: 100 }, (_, j) => commit(store, put("etcd", "k", `${i * 100 + j}`))),
    );
  }
  const batches = await take(watcher, 5000);
  assertEquals(
    batches.map((batch) => text(batch.events[0]!.kv.value)),
    Array.from({ length: 5000 }, (_, i) => String(i)),
  );
});

Deno.test("watch() of a keyspace without history ends a reader that falls behind", async () => {
  await using store = await openTestStore();
  const watcher = store.watch("system", { key: bytes("k") });
  for (let i = 0; i < 50; i++) {
    await Promise.all(
      Array.from({ length: 100 }, (_, j) => commit(store, put("system", "k", `${i * 100 + j}`))),
    );
  }
  await refused(() => take(watcher, 1), "watch_overflow");
});

Deno.test("watch() ends when it is closed and when the store is", async () => {
  const store = await openTestStore();
  const closed = store.watch("etcd", { key: bytes("a") });
  const reading = take(closed, 1);
  closed.close();
  assertEquals(await reading, []);
  const left = take(store.watch("etcd", { key: bytes("a") }), 1);
  const ended = refused(() => left, "closed");
  await store[Symbol.asyncDispose]();
  await ended;
});

Deno.test("values beyond the cache are read back from the log", async () => {
  await using store = await openTestStore({ cacheBytes: 0 });
  await commit(store, put("etcd", "a", "first"), put("etcd", "b", "second"));
  await commit(store, put("etcd", "a", "third"));
  assertEquals(await listing(store, "etcd"), ["a=third", "b=second"]);
  assertEquals(await listing(store, "etcd", 2), ["a=first", "b=second"]);
  const swapped = await store.txn({
    compare: [{
      keyspace: "etcd",
      key: bytes("b"),
      target: "value",
      result: "equal",
      operand: bytes("second"),
    }],
    success: [{
      type: "put",
      keyspace: "etcd",
      key: bytes("b"),
      value: bytes("4"),
      prevKv: true,
    }],
    failure: [],
  });
  const answer = swapped.responses[0]!;
  assert(answer.type === "put");
  assertEquals(text(answer.prevKv!.value), "second");
});

/** A memory log whose appends can be held back and made to fail. */
class HeldLog {
  readonly medium = createMemoryMedium();
  readonly inner = createMemoryLog(this.medium);
  appends: (() => Promise<void>)[] = [];
  hold = false;
  fail = false;

  log(): DurableLog {
    const { inner } = this;
    return {
      name: "held",
      start: () => inner.start(),
      append: (append) => this.#append(append),
      replay: (from) => inner.replay(from),
      read: (positions) => inner.read(positions),
      checkpoint: () => inner.checkpoint(),
      tags: (from) => inner.tags(from),
      copy: () => inner.copy(),
      size: () => inner.size(),
      reclaim: () => inner.reclaim(),
      [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
    };
  }

  #append(append: LogAppend): Promise<void> {
    if (this.fail) return Promise.reject(new Error("no space left on device"));
    if (!this.hold) return this.inner.append(append);
    return new Promise((resolve, reject) => {
      this.appends.push(() => this.inner.append(append).then(resolve, reject));
    });
  }
}

Deno.test("nothing is readable before it is durable, and what waits is one append", async () => {
  const held = new HeldLog();
  await using store: Store = await openTestStore({ log: held.log() });
  held.hold = true;
  const writes = Array.from({ length: 10 }, (_, i) => commit(store, put("etcd", `k${i}`, "v")));
  await new Promise((resolve) => setTimeout(resolve, 5));
  writes.push(...Array.from({ length: 10 }, (_, i) => commit(store, put("etcd", `l${i}`, "v"))));
  await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals(await listing(store, "etcd"), []);
  assertEquals(store.revision("etcd"), 1);
  let appends = 0;
  held.hold = false;
  while (held.appends.length > 0) {
    appends++;
    await held.appends.shift()!();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  await Promise.all(writes);
  assert(appends <= 2, `${appends} appends were held back`);
  assertEquals((await listing(store, "etcd")).length, 20);
  assertEquals(store.revision("etcd"), 21);
});

Deno.test("a failed append stops the store: nothing half visible, every call says why", async () => {
  const held = new HeldLog();
  const store = await openTestStore({ log: held.log() });
  await commit(store, put("etcd", "a", "1"));
  const watching = take(store.watch("etcd", { key: bytes("a") }), 1);
  held.fail = true;
  const [first, second] = await Promise.allSettled([
    commit(store, put("etcd", "a", "2")),
    commit(store, put("etcd", "a", "3")),
  ]);
  for (const result of [first, second]) {
    assert(result?.status === "rejected" && result.reason instanceof StoreError);
    assertEquals(result.reason.code, "io");
  }
  assertEquals(store.failure?.code, "io");
  await refused(() => watching, "io");
  await refused(() => listing(store, "etcd"), "io");
  await refused(() => commit(store, put("etcd", "a", "4")), "io");
  assertThrows(() => store.watch("etcd", { key: bytes("a") }), StoreError);
  await store[Symbol.asyncDispose]();
  await using again = await openTestStore({ log: createMemoryLog(held.medium) });
  assertEquals(await listing(again, "etcd"), ["a=1"]);
});

Deno.test("every opening has an incarnation of its own; secrets stay, and differ by purpose", async () => {
  const medium = createMemoryMedium();
  const seen: { incarnation: string; identity: string; tls: string; store: string }[] = [];
  for (let i = 0; i < 70; i++) {
    await using store = await openTestStore({ log: createMemoryLog(medium) });
    seen.push({
      incarnation: store.incarnation.toHex(),
      identity: (await store.secret("identity")).toHex(),
      tls: (await store.secret("tls")).toHex(),
      store: store.storeId.toHex(),
    });
  }
  assertEquals(new Set(seen.map((one) => one.incarnation)).size, 70);
  assertEquals(new Set(seen.map((one) => one.identity)).size, 1);
  assertEquals(new Set(seen.map((one) => one.store)).size, 1);
  assert(seen[0]!.identity !== seen[0]!.tls);
  // Only the newest incarnations are kept.
  assertEquals(medium.records.size, 64);
});

Deno.test("a record key is left for the next incarnation before its use limit", async () => {
  const medium = createMemoryMedium();
  let store = await openTestStore({ log: createMemoryLog(medium), recordKeyLimit: 20 });
  const incarnations = new Set<string>();
  for (let i = 0; i < 100; i++) {
    await commit(store, put("etcd", `k${i}`, "v"));
    incarnations.add(store.incarnation.toHex());
    assert(store.stats().recordKeyUses <= 24);
  }
  assert(incarnations.size > 5);
  await store[Symbol.asyncDispose]();
  store = await openTestStore({ log: createMemoryLog(medium) });
  assertEquals((await listing(store, "etcd")).length, 100);
  await store[Symbol.asyncDispose]();
});

Deno.test("a store opened read-only changes nothing", async () => {
  const medium = createMemoryMedium();
  await (await openTestStore({ log: createMemoryLog(medium) }))[Symbol.asyncDispose]();
  const before = structuredClone(medium);
  {
    await using store = await openTestStore({ log: createMemoryLog(medium), readOnly: true });
    assertEquals(await listing(store, "etcd"), []);
    await refused(() => commit(store, put("etcd", "a", "1")), "invalid_request");
    await refused(() => store.compact("etcd", 1), "invalid_request");
  }
  assertEquals(medium, before);
  await refused(
    () => openTestStore({ readOnly: true }),
    "keyring_missing",
  );
  await refused(() => openTestStore({ mode: "open" }), "keyring_missing");
});
