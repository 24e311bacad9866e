/** etcd's refusals, word for word: clients compare code and text. */
import { StoreError } from "../../store/mod.ts";
import { CODE, GrpcError, type StatusCode } from "./grpc/status.ts";

type Known = readonly [code: StatusCode, text: string];

/** As in etcd's public error list (api/v3rpc/rpctypes); the prefix "etcdserver: " is added. */
const KNOWN = {
  emptyKey: [CODE.invalidArgument, "key is not provided"],
  keyNotFound: [CODE.invalidArgument, "key not found"],
  valueProvided: [CODE.invalidArgument, "value is provided"],
  leaseProvided: [CODE.invalidArgument, "lease is provided"],
  tooManyOps: [CODE.invalidArgument, "too many operations in txn request"],
  duplicateKey: [CODE.invalidArgument, "duplicate key given in txn request"],
  invalidSortOption: [CODE.invalidArgument, "invalid sort option"],
  compacted: [CODE.outOfRange, "mvcc: required revision has been compacted"],
  futureRevision: [CODE.outOfRange, "mvcc: required revision is a future revision"],
  noSpace: [CODE.resourceExhausted, "mvcc: database space exceeded"],
  leaseNotFound: [CODE.notFound, "requested lease not found"],
  leaseExists: [CODE.failedPrecondition, "lease already exists"],
  leaseTtlTooLarge: [CODE.outOfRange, "too large lease TTL"],
  watchCanceled: [CODE.cancelled, "watch canceled"],
  requestTooLarge: [CODE.invalidArgument, "request is too large"],
  authNotEnabled: [CODE.failedPrecondition, "authentication is not enabled"],
  badLeaderTransferee: [CODE.failedPrecondition, "bad leader transferee"],
  stopped: [CODE.unavailable, "server stopped"],
  unhealthy: [CODE.unavailable, "unhealthy cluster"],
  corrupt: [CODE.dataLoss, "corrupt cluster"],
} as const satisfies Record<string, Known>;

export type EtcdErrorName = keyof typeof KNOWN;

export function etcdError(name: EtcdErrorName, cause?: unknown): GrpcError {
  const [code, text] = KNOWN[name];
  return new GrpcError(code, `etcdserver: ${text}`, cause === undefined ? undefined : { cause });
}

/** Something of etcd that this server does not do, by name. */
export function unsupported(what: string): GrpcError {
  return new GrpcError(CODE.unimplemented, `etcdserver: ${what} is not supported`);
}

/** What a client is told of an error of the store or of a bug; the bug itself stays inside. */
export function toGrpcError(error: unknown): GrpcError {
  if (error instanceof GrpcError) return error;
  if (!(error instanceof StoreError)) {
    return new GrpcError(CODE.internal, "etcdserver: internal error", { cause: error });
  }
  switch (error.code) {
    case "compacted":
      return etcdError("compacted", error);
    case "future_revision":
      return etcdError("futureRevision", error);
    case "duplicate_key":
      return etcdError("duplicateKey", error);
    case "lease_not_found":
      return etcdError("leaseNotFound", error);
    case "lease_exists":
      return etcdError("leaseExists", error);
    case "lease_ttl_too_large":
      return etcdError("leaseTtlTooLarge", error);
    case "key_not_found":
      return etcdError("keyNotFound", error);
    case "too_large":
      return etcdError("requestTooLarge", error);
    case "invalid_request":
      return new GrpcError(CODE.invalidArgument, `etcdserver: ${error.message}`, { cause: error });
    case "closed":
      return etcdError("stopped", error);
    case "record_altered":
    case "record_missing":
    case "foreign_record":
    case "head_mismatch":
    case "rollback":
      return etcdError("corrupt", error);
    default:
      return etcdError("unhealthy", error);
  }
}
