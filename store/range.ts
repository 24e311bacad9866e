/** Which versions answer a range, and the checks of its revision. */
import type { Bytes } from "../backends/mod.ts";
import { StoreError } from "./errors.ts";
import type { Index } from "./index.ts";
import type { Keyspace } from "./keyspace.ts";
import { checkCount, indexKey, indexRange, isSingle } from "./requests.ts";
import type { KeyValue, RangeRequest } from "./types.ts";
import { NO_SLOT } from "./versions.ts";

export interface RangeSlots {
  /** At most `limit`, in key order; empty for count-only. */
  readonly slots: readonly number[];
  readonly more: boolean;
  readonly count: number;
}

/**
 * The revision to read at.
 * @param newest what "now" means to the caller @throws {StoreError} `compacted`, `future_revision`
 */
export function readRevision(
  keyspace: Keyspace,
  asked: number | undefined,
  newest: number,
): number {
  const revision = checkCount("revision", asked);
  if (revision === 0) return newest;
  if (revision > newest) {
    throw new StoreError(
      "future_revision",
      `revision ${revision} of ${keyspace.name} is not there yet, the newest is ${newest}`,
    );
  }
  checkNotCompacted(keyspace, revision, newest);
  return revision;
}

/** @throws {StoreError} `compacted` */
export function checkNotCompacted(keyspace: Keyspace, revision: number, newest: number): void {
  const oldest = keyspace.keepsHistory ? keyspace.compactedRevision : newest;
  if (revision >= oldest) return;
  throw new StoreError(
    "compacted",
    `revision ${revision} of ${keyspace.name} was compacted, the oldest is ${oldest}`,
  );
}

export function selectSlots(
  keyspace: Keyspace,
  request: RangeRequest,
  revision: number,
): RangeSlots {
  const limit = checkCount("limit", request.limit);
  if (isSingle(request)) {
    const slot = keyspace.at(indexKey(request.key), revision);
    const found = slot !== NO_SLOT;
    return {
      slots: found && request.countOnly !== true ? [slot] : NO_SLOTS,
      more: false,
      count: found ? 1 : 0,
    };
  }
  const range = indexRange(request);
  const slots: number[] = [];
  let count = 0;
  keyspace.scan(range.start, range.end, revision, (slot) => {
    count++;
    if (request.countOnly !== true && (limit === 0 || slots.length < limit)) slots.push(slot);
    return true;
  });
  return { slots, more: request.countOnly !== true && slots.length < count, count };
}

const NO_SLOTS: readonly number[] = [];
const NO_VALUE: Bytes = new Uint8Array(0);

/** @param value of a slot, needed unless keys only */
export function toKeyValues(
  index: Index,
  slots: readonly number[],
  keysOnly: boolean,
  value: (slot: number) => Bytes,
): KeyValue[] {
  return slots.map((slot) => index.keyValue(slot, keysOnly ? NO_VALUE : value(slot)));
}
