/** What the SQLite log writes with, prepared once. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { type CheckpointChange, type LogReplacements, nothingToReplace } from "../log.ts";
import { TAG_BYTES } from "../record.ts";

export interface Statements {
  readonly insert: StatementSync;
  readonly replace: StatementSync;
  readonly remove: StatementSync;
  readonly head: StatementSync;
  readonly keyring: StatementSync;
  readonly putChunk: StatementSync;
  readonly removeChunk: StatementSync;
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
