/** Txn: etcd's checks in etcd's order, the request for the store, and the answer with its headers. */
import type {
  Compare as StoreCompare,
  CompareResult,
  Operation,
  TxnRequest as StoreTxn,
  TxnResponse as StoreAnswer,
} from "../../store/mod.ts";
import { etcdError } from "./errors.ts";
import { CODE, GrpcError } from "./grpc/status.ts";
import type { Compare, DeleteRangeRequest, PutRequest, RequestOp, TxnRequest } from "./messages.ts";
import type { ResponseOp } from "./messages.ts";
import { checkRange, toRangeAnswer, toStoreRange } from "./range.ts";

/** @throws {GrpcError} */
export function checkPut(request: PutRequest): void {
  if (request.key.length === 0) throw etcdError("emptyKey");
  if (request.ignoreValue && request.value.length !== 0) throw etcdError("valueProvided");
  if (request.ignoreLease && request.lease !== 0n) throw etcdError("leaseProvided");
}

/** @throws {GrpcError} */
export function checkDelete(request: DeleteRangeRequest): void {
  if (request.key.length === 0) throw etcdError("emptyKey");
}

/**
 * Nested transactions share the limit: every level takes its longest list off what is left.
 * @throws {GrpcError}
 */
export function checkTxn(request: TxnRequest, maxOps: number): void {
  const { compare, success, failure } = request;
  const longest = Math.max(compare.length, success.length, failure.length);
  if (longest > maxOps) throw etcdError("tooManyOps");
  for (const { key } of compare) if (key.length === 0) throw etcdError("emptyKey");
  for (const op of [...success, ...failure]) checkOp(op, maxOps - longest);
}

function checkOp(op: RequestOp, maxOps: number): void {
  if (op.requestRange !== undefined) checkRange(op.requestRange);
  else if (op.requestPut !== undefined) checkPut(op.requestPut);
  else if (op.requestDeleteRange !== undefined) checkDelete(op.requestDeleteRange);
  else if (op.requestTxn !== undefined) checkTxn(op.requestTxn, maxOps);
  else throw etcdError("keyNotFound");
}

export function toStorePut(request: PutRequest): Operation & { readonly type: "put" } {
  const { key, value, lease, prevKv, ignoreValue, ignoreLease } = request;
  return { type: "put", keyspace: "etcd", key, value, lease, prevKv, ignoreValue, ignoreLease };
}

export function toStoreDelete(
  request: DeleteRangeRequest,
): Operation & { readonly type: "delete" } {
  const { key, rangeEnd, prevKv } = request;
  return {
    type: "delete",
    keyspace: "etcd",
    key,
    ...(rangeEnd.length === 0 ? {} : { rangeEnd }),
    prevKv,
  };
}

/** @throws {GrpcError} for an unknown comparison */
export function toStoreTxn(request: TxnRequest): StoreTxn {
  return {
    compare: request.compare.map(toStoreCompare),
    success: request.success.map(toStoreOp),
    failure: request.failure.map(toStoreOp),
  };
}

function toStoreOp(op: RequestOp): Operation {
  if (op.requestRange !== undefined) {
    return { type: "range", keyspace: "etcd", ...toStoreRange(op.requestRange, true) };
  }
  if (op.requestPut !== undefined) return toStorePut(op.requestPut);
  if (op.requestDeleteRange !== undefined) return toStoreDelete(op.requestDeleteRange);
  if (op.requestTxn !== undefined) return { type: "txn", txn: toStoreTxn(op.requestTxn) };
  throw etcdError("keyNotFound");
}

const RESULTS: readonly CompareResult[] = ["equal", "greater", "less", "not_equal"];

function toStoreCompare(compare: Compare): StoreCompare {
  const result = RESULTS[compare.result];
  if (result === undefined) throw unknownValue("Compare.result", compare.result);
  const base = {
    keyspace: "etcd" as const,
    key: compare.key,
    ...(compare.rangeEnd.length === 0 ? {} : { rangeEnd: compare.rangeEnd }),
    result,
  };
  // An operand of another kind than the target counts as none, which is 0 or empty.
  switch (compare.target) {
    case 0:
      return { ...base, target: "version", operand: compare.version ?? 0 };
    case 1:
      return { ...base, target: "create", operand: compare.createRevision ?? 0 };
    case 2:
      return { ...base, target: "mod", operand: compare.modRevision ?? 0 };
    case 3:
      return { ...base, target: "value", operand: compare.value ?? new Uint8Array(0) };
    case 4:
      return { ...base, target: "lease", operand: compare.lease ?? 0n };
    default:
      throw unknownValue("Compare.target", compare.target);
  }
}

function unknownValue(field: string, value: number): GrpcError {
  return new GrpcError(CODE.invalidArgument, `etcdserver: ${field}: ${value} is not supported`);
}

/** Whether a transaction holds nothing but ranges: then it writes nothing and costs no space. */
export function isReadOnly(request: TxnRequest): boolean {
  return [...request.success, ...request.failure].every((op) => op.requestRange !== undefined);
}

/** How many operations of a branch changed something so far: what op headers depend on. */
interface Progress {
  changed: boolean;
}

function changedBy(request: TxnRequest, answer: StoreAnswer): boolean {
  const ops = answer.succeeded ? request.success : request.failure;
  return answer.responses.some((response, i) => {
    switch (response.type) {
      case "put":
        return true;
      case "delete":
        return response.deleted > 0;
      case "txn":
        return changedBy(ops[i]!.requestTxn!, response.response);
      default:
        return false;
    }
  });
}

/**
 * The operations' answers. As in etcd, each header says the revision as that operation saw it,
 * and the header of a nested transaction is empty.
 */
export function toTxnAnswer(
  request: TxnRequest,
  answer: StoreAnswer,
): { readonly succeeded: boolean; readonly responses: ResponseOp[] } {
  const end = answer.revisions.etcd;
  const begin = changedBy(request, answer) ? end - 1 : end;
  return {
    succeeded: answer.succeeded,
    responses: answers(request, answer, begin, { changed: false }),
  };
}

function answers(
  request: TxnRequest,
  answer: StoreAnswer,
  begin: number,
  progress: Progress,
): ResponseOp[] {
  const ops = answer.succeeded ? request.success : request.failure;
  return answer.responses.map((response, i): ResponseOp => {
    const op = ops[i]!;
    const out: ResponseOp = {
      responseRange: undefined,
      responsePut: undefined,
      responseDeleteRange: undefined,
      responseTxn: undefined,
    };
    switch (response.type) {
      case "range":
        out.responseRange = {
          header: begin + (progress.changed ? 1 : 0),
          ...toRangeAnswer(op.requestRange!, response),
        };
        break;
      case "put":
        progress.changed = true;
        out.responsePut = { header: begin + 1, prevKv: response.prevKv };
        break;
      case "delete":
        progress.changed ||= response.deleted > 0;
        out.responseDeleteRange = {
          header: begin + (progress.changed ? 1 : 0),
          deleted: response.deleted,
          prevKvs: response.prevKvs,
        };
        break;
      case "txn":
        out.responseTxn = {
          header: 0,
          succeeded: response.response.succeeded,
          responses: answers(op.requestTxn!, response.response, begin, progress),
        };
        break;
    }
    return out;
  });
}
