import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
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
