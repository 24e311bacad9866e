/** The directory is taken away, shared or torn under the store. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { StoreError } from "../../store/errors.ts";
import { openSqliteLog } from "../../store/logs/sqlite.ts";
import type { Store } from "../../store/types.ts";
import { commit, listing, openTestStore, put } from "../fakes/test_store.ts";
import { checkLeftover, runWriter } from "./writer_process.ts";

const PAGE_BYTES = 16_384;

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function openAt(path: string): Promise<Store> {
  return openTestStore({ log: openSqliteLog({ path }) });
}

Deno.test("a directory that is moved away stops the store, and holds what was acknowledged", async () => {
  await inFolder(async (parent) => {
    const folder = `${parent}/data`;
    await Deno.mkdir(folder);
    const run = await runWriter(folder, 0, {
      onFirst: () => Deno.rename(folder, `${parent}/moved`),
    });
    assertEquals(run.stopped, "io");
    await checkLeftover(`${parent}/moved`, 0, run.acknowledged);
  });
});

Deno.test("a second master that gets past the lock is refused, and the first one goes on", async () => {
  await inFolder(async (folder) => {
    await using first = await openAt(`${folder}/store.db`);
    await commit(first, put("etcd", "k", "1"));
    const refusal = await assertRejects(() => openAt(`${folder}/store.db`), StoreError);
    assertEquals(refusal.code, "io");
    await commit(first, put("etcd", "k", "2"));
    assertEquals(await listing(first, "etcd"), ["k=2"]);
  });
});

Deno.test("a page that was written by half is refused, or was in nobody's use", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/store.db`;
    const write = async (value: string) => {
      await using store = await openAt(path);
      for (let i = 0; i < 60; i++) await commit(store, put("etcd", `k${i}`, value.repeat(1_000)));
      return await listing(store, "etcd");
    };
    await write("a");
    const older = await Deno.readFile(path);
    const expected = await write("b");
    const newer = await Deno.readFile(path);
    let refused = 0;
    for (let at = 0; at < older.length; at += PAGE_BYTES) {
      const torn = newer.slice();
      torn.set(older.subarray(at + PAGE_BYTES / 2, at + PAGE_BYTES), at + PAGE_BYTES / 2);
      if (torn.every((byte, i) => byte === newer[i])) continue;
      const copy = `${folder}/torn.db`;
      await Deno.writeFile(copy, torn);
      try {
        await using store = await openTestStore({
          log: openSqliteLog({ path: copy }),
          mode: "open",
          readOnly: true,
        });
        assertEquals(await listing(store, "etcd"), expected, `page ${at / PAGE_BYTES}`);
      } catch (error) {
        assert(error instanceof StoreError, `page ${at / PAGE_BYTES}: ${error}`);
        refused++;
      }
    }
    assert(refused > 0, "no torn page was noticed");
  });
});
