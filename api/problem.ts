/** Errors of the HTTP side as RFC 9457 problem documents. Kubernetes paths say the same as `Status`. */

/** What a client is told; everything in it is public. */
export interface ProblemOptions {
  /** The field of the request that is wrong, in dotted form. */
  readonly field?: string;
  /** What the caller or the operator can do. */
  readonly hint?: string;
  readonly retryAfterSeconds?: number;
  /** Further response headers, such as `Allow` or `WWW-Authenticate`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Never shown to the client; for the log. */
  readonly cause?: unknown;
  /** Something failed here, and an operator should hear of it; otherwise it is an answer like any other. */
  readonly isFault?: boolean;
}

/** A refusal or failure with the HTTP status it is answered with and a stable code. */
export class ApiProblem extends Error {
  override readonly name = "ApiProblem";
  readonly status: number;
  readonly code: string;
  readonly field: string | undefined;
  readonly hint: string | undefined;
  readonly retryAfterSeconds: number | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly isFault: boolean;

  constructor(status: number, code: string, detail: string, options: ProblemOptions = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = status;
    this.code = code;
    this.field = options.field;
    this.hint = options.hint;
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.headers = options.headers ?? {};
    this.isFault = options.isFault ?? false;
  }
}

/** The document of RFC 9457, 3; `code`, `field`, `hint`, `request_id` are extension members. */
export interface ProblemDocument {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly field?: string;
  readonly hint?: string;
  readonly request_id: string;
}

const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  411: "Length Required",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

/** The standard reason phrase, which is the title of a problem type that is not more specific. */
export function titleOf(status: number): string {
  return TITLES[status] ?? "Error";
}

/** Builds the problem document of a refusal. */
export function problemDocument(problem: ApiProblem, requestId: string): ProblemDocument {
  return {
    type: `urn:nautilus-tee:problem:${problem.code}`,
    title: titleOf(problem.status),
    status: problem.status,
    detail: problem.message,
    code: problem.code,
    ...(problem.field === undefined ? {} : { field: problem.field }),
    ...(problem.hint === undefined ? {} : { hint: problem.hint }),
    request_id: requestId,
  };
}

/** Headers that go with a refusal: `Retry-After`, `Allow`, `WWW-Authenticate`. */
export function problemHeaders(problem: ApiProblem): Record<string, string> {
  return {
    ...problem.headers,
    ...(problem.retryAfterSeconds === undefined
      ? {}
      : { "Retry-After": String(Math.max(1, Math.ceil(problem.retryAfterSeconds))) }),
  };
}
