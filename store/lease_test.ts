import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { bytes, openTestStore, testStoreOptions, text } from "../tests/fakes/test_store.ts";
import { StoreError } from "./errors.ts";
import { Lessor } from "./lease.ts";
import { createMemoryLog, createMemoryMedium } from "./logs/memory.ts";
import { openStore } from "./open.ts";
import type { Store } from "./types.ts";

const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

class TestClock {
  now = 5_000_000;
  readonly read = (): number => this.now;
  passSeconds(seconds: number): void {
    this.now += seconds * 1000;
  }
}

function open(store: Store, clock: TestClock): Promise<Lessor> {
  return Lessor.open({ store, clock: clock.read, random });
}

async function put(store: Store, key: string, lease: bigint): Promise<void> {
  await store.txn({
    compare: [],
    success: [{ type: "put", keyspace: "etcd", key: bytes(key), value: bytes("v"), lease }],
    failure: [],
  });
}

async function keys(store: Store): Promise<string[]> {
  const all = await store.range("etcd", { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) });
  return all.kvs.map(({ key }) => text(key));
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return (await assertRejects(() => promise, StoreError)).code;
}

Deno.test("Lessor.grant() draws ids, keeps given ones, and raises short times to the least", async () => {
  await using store = await openTestStore();
  const lessor = await open(store, new TestClock());
  const drawn = await lessor.grant(0n, 60);
  assert(drawn.id > 0n && drawn.id < 2n ** 63n);
  assertEquals(await lessor.grant(7n, 1), { id: 7n, ttlSeconds: 2 });
  assertEquals(await lessor.grant(-7n, 60), { id: -7n, ttlSeconds: 60 });
  assertEquals(await codeOf(lessor.grant(7n, 60)), "lease_exists");
  assertEquals(await codeOf(lessor.grant(8n, 9_000_000_001)), "lease_ttl_too_large");
  assertEquals(store.revision("etcd"), 1, "granting moves no revision");
});

Deno.test("Lessor.revoke() deletes the keys of the lease in one revision", async () => {
  await using store = await openTestStore();
  const lessor = await open(store, new TestClock());
  await lessor.grant(1n, 60);
  await lessor.grant(2n, 60);
  for (const key of ["b", "a", "c"]) await put(store, key, 1n);
  await put(store, "c", 2n);
  await put(store, "d", 0n);
  assertEquals(lessor.keys(1n).map(text), ["a", "b"]);
  assertEquals(await lessor.revoke(1n), 7);
  assertEquals(await keys(store), ["c", "d"]);
  assertEquals(await codeOf(lessor.revoke(1n)), "lease_not_found");
  assertEquals(await codeOf(put(store, "x", 1n)), "lease_not_found");
});

Deno.test("Lessor.revoke() takes the keys that were put before it, and refuses those after it", async () => {
  await using store = await openTestStore();
  const lessor = await open(store, new TestClock());
  await lessor.grant(1n, 60);
  const results = await Promise.allSettled([
    put(store, "a", 1n),
    lessor.revoke(1n),
    put(store, "b", 1n),
    put(store, "c", 1n),
  ]);
  assertEquals(results.map(({ status }) => status), [
    "fulfilled",
    "fulfilled",
    "rejected",
    "rejected",
  ]);
  assertEquals(await keys(store), []);
});

Deno.test("Lessor.tick() revokes what is due, and renew() gives the whole time again", async () => {
  await using store = await openTestStore();
  const clock = new TestClock();
  const lessor = await open(store, clock);
  await lessor.grant(1n, 10);
  await lessor.grant(2n, 10);
  await put(store, "a", 1n);
  await put(store, "b", 2n);
  clock.passSeconds(6);
  assertEquals(lessor.timeToLive(1n), { ttlSeconds: 4, grantedTtlSeconds: 10 });
  assertEquals(await lessor.renew(2n), 10);
  clock.passSeconds(5);
  await lessor.tick();
  assertEquals(await keys(store), ["b"]);
  assertEquals(lessor.leases(), [2n]);
  assertThrows(() => lessor.timeToLive(1n), StoreError, "not there");
  clock.passSeconds(6);
  assertEquals(await codeOf(lessor.renew(2n)), "lease_not_found", "due but not yet revoked");
  assertEquals(await keys(store), []);
});

Deno.test("Lessor: what a lease has left survives a restart; the time in between does not count", async () => {
  const medium = createMemoryMedium();
  const clock = new TestClock();
  {
    await using store = await openStore(testStoreOptions({ log: createMemoryLog(medium) }));
    const lessor = await open(store, clock);
    await lessor.grant(1n, 100);
    await lessor.grant(2n, 100);
    await put(store, "a", 1n);
    clock.passSeconds(60);
    await lessor.close();
  }
  clock.passSeconds(1000);
  await using store = await openStore(testStoreOptions({ log: createMemoryLog(medium) }));
  const lessor = await open(store, clock);
  assertEquals(lessor.timeToLive(1n), { ttlSeconds: 40, grantedTtlSeconds: 100 });
  assertEquals(lessor.keys(1n).map(text), ["a"]);
  await lessor.renew(2n);
  clock.passSeconds(41);
  await lessor.tick();
  assertEquals(await keys(store), []);
  assertEquals(lessor.leases(), [2n]);
});

Deno.test("Lessor.tick() writes down what is left, so that a crash takes back little", async () => {
  const medium = createMemoryMedium();
  const clock = new TestClock();
  const store = await openStore(testStoreOptions({ log: createMemoryLog(medium) }));
  const lessor = await open(store, clock);
  await lessor.grant(1n, 1000);
  for (let i = 0; i < 5; i++) {
    clock.passSeconds(100);
    await lessor.tick();
  }
  await lessor.grant(2n, 1000);
  await lessor.renew(1n);
  // No close: as if the process had been killed here.
  await store[Symbol.asyncDispose]();
  await using again = await openStore(testStoreOptions({ log: createMemoryLog(medium) }));
  const after = await open(again, clock);
  assertEquals(after.timeToLive(1n).ttlSeconds, 1000, "a renewal that was promised holds");
  assertEquals(after.timeToLive(2n).ttlSeconds, 1000);
});
