import { assertEquals } from "@std/assert";
import { commit, openTestStore, put } from "../../tests/fakes/test_store.ts";
import { AutoCompactor } from "./auto_compaction.ts";

Deno.test("AutoCompactor keeps the newest revisions in revision mode", async () => {
  await using store = await openTestStore();
  let now = 0;
  const compactor = new AutoCompactor(store, () => now, { mode: "revision", retention: 5 });
  for (let i = 0; i < 20; i++) await commit(store, put("etcd", "k", String(i)));
  assertEquals(await compactor.tick(), 16);
  assertEquals(store.compactedRevision("etcd"), 16);
  await commit(store, put("etcd", "k", "more"));
  assertEquals(await compactor.tick(), undefined, "not before its interval");
  now += 300_000;
  assertEquals(await compactor.tick(), 17);
});

Deno.test("AutoCompactor forgets what is older than the retention in periodic mode", async () => {
  await using store = await openTestStore();
  let now = 0;
  const retentionMs = 3_600_000;
  const compactor = new AutoCompactor(store, () => now, { mode: "periodic", retentionMs });
  const compacted: (number | undefined)[] = [];
  for (let step = 0; step < 13; step++) {
    await commit(store, put("etcd", "k", String(step)));
    compacted.push(await compactor.tick());
    now += retentionMs / 10;
  }
  // The first look saw revision 2; an hour later it goes, then one revision a look.
  assertEquals(compacted, [...Array(10).fill(undefined), 2, 3, 4]);
});

Deno.test("AutoCompactor does nothing when it is off", async () => {
  await using store = await openTestStore();
  await commit(store, put("etcd", "k", "v"));
  assertEquals(await new AutoCompactor(store, () => 0, { mode: "off" }).tick(), undefined);
});

Deno.test("AutoCompactor keeps the history of the keyspace that it is given", async () => {
  await using store = await openTestStore();
  let now = 0;
  const mode = { mode: "periodic", retentionMs: 300_000 } as const;
  const compactor = new AutoCompactor(store, () => now, mode, "k8s");
  for (let i = 0; i < 5; i++) {
    await commit(store, put("k8s", "k", String(i)));
    await commit(store, put("etcd", "k", String(i)));
  }
  const then = store.revision("k8s");
  await compactor.tick();
  await commit(store, put("k8s", "k", "more"));
  now += 300_000;
  assertEquals(await compactor.tick(), then);
  assertEquals([store.compactedRevision("k8s"), store.compactedRevision("etcd")], [then, 0]);
});
