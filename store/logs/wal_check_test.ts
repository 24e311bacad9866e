import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { StoreError } from "../errors.ts";
import { checkWal } from "./wal_check.ts";

/** A write-ahead log of `commits` transactions as SQLite writes it, copied while it is open. */
async function sqliteWal(
  commits: number,
): Promise<{ path: string; bytes: Uint8Array<ArrayBuffer> }> {
  const folder = await Deno.makeTempDir();
  const database = new DatabaseSync(`${folder}/db`);
  database.exec("PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
  database.exec("CREATE TABLE t (v BLOB)");
  for (let i = 1; i < commits; i++) {
    database.prepare("INSERT INTO t VALUES (?)").run(crypto.getRandomValues(new Uint8Array(3000)));
  }
  const bytes = new Uint8Array(await Deno.readFile(`${folder}/db-wal`));
  database.close();
  const path = `${folder}/copy-wal`;
  await Deno.writeFile(path, bytes);
  return { path, bytes };
}

Deno.test("checkWal() takes a whole log, none, an empty one, and one that is torn at its end", async () => {
  const { path, bytes } = await sqliteWal(20);
  checkWal(path);
  checkWal(`${path}-none`);
  for (const length of [0, 31, 32, bytes.length - 1, bytes.length - 8192]) {
    await Deno.writeFile(path, bytes.subarray(0, length));
    checkWal(path);
  }
  const torn = bytes.slice();
  torn[bytes.length - 100]! ^= 1;
  await Deno.writeFile(path, torn);
  checkWal(path);
});

Deno.test("checkWal() finds every flipped bit that SQLite would answer by dropping commits", async () => {
  const { path, bytes } = await sqliteWal(12);
  const frames = (bytes.length - 32) / 8216;
  assert(frames >= 12);
  // The last two transactions may be a torn end; everything before was acknowledged.
  const end = bytes.length - 5 * 8216;
  for (let at = 0; at < end; at += 997) {
    const altered = bytes.slice();
    altered[at]! ^= 1 << (at % 8);
    await Deno.writeFile(path, altered);
    const error = assertThrows(() => checkWal(path), StoreError);
    assertEquals(error.code, "record_altered", `byte ${at}`);
    assertStringIncludes(error.message, "is damaged");
  }
});
