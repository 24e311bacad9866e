/** The SQLite file of the log: its schema, how it is made, and what is taken from it. */
import { DatabaseSync } from "node:sqlite";
import type { Bytes } from "../../backends/mod.ts";
import { StoreError } from "../errors.ts";

/** "NTEE" */
const APPLICATION_ID = 0x4e544545;
const SCHEMA_VERSION = 1;
const SCHEMA: readonly string[] = [
  "CREATE TABLE records (position INTEGER PRIMARY KEY, tag BLOB NOT NULL, rest BLOB NOT NULL) STRICT",
  "CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 1), record BLOB NOT NULL) STRICT",
  "CREATE TABLE keyring (id INTEGER PRIMARY KEY CHECK (id = 1), bytes BLOB NOT NULL) STRICT",
  "CREATE TABLE checkpoint (chunk INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT",
];
export const PAGE_BYTES = 16_384;

/** Whole and empty under its name, or not there: a crash in between leaves nothing in the way. */
export function createDatabase(path: string): void {
  const temporary = `${path}.new`;
  for (const suffix of ["", "-journal", "-wal", "-shm"]) {
    if (isThere(temporary + suffix)) Deno.removeSync(temporary + suffix);
  }
  Deno.openSync(temporary, { createNew: true, write: true, mode: 0o600 }).close();
  const database = new DatabaseSync(temporary, { allowExtension: false });
  try {
    database.exec(`PRAGMA page_size = ${PAGE_BYTES}`);
    database.exec("PRAGMA auto_vacuum = INCREMENTAL");
    database.exec("PRAGMA synchronous = FULL");
    database.exec("BEGIN IMMEDIATE");
    for (const statement of SCHEMA) database.exec(statement);
    database.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
    database.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
    database.exec("COMMIT");
    // For good: with a rollback journal a crash could leave a file that only a writer can read.
    database.exec("PRAGMA journal_mode = WAL");
  } finally {
    database.close();
  }
  Deno.renameSync(temporary, path);
  using folder = Deno.openSync(path.replace(/[^/]*$/, "") || ".");
  folder.syncSync();
}

/** A hostile file must not make SQLite run anything. */
export function harden(database: DatabaseSync): void {
  database.exec("PRAGMA trusted_schema = OFF");
  database.exec("PRAGMA cell_size_check = ON");
  database.exec("PRAGMA mmap_size = 0");
}

/** @throws {StoreError} `format` on triggers, views, other tables or another version */
export function checkSchema(database: DatabaseSync, path: string): void {
  const found = database.prepare("SELECT sql FROM sqlite_schema ORDER BY rowid").all()
    .map((row) => String(row["sql"]));
  const version = pragma(database, "user_version");
  const application = pragma(database, "application_id");
  const same = found.length === SCHEMA.length && found.every((sql, i) => sql === SCHEMA[i]);
  if (same && version === SCHEMA_VERSION && application === APPLICATION_ID) return;
  throw new StoreError(
    "format",
    `${path} is not a log of this program: schema version ${version}, known is ${SCHEMA_VERSION}; ${
      same ? "the tables are the known ones" : "its tables are not the known ones"
    }`,
    { hint: "put back the whole data directory, or restore a backup" },
  );
}

export function pragma(database: DatabaseSync, name: string): number {
  const row = database.prepare(`PRAGMA ${name}`).get();
  return integer(row?.[name]);
}

export function isThere(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

export function blob(value: unknown): Bytes {
  if (value instanceof Uint8Array) {
    return value.buffer instanceof ArrayBuffer
      ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
      : value.slice();
  }
  throw new StoreError("format", `the log holds ${typeof value} where bytes belong`);
}

export function integer(value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value)) return value;
  throw new StoreError("format", `the log holds ${String(value)} where a number belongs`);
}
