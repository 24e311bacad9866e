/** What the SQLite log writes with, prepared once. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import {
  type CheckpointChange,
  type LogAppend,
  type LogReplacements,
  nothingToReplace,
} from "../log.ts";
import { TAG_BYTES } from "../record.ts";
import { PAGE_BYTES } from "./sqlite_file.ts";

/** Pages that a commit writes besides its records: the head, the tables' inner and first ones. */
const PAGES_PER_COMMIT = 3;

export interface Statements {
  readonly insert: StatementSync;
  readonly replace: StatementSync;
  readonly remove: StatementSync;
  readonly head: StatementSync;
  readonly keyring: StatementSync;
  readonly putChunk: StatementSync;
  readonly removeChunk: StatementSync;
  /** Asked in every append that removes: a statement made for each would wait for a collection. */
  readonly freePages: StatementSync;
  readonly allPages: StatementSync;
}

export function prepareStatements(database: DatabaseSync): Statements {
  return {
    insert: database.prepare("INSERT INTO records (position, tag, rest) VALUES (?, ?, ?)"),
    replace: database.prepare("UPDATE records SET tag = ?, rest = ? WHERE position = ?"),
    remove: database.prepare("DELETE FROM records WHERE position = ?"),
    head: database.prepare(
      "INSERT INTO head (id, record) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
    ),
    keyring: database.prepare(
      "INSERT INTO keyring (id, bytes) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET bytes = excluded.bytes",
    ),
    putChunk: database.prepare(
      "INSERT INTO checkpoint (chunk, bytes) VALUES (?, ?) ON CONFLICT (chunk) DO UPDATE SET bytes = excluded.bytes",
    ),
    removeChunk: database.prepare("DELETE FROM checkpoint WHERE chunk = ?"),
    freePages: database.prepare("PRAGMA freelist_count"),
    allPages: database.prepare("PRAGMA page_count"),
  };
}

/** @throws {StoreError} `record_missing` where a place is empty */
export function replaceRecords(
  statements: Statements,
  replacements: LogReplacements | undefined,
): void {
  let offset = 0;
  replacements?.positions.forEach((position, i) => {
    const end = offset + replacements.lengths[i]!;
    const tag = replacements.bytes.subarray(end - TAG_BYTES, end);
    const rest = replacements.bytes.subarray(offset, end - TAG_BYTES);
    const { changes } = statements.replace.run(tag, rest, position);
    if (Number(changes) !== 1) throw nothingToReplace(position);
    offset = end;
  });
}

export function changeChunk(statements: Statements, change: CheckpointChange): void {
  if (change.bytes === undefined) statements.removeChunk.run(change.chunk);
  else statements.putChunk.run(change.chunk, change.bytes);
}

/** What the write-ahead log grows by with an append, about. A removal changes a page of its own. */
export function writtenBy(
  { bytes, removals, replacements }: LogAppend,
): { readonly bytes: number; readonly pages: number } {
  const elsewhere = removals.length + pagesOf(replacements);
  return {
    bytes: bytes.length + elsewhere * PAGE_BYTES,
    pages: PAGES_PER_COMMIT + Math.ceil(bytes.length / PAGE_BYTES) + elsewhere,
  };
}

/** Pages that replacements change: those that follow on one another stand together. */
function pagesOf(replacements: LogReplacements | undefined): number {
  if (replacements === undefined) return 0;
  const { positions, bytes } = replacements;
  let runs = 0;
  positions.forEach((position, i) => {
    if (i === 0 || position !== positions[i - 1]! + 1) runs++;
  });
  return Math.min(positions.length, runs + Math.ceil(bytes.length / PAGE_BYTES));
}
