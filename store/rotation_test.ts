/** Rotation of the data key: all of it, at every step of it, and while the store is used. */
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { bytes, commit, listing, openTestStore, put } from "../tests/fakes/test_store.ts";
import { StoreError } from "./errors.ts";
import { decodeKeyring } from "./keyring_format.ts";
import type { DurableLog, LogAppend } from "./log.ts";
import { createMemoryLog, createMemoryMedium, type MemoryMedium } from "./logs/memory.ts";
import type { StoreOptions } from "./open.ts";
import type { Store } from "./types.ts";

const KEY_ID_AT = 4;

function copy(medium: MemoryMedium): MemoryMedium {
  return {
    records: new Map(medium.records),
    checkpoint: new Map(medium.checkpoint),
    head: medium.head,
    keyring: medium.keyring,
  };
}

/** Key ids that the sealed records on a medium name, chunks and head included. */
function keyIds(medium: MemoryMedium): Set<number> {
  const all = [...medium.records.values(), ...medium.checkpoint.values(), medium.head!];
  return new Set(all.map((record) => new DataView(record.buffer).getUint32(KEY_ID_AT)));
}

function dekIds(medium: MemoryMedium): number[] {
  return decodeKeyring(medium.keyring!).body.deks.map(({ id }) => id);
}

