import { assertEquals, assertRejects } from "@std/assert";
import { commit, openTestStore, put } from "../../tests/fakes/test_store.ts";
import type { Store } from "../../store/mod.ts";
import { readSnapshot, SnapshotError, snapshotStream } from "./snapshot.ts";

const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

async function take(store: Store): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const { blob } of snapshotStream(store, random)) parts.push(blob);
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

Deno.test("readSnapshot() gives back every key of snapshotStream(), over several chunks", async () => {
  await using store = await openTestStore();
  for (let i = 0; i < 60; i++) await commit(store, put("etcd", `k${i + 100}`, "v".repeat(10_000)));
  const snapshot = await take(store);
  assertEquals(snapshot.length % 512, 32);
  const { revision, kvs } = await readSnapshot(store, snapshot);
  assertEquals(revision, 61);
  const all = await store.range("etcd", { key: new Uint8Array(1), rangeEnd: new Uint8Array(1) });
  assertEquals(kvs, all.kvs);
});

Deno.test("snapshotStream() of an empty store reads back", async () => {
  await using store = await openTestStore();
  assertEquals((await readSnapshot(store, await take(store))).kvs, []);
});

Deno.test("readSnapshot() refuses what was changed, cut, or is another store's", async () => {
  await using store = await openTestStore();
  await commit(store, put("etcd", "k", "v"));
  const snapshot = await take(store);
  const refuse = async (bytes: Uint8Array<ArrayBuffer>, code: string, by = store) => {
    assertEquals((await assertRejects(() => readSnapshot(by, bytes), SnapshotError)).code, code);
  };
  const flipped = snapshot.slice();
  flipped[100]! ^= 1;
  await refuse(flipped, "digest");
  await refuse(await resum(flipped), "authentication");
  const later = snapshot.slice();
  later[64]! ^= 1; // the revision
  await refuse(await resum(later), "authentication");
  await refuse(snapshot.slice(0, 100), "malformed");
  await using other = await openTestStore();
  await refuse(snapshot, "foreign", other);
});

/** As a forger would: the digest at the end made right again. */
async function resum(snapshot: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const out = snapshot.slice();
  const body = out.subarray(0, out.length - 32);
  out.set(new Uint8Array(await crypto.subtle.digest("SHA-256", body)), body.length);
  return out;
}
