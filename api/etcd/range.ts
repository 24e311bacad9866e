/** Range: etcd's request to the store's, and what the store does not do itself: sorting, filters. */
import { Buffer } from "node:buffer";
import type {
  KeyValue,
  RangeRequest as StoreRange,
  RangeResponse as StoreAnswer,
} from "../../store/mod.ts";
import { etcdError } from "./errors.ts";
import { type RangeRequest, SORT_ORDER, SORT_TARGET } from "./messages.ts";

/** @throws {GrpcError} as etcd's own check */
export function checkRange(request: RangeRequest): void {
  if (request.key.length === 0) throw etcdError("emptyKey");
  const { sortOrder, sortTarget } = request;
  if (sortOrder < 0 || sortOrder > SORT_ORDER.descend) throw etcdError("invalidSortOption");
  if (sortTarget < 0 || sortTarget > SORT_TARGET.value) throw etcdError("invalidSortOption");
}

/** Whether the answer must be seen whole before it can be cut to the limit. */
function needsAll(request: RangeRequest): boolean {
  return request.sortOrder !== SORT_ORDER.none || request.minModRevision !== 0 ||
    request.maxModRevision !== 0 || request.minCreateRevision !== 0 ||
    request.maxCreateRevision !== 0;
}

/** @param inTxn there a negative revision counts as compacted, elsewhere as none */
export function toStoreRange(request: RangeRequest, inTxn: boolean): StoreRange {
  const { key, rangeEnd, keysOnly, countOnly, sortTarget } = request;
  if (inTxn && request.revision < 0) throw etcdError("compacted");
  const limit = clamp(request.limit);
  // As etcd: the one extra row that shows whether there are more takes part in the sorting.
  const sortsWithoutOrder = limit > 0 && sortTarget !== SORT_TARGET.key;
  return {
    key,
    ...(rangeEnd.length === 0 ? {} : { rangeEnd }),
    revision: clamp(request.revision),
    // Sorting by value needs the values that are not answered.
    keysOnly: keysOnly && sortTarget !== SORT_TARGET.value,
    countOnly,
    limit: needsAll(request) ? 0 : sortsWithoutOrder ? limit + 1 : limit,
  };
}

function clamp(value: number): number {
  return value <= 0 ? 0 : Math.min(value, Number.MAX_SAFE_INTEGER);
}

export interface RangeAnswer {
  kvs: readonly KeyValue[];
  more: boolean;
  count: number;
}

export function toRangeAnswer(request: RangeRequest, answer: StoreAnswer): RangeAnswer {
  const { count } = answer;
  if (request.countOnly) return { kvs: [], more: false, count };
  const { sortTarget } = request;
  const sortOrder = sortTarget !== SORT_TARGET.key && request.sortOrder === SORT_ORDER.none
    ? SORT_ORDER.ascend
    : request.sortOrder;
  let kvs = answer.kvs;
  let more = answer.more;
  if (needsAll(request)) kvs = kvs.filter((kv) => passes(request, kv));
  // The store's order is that of the keys.
  const inOrder = sortOrder === SORT_ORDER.none ||
    (sortOrder === SORT_ORDER.ascend && sortTarget === SORT_TARGET.key);
  if (!inOrder) kvs = sorted(kvs, sortTarget, sortOrder === SORT_ORDER.descend);
  const limit = clamp(request.limit);
  if (limit > 0 && kvs.length > limit) {
    kvs = kvs.slice(0, limit);
    more = true;
  }
  if (request.keysOnly) kvs = kvs.map((kv) => ({ ...kv, value: NO_VALUE }));
  return { kvs, more, count };
}

const NO_VALUE = new Uint8Array(0);

function passes(request: RangeRequest, kv: KeyValue): boolean {
  const { minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = request;
  return (maxModRevision === 0 || kv.modRevision <= maxModRevision) &&
    (minModRevision === 0 || kv.modRevision >= minModRevision) &&
    (maxCreateRevision === 0 || kv.createRevision <= maxCreateRevision) &&
    (minCreateRevision === 0 || kv.createRevision >= minCreateRevision);
}

function sorted(kvs: readonly KeyValue[], target: number, descending: boolean): KeyValue[] {
  const order = ascending(target);
  return [...kvs].sort(descending ? (a, b) => order(b, a) : order);
}

function ascending(target: number): (a: KeyValue, b: KeyValue) => number {
  switch (target) {
    case SORT_TARGET.version:
      return (a, b) => a.version - b.version;
    case SORT_TARGET.create:
      return (a, b) => a.createRevision - b.createRevision;
    case SORT_TARGET.mod:
      return (a, b) => a.modRevision - b.modRevision;
    case SORT_TARGET.value:
      return (a, b) => Buffer.compare(a.value, b.value);
    default:
      return (a, b) => Buffer.compare(a.key, b.key);
  }
}