/** A log that is told about before each append, and may break off there. */
function watched(medium: MemoryMedium, before: (append: LogAppend) => void): DurableLog {
  const inner = createMemoryLog(medium);
  return {
    name: "watched",
    start: () => inner.start(),
    append: async (append) => {
      before(append);
      await inner.append(append);
    },
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

function open(medium: MemoryMedium, more: Partial<StoreOptions> = {}): Promise<Store> {
  return openTestStore({
    log: createMemoryLog(medium),
    checkpointFacts: 3,
    verify: "index",
    ...more,
  });
}

async function contents(store: Store): Promise<unknown> {
  return [
    await listing(store, "system"),
    await listing(store, "k8s"),
    await listing(store, "etcd"),
    await listing(store, "etcd", 3),
  ];
}

async function fill(store: Store, count: number, tag = ""): Promise<void> {
  for (let i = 0; i < count; i++) {
    await commit(store, put("etcd", `e${i}`, `${tag}${i}`), put("system", `s${i % 5}`, tag));
  }
}

Deno.test("rotateKeys() seals every record anew, ends the old key, and the store opens as before", async () => {
  const medium = createMemoryMedium();
  let expected: unknown;
  {
    await using store = await open(medium);
    await fill(store, 40);
    await commit(store, { type: "delete", keyspace: "etcd", key: bytes("e7") });
    expected = await contents(store);
    const begun = await store.rotateKeys();
    assertEquals(begun.activeKey, 2);
    await store.rotationFinished();
    assertEquals(store.keyStatus().rotation.phase, "idle");
    assertEquals(store.keyStatus().deks.map(({ id, state }) => [id, state]), [[2, "active"]]);
    assertEquals(await contents(store), expected);
    assertEquals([...keyIds(medium)], [2]);
    assertEquals(dekIds(medium), [2]);
    await store.verify();
    await commit(store, put("etcd", "after", "it"));
  }
  for (const verify of ["full", "index"] as const) {
    await using store = await open(copy(medium), { verify });
    await store.verify();
    assertEquals(await listing(store, "etcd", 41 + 1), (expected as string[][])[2]);
    assertEquals(store.keyStatus().rotation.phase, "idle");
  }
});

Deno.test("a crash at any step of a rotation loses nothing, and the next opening ends it", async () => {
  const medium = createMemoryMedium();
  const states: MemoryMedium[] = [];
  let expected: unknown;
  {
    await using store = await open(medium);
    await fill(store, 70);
    expected = await contents(store);
  }
  {
    const log = watched(medium, () => states.push(copy(medium)));
    await using store = await open(medium, { log });
    await store.rotateKeys();
    await store.rotationFinished();
  }
  states.push(copy(medium));
  // Opening, key, incarnations, the records, some twenty chunks, the old key's end.
  assert(states.length > 20, `${states.length} states`);
  const phases = new Set(states.map((state) => [...keyIds(state)].sort().join()));
  assertEquals(phases, new Set(["1", "1,2", "2"]));
  for (const [i, state] of states.entries()) {
    const rotated = dekIds(state).includes(2);
    for (const verify of ["full", "index"] as const) {
      const here = copy(state);
      await using store = await open(here, { verify });
      assertEquals(await contents(store), expected, `state ${i}`);
      await store.rotationFinished();
      await store.verify();
      assertEquals(dekIds(here), rotated ? [2] : [1], `state ${i}`);
      if (rotated) assertEquals([...keyIds(here)], [2], `state ${i}`);
    }
  }
});

Deno.test("a rotation goes on while others read, write, delete, compact and watch", async () => {
  const medium = createMemoryMedium();
  const expected = new Map<string, string>();
  {
    await using store = await open(medium, { cacheBytes: 0 });
    await fill(store, 200, "old ");
    for (let i = 0; i < 200; i++) expected.set(`e${i}`, `old ${i}`);
    using watcher = store.watch("etcd", {
      key: bytes("e"),
      rangeEnd: bytes("f"),
      startRevision: 2,
    });
    const batches = watcher[Symbol.asyncIterator]();
    await store.rotateKeys();
    for (let i = 0; i < 200; i += 2) {
      const { value } = await batches.next();
      assertEquals(value!.revision, 2 + i / 2);
      if (i % 3 === 0) {
        await commit(store, { type: "delete", keyspace: "etcd", key: bytes(`e${i}`) });
        expected.delete(`e${i}`);
      } else {
        await commit(store, put("etcd", `e${i}`, `new ${i}`), put("system", `s${i % 5}`, "new"));
        expected.set(`e${i}`, `new ${i}`);
      }
      if (i === 100) await store.compact("etcd", 20);
      assertEquals((await listing(store, "etcd")).length, expected.size);
    }
    await store.rotationFinished();
  }
  await using store = await open(medium);
  await store.verify();
  assertEquals(
    await listing(store, "etcd"),
    [...expected].sort().map(([k, v]) => `${k}=${v}`),
  );
});

Deno.test("rotateKeys() goes on with one that is under way, also after a restart", async () => {
  const medium = createMemoryMedium();
  {
    await using store = await open(medium);
    await fill(store, 300);
    await store.rotateKeys();
    assertEquals((await store.rotateKeys()).activeKey, 2);
    assertEquals(dekIds(medium), [1, 2]);
  }
  assertEquals(dekIds(medium), [1, 2], "closing does not wait for the end");
  await using store = await open(medium);
  assertEquals((await store.rotateKeys()).activeKey, 2);
  await store.rotationFinished();
  assertEquals(dekIds(medium), [2]);
  await store.rotateKeys();
  await store.rotationFinished();
  assertEquals(dekIds(medium), [3]);
});

Deno.test("a store opened read-only leaves a rotation where it stands", async () => {
  const medium = createMemoryMedium();
  {
    await using store = await open(medium);
    await fill(store, 300);
    await store.rotateKeys();
  }
  const before = copy(medium);
  {
    await using store = await open(medium, { mode: "open", readOnly: true });
    assertEquals(store.keyStatus().deks.map(({ state }) => state), ["retired", "active"]);
    await assertRejects(() => store.rotateKeys(), StoreError, "read-only");
  }
  assertEquals(medium, before);
});

Deno.test("a rotation that cannot write stops the store; the next opening ends it", async () => {
  const medium = createMemoryMedium();
  {
    await using store = await open(medium);
    await fill(store, 300);
  }
  {
    let broken = false;
    const log = watched(medium, (append) => {
      if (append.replacements !== undefined && append.replacements.positions.length > 50) {
        broken = true;
      }
      if (broken) throw new StoreError("io", "no space left on device");
    });
    await using store = await open(medium, { log });
    await store.rotateKeys();
    const error = await assertRejects(() => store.rotationFinished(), StoreError);
    assertEquals(error.code, "io");
    assertEquals(store.failure, error);
  }
  assertEquals(dekIds(medium), [1, 2]);
  await using store = await open(medium);
  await store.rotationFinished();
  await store.verify();
  assertEquals(dekIds(medium), [2]);
});

Deno.test("a disk that lies about an older record is found out, and no key is destroyed then", async () => {
  const medium = createMemoryMedium();
  {
    await using store = await open(medium);
    await fill(store, 30);
  }
  const position = [...medium.records.keys()][20]!;
  const lie = medium.records.get(position)!.slice();
  lie[80]! ^= 1;
  await using store = await open(medium, { cacheBytes: 0 });
  medium.records.set(position, lie);
  await store.rotateKeys();
  const error = await assertRejects(() => store.rotationFinished(), StoreError);
  assertEquals(error.code, "record_altered");
  assertEquals(dekIds(medium), [1, 2]);
});

Deno.test("the data key is rotated by itself after so many uses, record keys in between", async () => {
  const medium = createMemoryMedium();
  await using store = await open(medium, { dataKeyLimit: 200, recordKeyLimit: 20 });
  const first = store.incarnation;
  await fill(store, 120);
  await store.rotationFinished();
  const { deks, recordKey, dataKeyLimit } = store.keyStatus();
  assertEquals(dataKeyLimit, 200);
  assert(deks.at(-1)!.id >= 2);
  assertEquals(recordKey.limit, 20);
  assertNotEquals(store.incarnation, first);
  await store.verify();
});

Deno.test("a chunk of the checkpoint that was taken away or put back leaves a rotated store readable", async () => {
  const medium = createMemoryMedium();
  let old: MemoryMedium;
  let expected: unknown;
  {
    await using store = await open(medium);
    await fill(store, 60);
    expected = await contents(store);
    old = copy(medium);
    await store.rotateKeys();
  }
  const mixed = copy(medium);
  for (const [chunk, record] of old.checkpoint) mixed.checkpoint.set(chunk, record);
  const [first] = mixed.checkpoint.keys();
  mixed.checkpoint.delete(first!);
  for (let opening = 0; opening < 3; opening++) {
    await using store = await open(mixed);
    assertEquals(await contents(store), expected);
    await fill(store, 60, "");
    await store.rotationFinished();
    expected = await contents(store);
  }
  await using store = await open(mixed);
  await store.verify();
  assertEquals([...keyIds(mixed)], [2]);
});
