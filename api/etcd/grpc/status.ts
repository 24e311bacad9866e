/** gRPC status codes, and etcd's errors as clients match them: by code and by text. */

/** https://grpc.github.io/grpc/core/md_doc_statuscodes.html */
export const CODE = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;
export type StatusCode = (typeof CODE)[keyof typeof CODE];

/** An answer that is a refusal; its message reaches the client. */
export class GrpcError extends Error {
  override readonly name = "GrpcError";
  readonly code: StatusCode;
  constructor(code: StatusCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
