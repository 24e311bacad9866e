/** Records out of the SQLite file, in pages. */
import type { DatabaseSync } from "node:sqlite";
import type { Bytes } from "../../backends/mod.ts";
import { release } from "../bytes.ts";
import { StoreError } from "../errors.ts";
import { type LogChunk, type LogPage, nothingToReplace } from "../log.ts";
import { blob, integer } from "./sqlite_file.ts";

/** A page stops at this size. */
const PAGE_BYTES = 1 << 20;
const PAGE_RECORDS = 2048;
/** Some 50 KiB each: one at a time, a large store's opening would mostly wait for the other thread. */
const PAGE_CHUNKS = 16;

interface Row {
  readonly position: number;
  readonly tag: Bytes;
  readonly rest: Bytes;
}

/** Up to a page of records from a position on, and whether there is none behind it. */
export function readPage(
  database: DatabaseSync | undefined,
  from: number,
): { readonly page: LogPage; readonly end: boolean } {
  if (database === undefined) return { page: pageOf([]), end: true };
  const rows: Row[] = [];
  let size = 0;
  const found = database.prepare(
    "SELECT position, tag, rest FROM records WHERE position >= ? ORDER BY position",
  ).iterate(from);
  for (const one of found) {
    const row = rowOf(one);
    rows.push(row);
    size += row.tag.length + row.rest.length;
    if (size >= PAGE_BYTES || rows.length >= PAGE_RECORDS) {
      return { page: pageOf(rows), end: false };
    }
  }
  // A step that fails ends the iteration as the last row does: only a question of its own tells.
  const last = rows.at(-1)?.position ?? from - 1;
  if (
    database.prepare("SELECT 1 FROM records WHERE position > ? LIMIT 1").get(last) !== undefined
  ) {
    throw new StoreError("io", `the records behind position ${last} cannot be read`, {
      hint: "check the health of the disk, then start again",
    });
  }
  return { page: pageOf(rows), end: true };
}

/**
 * The first of the records at these positions, as many as make a page.
 * @throws {StoreError} `record_missing`
 */
export function readRecords(
  database: DatabaseSync | undefined,
  positions: readonly number[],
): LogPage {
  if (database === undefined || positions.length === 0) return pageOf([]);
  const statement = database.prepare("SELECT position, tag, rest FROM records WHERE position = ?");
  const rows: Row[] = [];
  let size = 0;
  for (const position of positions) {
    const found = statement.get(position);
    if (found === undefined) throw nothingToReplace(position);
    const row = rowOf(found);
    rows.push(row);
    size += row.tag.length + row.rest.length;
    if (size >= PAGE_BYTES) break;
  }
  return pageOf(rows);
}

function rowOf(row: Readonly<Record<string, unknown>>): Row {
  return {
    position: integer(row["position"]),
    tag: blob(row["tag"]),
    rest: blob(row["rest"]),
  };
}

function pageOf(rows: readonly Row[]): LogPage {
  const lengths = Uint32Array.from(rows, ({ tag, rest }) => tag.length + rest.length);
  const bytes = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
  let offset = 0;
  for (const { tag, rest } of rows) {
    const end = offset + rest.length + tag.length;
    bytes.set(rest, offset);
    bytes.set(tag, offset + rest.length);
    release(rest);
    offset = end;
  }
  return { positions: Float64Array.from(rows, (row) => row.position), lengths, bytes };
}

/** The next chunks of the index checkpoint from this number on; none at the end. */
export function readChunks(database: DatabaseSync | undefined, from: number): LogChunk[] {
  const rows = database?.prepare(
    "SELECT chunk, bytes FROM checkpoint WHERE chunk >= ? ORDER BY chunk LIMIT ?",
  ).all(from, PAGE_CHUNKS) ?? [];
  return rows.map((row) => ({ chunk: integer(row["chunk"]), bytes: blob(row["bytes"]) }));
}
