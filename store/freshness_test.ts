import { assert, assertEquals, assertRejects } from "@std/assert";
import { BackendError, type Bytes, type MonotonicCounter } from "../backends/mod.ts";
import { commit, openTestStore, put } from "../tests/fakes/test_store.ts";
import type { AnchorOptions, RecordAnchor } from "./anchor.ts";
import { StoreError } from "./errors.ts";
import { fileAnchor } from "./file_anchor.ts";
import { createMemoryLog, createMemoryMedium, type MemoryMedium } from "./logs/memory.ts";

function testCounter(): MonotonicCounter & { value: bigint } {
  return {
    value: 0n,
    read() {
      return Promise.resolve(this.value);
    },
    increment(expected) {
      if (this.value !== expected) {
        return Promise.reject(new BackendError("counter_conflict", `it shows ${this.value}`));
      }
      return Promise.resolve(++this.value);
    },
  };
}

const copy = (medium: MemoryMedium): MemoryMedium => ({
  ...medium,
  records: new Map(medium.records),
});

async function refused(medium: MemoryMedium, anchors: AnchorOptions): Promise<StoreError> {
  return await assertRejects(
    () => openTestStore({ log: createMemoryLog(medium), anchors }),
    StoreError,
  );
}

Deno.test("a monotonic counter tells an older copy, whenever it was made", async () => {
  const counter = testCounter();
  const anchors: AnchorOptions = {
    counter: { counter, protection: "host" },
    everyCommits: 5,
  };
  const medium = createMemoryMedium();
  const copies: MemoryMedium[] = [];
  for (let round = 0; round < 3; round++) {
    await using store = await openTestStore({ log: createMemoryLog(medium), anchors });
    for (let i = 0; i < 12; i++) await commit(store, put("etcd", "k", `${round} ${i}`));
    const { freshness } = store.stats();
    assertEquals(freshness.protection, "host");
    assert(store.head().sequence - freshness.anchoredSequence! <= 6n);
    copies.push(copy(medium));
  }
  for (const old of copies) assertEquals((await refused(old, anchors)).code, "rollback");
  await (await openTestStore({ log: createMemoryLog(medium), anchors }))[Symbol.asyncDispose]();
  assertEquals((await refused(copy(medium), {})).code, "rollback");
  counter.value += 5n;
  assertEquals((await refused(copy(medium), anchors)).code, "rollback");
  counter.value = 0n;
  assertEquals((await refused(copy(medium), anchors)).code, "rollback");
});

Deno.test("a crash between the append and the counter is no rollback", async () => {
  const counter = testCounter();
  const medium = createMemoryMedium();
  const anchors: AnchorOptions = { counter: { counter, protection: "accident" } };
  const crashing: AnchorOptions = {
    counter: {
      counter: {
        read: () => counter.read(),
        increment: () => Promise.reject(new Error("power is gone")),
      },
      protection: "accident",
    },
  };
  await (await openTestStore({ log: createMemoryLog(medium), anchors }))[Symbol.asyncDispose]();
  const store = await openTestStore({ log: createMemoryLog(medium), anchors: crashing });
  await commit(store, put("etcd", "a", "1"));
  assertEquals(store.stats().freshness.problem, "power is gone");
  const crashed = copy(medium);
  await store[Symbol.asyncDispose]();
  await using again = await openTestStore({ log: createMemoryLog(crashed), anchors });
  assertEquals(again.stats().freshness.problem, undefined);
});

