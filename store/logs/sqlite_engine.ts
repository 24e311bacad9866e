/**
 * The log in one SQLite file: WAL, synchronous=FULL, one writer. Synchronous; runs in a worker
 * (sqlite.ts) or, for offline commands, in the thread that asks.
 *
 * The file is opened read-only until the first append, so that a refused opening changes nothing.
 * SQLite is only the medium: its content is not trusted, and its schema must be exactly this one.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { Bytes } from "../../backends/mod.ts";
import { StoreError } from "../errors.ts";
import type {
  LogAppend,
  LogChunk,
  LogCopyPart,
  LogPage,
  LogSize,
  LogStart,
  LogTags,
} from "../log.ts";
import { TAG_BYTES } from "../record.ts";
import { Copies } from "./copies.ts";
import {
  blob,
  checkSchema,
  createDatabase,
  harden,
  integer,
  isThere,
  pragma,
} from "./sqlite_file.ts";
import {
  changeChunk,
  prepareStatements,
  replaceRecords,
  type Statements,
  writtenBy,
} from "./sqlite_statements.ts";
import { readChunks, readPage, readRecords } from "./sqlite_pages.ts";
import { checkWal } from "./wal_check.ts";

/**
 * The write-ahead log is folded into the file behind an append once so many bytes were written: few
 * enough that the next append hardly notices, many enough that it costs no rate.
 */
const FOLD_BYTES = 2 << 20;
/** Or once it has about so many pages, most of them the same ones again: 16 MiB. */
const FOLD_PAGES = 1024;
/** Where that did not happen, in the commit itself. */
const WAL_PAGES = 2 * FOLD_PAGES;
const CACHE_KIB = 8 * 1024;
const TAGS_PER_PAGE = 16384;
/** Free pages given back to the file system in one append, once a quarter of the file is free. */
const VACUUM_PAGES = 256;
const VACUUM_MIN_FREE_PAGES = 1024;

export class SqliteEngine {
  readonly #path: string;
  #database: DatabaseSync | undefined;
  #statements: Statements | undefined;
  #readStatement: StatementSync | undefined;
  #failure: StoreError | undefined;
  /** Whether they were not there before this connection, which only reads. */
  #removesSideFiles = false;
  /** The files that are written to, as device and inode, by suffix. */
  readonly #files = new Map<string, string>();
  #closed = false;
  readonly #copies = new Copies();
  /** What the write-ahead log holds, roughly. */
  #walBytes = 0;
  #walPages = 0;

  constructor(path: string) {
    this.#path = path;
  }

