/** The store's own checks of what it is asked: field named, value refused. */
import type { Bytes } from "../backends/mod.ts";
import { toBinaryString } from "./bytes.ts";
import { keyspaceNumber } from "./entry.ts";
import { StoreError } from "./errors.ts";
import type { KeyRange, Operation, TxnRequest } from "./types.ts";

/** Limits that the store itself needs; the fronts set narrower ones. */
export const MAX_KEY_BYTES = 64 * 1024;
export const MAX_VALUE_BYTES = 64 * 1024 * 1024;

/** A range as the index wants it. A single key is [key, key + zero byte). */
export interface IndexRange {
  readonly start: string;
  /** Undefined: to the last key. */
  readonly end: string | undefined;
  readonly single: boolean;
}

/** @throws {StoreError} `invalid_request`, `too_large` */
export function indexRange(range: KeyRange): IndexRange {
  const start = indexKey(range.key);
  const { rangeEnd } = range;
  if (isSingle(range) || rangeEnd === undefined) {
    return { start, end: start + "\0", single: true };
  }
  if (rangeEnd.length === 1 && rangeEnd[0] === 0) return { start, end: undefined, single: false };
  return { start, end: toBinaryString(rangeEnd), single: false };
}

/** Whether the range is one key. */
export function isSingle({ rangeEnd }: KeyRange): boolean {
  return rangeEnd === undefined || rangeEnd.length === 0;
}

/** @throws {StoreError} `invalid_request`, `too_large` */
export function indexKey(key: Bytes): string {
  checkKey(key);
  return toBinaryString(key);
}

/** @throws {StoreError} `invalid_request`, `too_large` */
function checkKey(key: Bytes): void {
  if (key.length === 0) throw new StoreError("invalid_request", "key: must not be empty");
  if (key.length > MAX_KEY_BYTES) {
    throw new StoreError("too_large", `key: ${key.length} bytes, at most ${MAX_KEY_BYTES}`);
  }
}

/** @throws {StoreError} `invalid_request` */
export function checkCount(name: string, value: number | undefined): number {
  if (value === undefined) return 0;
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new StoreError("invalid_request", `${name}: ${value} is not a count`);
  }
  return value;
}

interface Writes {
  readonly puts: Set<string>;
  readonly deletes: { readonly keyspace: number; readonly start: string; readonly end: string }[];
  /** Whether it deletes what no put is held against: a lease's keys, or (as in etcd) all from a key on. */
  others: boolean;
}

/** Of an empty branch; never added to. */
const NO_WRITES: Writes = { puts: new Set(), deletes: [], others: false };

/**
 * Checks every operation, and refuses a key that a transaction would change twice, as etcd does:
 * put twice, or put and deleted, where the branches of one nested transaction exclude each other.
 * @returns whether the transaction can change anything.
 * @throws {StoreError} `duplicate_key`, `invalid_request`, `too_large`, `lease_not_found`
 */
export function checkTxn(request: TxnRequest): boolean {
  for (const compare of request.compare) checkKey(compare.key);
  const success = collectWrites(request.success);
  const failure = collectWrites(request.failure);
  return [success, failure].some((w) => w.puts.size > 0 || w.deletes.length > 0 || w.others);
}

function collectWrites(operations: readonly Operation[]): Writes {
  if (operations.length === 0) return NO_WRITES;
  const writes: Writes = { puts: new Set(), deletes: [], others: false };
  for (const operation of operations) {
    if (operation.type === "delete") {
      const { start, end } = indexRange(operation);
      if (end === undefined) writes.others = true;
      else writes.deletes.push({ keyspace: keyspaceNumber(operation.keyspace), start, end });
    } else if (operation.type === "delete_leased") {
      writes.others = true;
    } else if (operation.type === "range") {
      checkKey(operation.key);
      checkCount("limit", operation.limit);
      checkCount("revision", operation.revision);
    }
  }
  for (const operation of operations) {
    if (operation.type !== "txn") continue;
    for (const compare of operation.txn.compare) checkKey(compare.key);
    const then = collectWrites(operation.txn.success);
    const otherwise = collectWrites(operation.txn.failure);
    for (const put of then.puts) addPut(writes, put, undefined);
    for (const put of otherwise.puts) addPut(writes, put, then.puts);
    writes.deletes.push(...then.deletes, ...otherwise.deletes);
    writes.others ||= then.others || otherwise.others;
  }
  for (const operation of operations) {
    if (operation.type !== "put") continue;
    if (operation.value.length > MAX_VALUE_BYTES) {
      throw new StoreError(
        "too_large",
        `value: ${operation.value.length} bytes, at most ${MAX_VALUE_BYTES}`,
      );
    }
    if ((operation.lease ?? 0n) !== 0n && operation.keyspace !== "etcd") {
      throw new StoreError("invalid_request", `lease: ${operation.keyspace} has no leases`);
    }
    addPut(writes, `${keyspaceNumber(operation.keyspace)}${indexKey(operation.key)}`, undefined);
  }
  return writes;
}

function addPut(writes: Writes, put: string, exclusive: ReadonlySet<string> | undefined): void {
  const duplicate = (writes.puts.has(put) && exclusive?.has(put) !== true) ||
    writes.deletes.some(({ keyspace, start, end }) => {
      const key = put.slice(1);
      return put.charCodeAt(0) === 48 + keyspace && key >= start && key < end;
    });
  if (duplicate) {
    throw new StoreError("duplicate_key", "the transaction changes one key twice");
  }
  writes.puts.add(put);
}