Deno.test("fileAnchor() tells an older copy, a missing anchor and one of another store", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/anchor`;
    const anchors: AnchorOptions = { records: [fileAnchor(path)] };
    const medium = createMemoryMedium();
    const store = await openTestStore({ log: createMemoryLog(medium), anchors });
    assertEquals(store.stats().freshness.protection, "accident");
    await commit(store, put("etcd", "a", "1"));
    const old = copy(medium);
    await commit(store, put("etcd", "a", "2"));
    await store[Symbol.asyncDispose]();
    const error = await refused(old, anchors);
    assertEquals(error.code, "rollback");
    assert(error.message.includes(path) && error.hint !== undefined);
    await (await openTestStore({ log: createMemoryLog(medium), anchors }))[Symbol.asyncDispose]();

    await Deno.rename(path, `${path}.away`);
    assertEquals((await refused(copy(medium), anchors)).code, "rollback");
    assertEquals((await refused(copy(medium), {})).code, "rollback");
    const altered = await Deno.readFile(`${path}.away`);
    altered[40]! ^= 1;
    await Deno.writeFile(path, altered);
    assertEquals((await refused(copy(medium), anchors)).code, "rollback");
    // A new store does not take over another one's anchor.
    await Deno.copyFile(`${path}.away`, path);
    assertEquals((await refused(createMemoryMedium(), anchors)).code, "rollback");
    await (await openTestStore({ log: createMemoryLog(medium), anchors }))[Symbol.asyncDispose]();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("an anchor that cannot be asked stops the opening, one that cannot be set is told", async () => {
  const medium = createMemoryMedium();
  let reachable = true;
  let held: Uint8Array<ArrayBuffer> | undefined;
  const anchors: AnchorOptions = {
    records: [{
      name: "anchor service",
      protection: "host",
      read: () => reachable ? Promise.resolve(held) : Promise.reject(new Error("no route")),
      compareAndSet(_expected, next) {
        if (!reachable) return Promise.reject(new Error("no route"));
        held = next;
        return Promise.resolve(true);
      },
    }],
    everyCommits: 1,
  };
  const store = await openTestStore({ log: createMemoryLog(medium), anchors });
  reachable = false;
  await commit(store, put("etcd", "a", "1"));
  await commit(store, put("etcd", "a", "2"));
  assertEquals(store.stats().freshness.problem, "no route");
  assertEquals(store.failure, undefined);
  await store[Symbol.asyncDispose]();
  assertEquals((await refused(copy(medium), anchors)).code, "io");
  reachable = true;
  await using again = await openTestStore({ log: createMemoryLog(medium), anchors });
  assertEquals(again.stats().freshness.problem, undefined);
});

/** An anchor in memory that can be lost. */
function recordAnchor(): RecordAnchor & { bytes: Bytes | undefined } {
  return {
    name: "test anchor",
    protection: "host",
    bytes: undefined,
    read() {
      return Promise.resolve(this.bytes);
    },
    compareAndSet(expected, next) {
      if (this.bytes !== expected) return Promise.resolve(false);
      this.bytes = next;
      return Promise.resolve(true);
    },
  };
}

Deno.test("a lost anchor is let go by an explicit word only, told, and not asked for again", async () => {
  const medium = createMemoryMedium();
  const anchor = recordAnchor();
  await (await openTestStore({
    log: createMemoryLog(medium),
    anchors: { records: [anchor], counter: { counter: testCounter(), protection: "accident" } },
  }))[Symbol.asyncDispose]();
  const empty = recordAnchor();
  for (const anchors of [{}, { records: [empty] }]) {
    const error = await refused(copy(medium), anchors);
    assertEquals(error.code, "rollback");
    assert(error.hint?.includes("accept-lost-anchor"), error.hint);
  }
  {
    await using store = await openTestStore({
      log: createMemoryLog(medium),
      anchors: { acceptLost: true },
    });
    const { acceptedLost, protection } = store.stats().freshness;
    assertEquals(acceptedLost, ["the TEE's counter", "the anchor record"]);
    assertEquals(protection, "none");
  }
  // Let go for good: the next opening needs no word.
  await using store = await openTestStore({ log: createMemoryLog(medium) });
  assertEquals(store.stats().freshness.acceptedLost, []);
});

Deno.test("an emptied anchor begins anew once it was let go; one that knows better is believed", async () => {
  const medium = createMemoryMedium();
  const anchor = recordAnchor();
  const open = (acceptLost: boolean, at = medium) =>
    openTestStore({ log: createMemoryLog(at), anchors: { records: [anchor], acceptLost } });
  await (await open(false))[Symbol.asyncDispose]();
  const old = copy(medium);
  {
    await using store = await open(true);
    assertEquals(store.stats().freshness.acceptedLost, []);
    await commit(store, put("etcd", "a", "1"));
  }
  const error = await assertRejects(() => open(true, old), StoreError);
  assertEquals(error.code, "rollback", "a word for what is lost hides no older copy");
  anchor.bytes = undefined;
  await (await open(true))[Symbol.asyncDispose]();
  assert(anchor.bytes !== undefined);
  await (await open(false))[Symbol.asyncDispose]();
});