  start(): LogStart {
    return this.#guard(() => {
      const database = this.#readable();
      if (database === undefined) return { head: undefined, keyring: undefined, empty: true };
      return {
        head: this.#one("SELECT record AS bytes FROM head WHERE id = 1"),
        keyring: this.#one("SELECT bytes FROM keyring WHERE id = 1"),
        empty: ["records", "checkpoint"].every((table) =>
          database.prepare(`SELECT 1 FROM ${table} LIMIT 1`).get() === undefined
        ),
      };
    });
  }

  append(append: LogAppend): void {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      this.#guard(() => this.#append(append));
    } catch (error) {
      // What a failed commit left behind is unknown: nothing more is written through this log.
      if (error instanceof StoreError) this.#failure = error;
      throw error;
    }
  }

  /**
   * Folds the write-ahead log into the file, where it is time to. Called when nobody waits for an
   * append that was made; its failure stops the log, as a failed append does.
   */
  foldWal(): void {
    if (this.#walBytes < FOLD_BYTES && this.#walPages < FOLD_PAGES) return;
    if (this.#failure !== undefined || this.#closed) return;
    this.#walBytes = this.#walPages = 0;
    try {
      this.#guard(() => this.#database?.exec("PRAGMA wal_checkpoint(PASSIVE)"));
    } catch (error) {
      if (error instanceof StoreError) this.#failure = error;
    }
  }

  /** Up to a page of records from a position on; empty at the end. */
  replay(from: number): LogPage {
    return this.#guard(() => readPage(this.#readable(), from).page);
  }

  /** The next part of a copy (see copies.ts). */
  copy(id: number): LogCopyPart {
    return this.#guard(() =>
      this.#copies.next(id, {
        page: (from) => readPage(this.#readable(), from),
        records: (positions) => readRecords(this.#readable(), positions),
        head: () => this.#one("SELECT record AS bytes FROM head WHERE id = 1"),
        keyring: () => this.#one("SELECT bytes FROM keyring WHERE id = 1"),
      })
    );
  }

  endCopy(id: number): void {
    this.#copies.end(id);
  }

  /** Up to a page of tags from a position on; empty at the end. */
  tags(from: number): LogTags {
    return this.#guard(() => {
      const rows = this.#readable()?.prepare(
        "SELECT position, tag FROM records WHERE position >= ? ORDER BY position LIMIT ?",
      ).all(from, TAGS_PER_PAGE) ?? [];
      const tags = new Uint8Array(rows.length * TAG_BYTES);
      const positions = new Float64Array(rows.length);
      rows.forEach((row, i) => {
        positions[i] = integer(row["position"]);
        tags.set(blob(row["tag"]).subarray(0, TAG_BYTES), i * TAG_BYTES);
      });
      return { positions, tags };
    });
  }

  read(positions: readonly number[]): (Bytes | undefined)[] {
    return this.#guard(() => {
      const database = this.#readable();
      if (database === undefined) return positions.map(() => undefined);
      this.#readStatement ??= database.prepare("SELECT tag, rest FROM records WHERE position = ?");
      const statement = this.#readStatement;
      return positions.map((position) => {
        const row = statement.get(position);
        if (row === undefined) return undefined;
        const tag = blob(row["tag"]);
        const rest = blob(row["rest"]);
        const record = new Uint8Array(rest.length + tag.length);
        record.set(rest);
        record.set(tag, rest.length);
        return record;
      });
    });
  }

  /** The next chunks of the index checkpoint from this number on; none at the end. */
  checkpoint(from: number): LogChunk[] {
    return this.#guard(() => readChunks(this.#readable(), from));
  }

  size(): LogSize {
    let bytes = 0;
    for (const suffix of ["", "-wal", "-shm"]) {
      try {
        bytes += Deno.statSync(this.#path + suffix).size;
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw ioError("cannot stat the log", error);
      }
    }
    return { bytes, bytesInUse: this.#guard(() => bytesInUse(this.#readable())) };
  }

  /**
   * Gives some free pages back to the file system, and the side file's space after the last of them.
   * A log that nothing was written to stays as it is. Its failure stops the log, as a failed append does.
   * @returns whether there is more to give
   */
  reclaim(): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#statements === undefined) return false;
    try {
      return this.#guard(() => {
        const database = this.#writable();
        vacuumStep(database);
        if (pragma(database, "freelist_count") > 0) return true;
        database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
        this.#walBytes = this.#walPages = 0;
        return false;
      });
    } catch (error) {
      if (error instanceof StoreError) this.#failure = error;
      throw error;
    }
  }

  close(): void {
    this.#closed = true;
    this.#release();
  }

  #one(sql: string): Bytes | undefined {
    const row = this.#readable()?.prepare(sql).get();
    return row === undefined ? undefined : blob(row["bytes"]);
  }

  #append(append: LogAppend): void {
    const database = this.#writable();
    const statements = this.#statements!;
    database.exec("BEGIN IMMEDIATE");
    try {
      let offset = 0;
      for (let i = 0; i < append.lengths.length; i++) {
        const length = append.lengths[i]!;
        if (length === 0) continue;
        const end = offset + length;
        const tagAt = Math.max(offset, end - TAG_BYTES);
        statements.insert.run(
          append.firstPosition + i,
          append.bytes.subarray(tagAt, end),
          append.bytes.subarray(offset, tagAt),
        );
        offset = end;
      }
      replaceRecords(statements, append.replacements);
      for (const position of append.removals) statements.remove.run(position);
      statements.head.run(append.head);
      if (append.keyring !== undefined) statements.keyring.run(append.keyring);
      for (const change of append.checkpoint ?? []) changeChunk(statements, change);
      if (append.removals.length > 0) giveBackSpace(database, statements);
      database.exec("COMMIT");
      this.#noteWritten(append);
      this.#copies.appended(append);
      this.#checkFiles();
      // Into the file itself: a log that is lost with its side file must not look like a new store.
      if (append.keyring !== undefined) database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch (error) {
      rollBack(database);
      throw error;
    }
  }

  #noteWritten(append: LogAppend): void {
    const { bytes, pages } = writtenBy(append);
    this.#walBytes += bytes;
    this.#walPages += pages;
  }

  /** A commit into a file that was removed or replaced is durable nowhere. */
  #checkFiles(): void {
    for (const suffix of ["", "-wal"]) {
      const path = this.#path + suffix;
      let now: string;
      try {
        const { dev, ino } = Deno.statSync(path);
        now = `${dev}:${ino}`;
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
        now = "gone";
      }
      const before = this.#files.get(suffix);
      if (before === undefined && now !== "gone") this.#files.set(suffix, now);
      else if (before !== now) {
        throw new StoreError("io", `${path} was removed or replaced while the store was running`, {
          hint: "put the data directory back, or restore a backup, and start again",
        });
      }
    }
  }

  /** Read-only while nothing was written; undefined where there is no file yet. */
  #readable(): DatabaseSync | undefined {
    if (this.#closed) throw new StoreError("closed", "the log was closed");
    if (this.#database !== undefined) return this.#database;
    if (!isThere(this.#path)) {
      if (isThere(this.#path + "-wal")) {
        throw new StoreError("format", `${this.#path} is missing, but its -wal file is there`, {
          hint: "put back the whole data directory, or restore a backup",
        });
      }
      return undefined;
    }
    checkWal(this.#path + "-wal");
    this.#removesSideFiles = !isThere(this.#path + "-wal") && !isThere(this.#path + "-shm");
    const database = new DatabaseSync(this.#path, { readOnly: true, allowExtension: false });
    try {
      harden(database);
      checkSchema(database, this.#path);
    } catch (error) {
      database.close();
      this.#removeSideFiles();
      throw error;
    }
    this.#database = database;
    return database;
  }

  /** SQLite makes an empty -wal and a -shm even to read, and a read-only connection leaves them. */
  #removeSideFiles(): void {
    if (!this.#removesSideFiles) return;
    this.#removesSideFiles = false;
    for (const suffix of ["-wal", "-shm"]) {
      if (isThere(this.#path + suffix)) Deno.removeSync(this.#path + suffix);
    }
  }

  #writable(): DatabaseSync {
    if (this.#closed) throw new StoreError("closed", "the log was closed");
    if (this.#statements !== undefined) return this.#database!;
    if (isThere(this.#path)) this.#readable();
    else createDatabase(this.#path);
    this.#release();
    const database = new DatabaseSync(this.#path, { allowExtension: false });
    this.#database = database;
    database.exec("PRAGMA locking_mode = EXCLUSIVE");
    database.exec("PRAGMA journal_mode = WAL");
    database.exec("PRAGMA synchronous = FULL");
    database.exec(`PRAGMA wal_autocheckpoint = ${WAL_PAGES}`);
    database.exec(`PRAGMA cache_size = -${CACHE_KIB}`);
    harden(database);
    checkSchema(database, this.#path);
    this.#statements = prepareStatements(database);
    return database;
  }

  #release(): void {
    this.#files.clear();
    this.#statements = undefined;
    this.#readStatement = undefined;
    const database = this.#database;
    this.#database = undefined;
    try {
      database?.close();
      this.#removeSideFiles();
    } catch (error) {
      throw ioError("closing the log failed", error);
    }
  }

  #guard<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      if (error instanceof StoreError) throw error;
      throw ioError(`the log ${this.#path} failed`, error);
    }
  }
}

function rollBack(database: DatabaseSync): void {
  try {
    database.exec("ROLLBACK");
  } catch {
    // SQLite rolls back by itself after most failures, and then this one fails: the first error counts.
  }
}

function giveBackSpace(database: DatabaseSync, statements: Statements): void {
  const free = integer(statements.freePages.get()?.["freelist_count"]);
  if (free < VACUUM_MIN_FREE_PAGES) return;
  if (free * 4 < integer(statements.allPages.get()?.["page_count"])) return;
  vacuumStep(database);
}

function vacuumStep(database: DatabaseSync): void {
  database.prepare(`PRAGMA incremental_vacuum(${VACUUM_PAGES})`).all();
}

function bytesInUse(database: DatabaseSync | undefined): number {
  if (database === undefined) return 0;
  const pages = pragma(database, "page_count") - pragma(database, "freelist_count");
  return pages * pragma(database, "page_size");
}

function ioError(what: string, cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  const damaged = /malformed|not a database|corrupt/i.test(message);
  return new StoreError(damaged ? "format" : "io", `${what}: ${message}`, {
    cause,
    hint: damaged
      ? "the file was damaged, or the disk cannot read it (the system's log tells); put back the whole data directory, or restore a backup"
      : "check free space, permissions and the health of the disk, then start again",
  });
}
