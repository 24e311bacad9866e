/**
 * A log's file that is filled from a backup: nothing is durable before `finish`, and without a head
 * it is no store. Synchronous, for a command of its own.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { Bytes } from "../../backends/mod.ts";
import { StoreError } from "../errors.ts";
import { type LogCopyPart, type LogPage, nothingToReplace } from "../log.ts";
import { TAG_BYTES } from "../record.ts";
import { createDatabase, harden } from "./sqlite_file.ts";
import { readPage } from "./sqlite_pages.ts";

const WAL_PAGES = 1024;
const CACHE_KIB = 8 * 1024;

export interface RestoreEnd {
  readonly head: Bytes;
  readonly keyring: Bytes;
  /** One more record. */
  readonly position: number;
  readonly record: Bytes;
}

export class RestoreFile implements Disposable {
  readonly #path: string;
  readonly #database: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #replace: StatementSync;
  readonly #remove: StatementSync;
  #isOpen = true;

  /** @param path of a file that is not there, in a folder that is @throws {StoreError} `io` */
  constructor(path: string) {
    this.#path = path;
    createDatabase(path);
    this.#database = new DatabaseSync(path, { allowExtension: false });
    const pragmas = [
      "locking_mode = EXCLUSIVE",
      "journal_mode = WAL",
      "synchronous = OFF",
      `wal_autocheckpoint = ${WAL_PAGES}`,
      `cache_size = -${CACHE_KIB}`,
    ];
    for (const pragma of pragmas) this.#database.exec(`PRAGMA ${pragma}`);
    harden(this.#database);
    const prepare = (sql: string) => this.#database.prepare(sql);
    this.#insert = prepare("INSERT INTO records (position, tag, rest) VALUES (?, ?, ?)");
    this.#replace = prepare("UPDATE records SET tag = ?, rest = ? WHERE position = ?");
    this.#remove = prepare("DELETE FROM records WHERE position = ?");
  }

  /** @throws {StoreError} `backup_altered` where a part contradicts those before it; `io` */
  add({ page, changed, removals }: LogCopyPart): void {
    this.#transaction(() => {
      for (const position of removals) {
        if (this.#remove.run(position).changes !== 1) throw nothingToReplace(position);
      }
      forEachRecord(changed, (position, tag, rest) => {
        if (this.#replace.run(tag, rest, position).changes !== 1) throw nothingToReplace(position);
      });
      forEachRecord(page, (position, tag, rest) => this.#insert.run(position, tag, rest));
    });
  }

  /** Everything that was added, in position order. */
  *pages(): Iterable<LogPage> {
    let from = 0;
    for (;;) {
      const { page, end } = readPage(this.#database, from);
      yield page;
      if (end) return;
      from = page.positions.at(-1)! + 1;
    }
  }

  /** Makes it a whole log, on the medium. */
  finish({ head, keyring, position, record }: RestoreEnd): void {
    this.#transaction(() => {
      const tagAt = record.length - TAG_BYTES;
      this.#insert.run(position, record.subarray(tagAt), record.subarray(0, tagAt));
      this.#database.prepare("INSERT INTO head (id, record) VALUES (1, ?)").run(head);
      this.#database.prepare("INSERT INTO keyring (id, bytes) VALUES (1, ?)").run(keyring);
    });
    this.#guard(() => {
      this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
      this[Symbol.dispose]();
      for (const path of [this.#path, this.#path.replace(/[^/]*$/, "") || "."]) {
        using file = Deno.openSync(path);
        file.syncSync();
      }
    });
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#database.close();
  }

  #transaction(action: () => void): void {
    this.#guard(() => {
      this.#database.exec("BEGIN IMMEDIATE");
      action();
      this.#database.exec("COMMIT");
    });
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause);
      if (cause instanceof StoreError || /UNIQUE constraint/.test(message)) {
        throw new StoreError("backup_altered", `the backup contradicts itself: ${message}`, {
          cause,
          hint: "take another backup",
        });
      }
      throw new StoreError("io", `the restored log ${this.#path} cannot be written: ${message}`, {
        cause,
        hint: "check free space and permissions, then restore again",
      });
    }
  }
}

function forEachRecord(
  { positions, lengths, bytes }: LogPage,
  visit: (position: number, tag: Bytes, rest: Bytes) => void,
): void {
  let offset = 0;
  for (let i = 0; i < positions.length; i++) {
    const end = offset + lengths[i]!;
    const tagAt = Math.max(offset, end - TAG_BYTES);
    visit(positions[i]!, bytes.subarray(tagAt, end), bytes.subarray(offset, tagAt));
    offset = end;
  }
}
