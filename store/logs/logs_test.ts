import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { durableLogSuite } from "../../tests/conformance/durable_log_suite.ts";
import { StoreError } from "../errors.ts";
import { createMemoryLog, createMemoryMedium } from "./memory.ts";
import { openSqliteLog } from "./sqlite.ts";

function spawnWorker(name: string): Worker {
  return new Worker(import.meta.resolve("./sqlite_worker_entry.ts"), { type: "module", name });
}

durableLogSuite("memory", () => {
  const medium = createMemoryMedium();
  return Promise.resolve({
    open: () => createMemoryLog(medium),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
});

for (
  const [name, options] of [["sqlite in this thread", {}], ["sqlite", { spawnWorker }]] as const
) {
  durableLogSuite(name, async () => {
    const folder = await Deno.makeTempDir();
    return {
      open: () => openSqliteLog({ path: `${folder}/store.db`, ...options }),
      [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
    };
  });
}

for (
  const [where, options] of [["in this thread", {}], ["in its worker", { spawnWorker }]] as const
) {
  Deno.test(`reclaim() ${where} gives the medium back what is free, and appends go on meanwhile`, async () => {
    const folder = await Deno.makeTempDir();
    {
      await using log = openSqliteLog({ path: `${folder}/store.db`, ...options });
      const append = (position: number, size: number, removals: readonly number[] = []) =>
        log.append({
          firstPosition: position,
          lengths: Uint32Array.of(size),
          bytes: new Uint8Array(size),
          removals: Float64Array.from(removals),
          head: Uint8Array.of(1),
        });
      await append(0, 100);
      for (let i = 1; i <= 100; i++) await append(i, 100_000);
      const full = await log.size();
      await append(101, 100, Array.from({ length: 100 }, (_, i) => i + 1));
      const emptied = await log.size();
      assert(emptied.bytesInUse < full.bytesInUse / 10);
      assert(emptied.bytes >= full.bytes);
      const reclaimed = log.reclaim();
      await append(102, 100);
      await reclaimed;
      const small = await log.size();
      assert(small.bytes < full.bytes / 10, `${small.bytes} of ${full.bytes}`);
      assertEquals((await log.read([0, 50, 101, 102])).map((record) => record?.length), [
        100,
        undefined,
        100,
        100,
      ]);
    }
    await Deno.remove(folder, { recursive: true });
  });
}

Deno.test("append() gives free pages back by and by once they are many and a quarter of the file", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/store.db`;
  {
    await using log = openSqliteLog({ path });
    const append = (position: number, size: number, removals: readonly number[] = []) =>
      log.append({
        firstPosition: position,
        lengths: Uint32Array.of(size),
        bytes: new Uint8Array(size),
        removals: Float64Array.from(removals),
        head: Uint8Array.of(1),
      });
    for (let i = 0; i < 24; i++) await append(i, 1 << 20);
    for (let i = 0; i < 24; i++) await append(24 + i, 100, [i]);
  }
  const pages = () => {
    using database = new DatabaseSync(path, { readOnly: true });
    return Number(database.prepare("PRAGMA freelist_count").get()?.["freelist_count"]);
  };
  // Of the 1,536 pages that went, fewer are left than ask to be given back.
  assert(pages() < 1024, `${pages()} free pages`);
  await Deno.remove(folder, { recursive: true });
});

async function withFile(
  prepare: (path: string) => void | Promise<void>,
  check: (error: StoreError) => void,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/store.db`;
  try {
    await prepare(path);
    await using log = openSqliteLog({ path });
    check(await assertRejects(() => log.start(), StoreError));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("openSqliteLog() refuses a file that is no database", async () => {
  await withFile(
    (path) => Deno.writeTextFile(path, "not a database".repeat(1000)),
    (error) => assertEquals(error.code, "format"),
  );
});

Deno.test("openSqliteLog() refuses another program's database, and triggers in its own", async () => {
  await withFile((path) => {
    using database = new DatabaseSync(path);
    database.exec("CREATE TABLE records (position INTEGER PRIMARY KEY)");
  }, (error) => {
    assertEquals(error.code, "format");
    assertStringIncludes(error.message, "not a log of this program");
  });
  await withFile(async (path) => {
    await using log = openSqliteLog({ path });
    await log.append({
      firstPosition: 0,
      lengths: new Uint32Array(0),
      bytes: new Uint8Array(0),
      removals: new Float64Array(0),
      head: new Uint8Array(1),
    });
    await log[Symbol.asyncDispose]();
    using database = new DatabaseSync(path);
    database.exec("CREATE TRIGGER t AFTER INSERT ON records BEGIN DELETE FROM head; END");
  }, (error) => assertEquals(error.code, "format"));
});

Deno.test("openSqliteLog() says that a folder is missing", async () => {
  await using log = openSqliteLog({ path: "/nonexistent/folder/store.db", spawnWorker });
  const error = await assertRejects(() =>
    log.append({
      firstPosition: 0,
      lengths: new Uint32Array(0),
      bytes: new Uint8Array(0),
      removals: new Float64Array(0),
      head: new Uint8Array(1),
    }), StoreError);
  assertEquals(error.code, "io");
});

for (const removed of ["store.db", "store.db-wal", "the folder"]) {
  Deno.test(`openSqliteLog() stops when ${removed} is removed under it`, async () => {
    const folder = await Deno.makeTempDir();
    const one = (firstPosition: number) => ({
      firstPosition,
      lengths: Uint32Array.of(20),
      bytes: new Uint8Array(20),
      removals: new Float64Array(0),
      head: new Uint8Array(1),
    });
    try {
      await using log = openSqliteLog({ path: `${folder}/store.db`, spawnWorker });
      await log.append(one(0));
      await log.append(one(1));
      if (removed === "the folder") await Deno.remove(folder, { recursive: true });
      else await Deno.remove(`${folder}/${removed}`);
      const error = await assertRejects(() => log.append(one(2)), StoreError);
      assertEquals(error.code, "io");
      assertStringIncludes(error.message, "was removed or replaced");
      await assertRejects(() => log.append(one(3)), StoreError);
    } finally {
      await Deno.remove(folder, { recursive: true }).catch(() => {});
    }
  });
}

for (
  const [name, options] of [["in this thread", {}], ["in its worker", { spawnWorker }]] as const
) {
  Deno.test(`openSqliteLog() folds the write-ahead log behind its appends, ${name}`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      await using log = openSqliteLog({ path: `${folder}/store.db`, ...options });
      const length = 300_000;
      for (let position = 0; position < 20; position++) {
        await log.append({
          firstPosition: position,
          lengths: Uint32Array.of(length),
          bytes: new Uint8Array(length).fill(position),
          removals: new Float64Array(0),
          head: new Uint8Array(1),
        });
      }
      // Two MiB twice, and what came behind them stands in the write-ahead log.
      const { size } = await Deno.stat(`${folder}/store.db`);
      assert(size >= 4 << 20, `${size} bytes in the file`);
      const wal = await Deno.stat(`${folder}/store.db-wal`);
      assert(wal.size <= 4 << 20, `${wal.size} bytes in the write-ahead log`);
      const records = await log.read([0, 19]);
      assertEquals(records.map((record) => record?.at(-1)), [0, 19]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
