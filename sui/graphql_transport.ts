/**
 * GraphQL over HTTP, as far as a master needs it: one POST, one JSON answer of bounded size. Only
 * what a GraphQL server can have said gets through: a proxy's page must not become an answer.
 */
import * as v from "valibot";
import { joined } from "./bytes.ts";
import { ANSWER_TOO_LARGE } from "./chain_client.ts";
import { LedgerProtocolError, LedgerUnavailable } from "./ledger.ts";

/** Something answered, but no GraphQL server. */
export class NotGraphql extends Error {
  override readonly name = "NotGraphql";
}

/** One error of an answer. */
export interface GraphqlError {
  readonly message: string;
  /** `extensions.code` of Sui's GraphQL RPC, such as BAD_USER_INPUT; undefined where there is none. */
  readonly code: string | undefined;
  /** First field of the path: which of the things asked for could not be had. */
  readonly field: string | undefined;
}

/** Either everything that was asked for, or why not; data beside errors is not looked at. */
export type GraphqlAnswer =
  | { readonly data: unknown; readonly errors?: undefined }
  | { readonly errors: readonly GraphqlError[] };

export interface GraphqlEndpoint {
  readonly url: string;
  /** Largest answer taken, bytes. */
  readonly maxAnswerBytes: number;
  readonly fetch: typeof fetch;
}

const CONTENT_TYPES = new Set(["application/json", "application/graphql-response+json"]);

const Answer = v.strictObject({
  data: v.optional(v.unknown()),
  errors: v.optional(v.array(v.object({
    message: v.string(),
    path: v.optional(v.array(v.union([v.string(), v.number()]))),
    extensions: v.optional(v.nullable(v.object({ code: v.optional(v.string()) }))),
  }))),
  extensions: v.optional(v.unknown()),
});

/** Codes that say "your request cannot be", where asking again does not help. */
const REFUSED = new Set([
  "BAD_USER_INPUT",
  "FEATURE_UNAVAILABLE",
  "GRAPHQL_PARSE_FAILED",
  "GRAPHQL_VALIDATION_FAILED",
]);

/**
 * Sends one query.
 *
 * @throws {NotGraphql} when no GraphQL server answered @throws {RangeError} when the answer is too
 * large @throws {LedgerProtocolError} when the answer is no GraphQL answer
 */
export async function postQuery(
  endpoint: GraphqlEndpoint,
  query: string,
  variables: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
): Promise<GraphqlAnswer> {
  const response = await endpoint.fetch(endpoint.url, {
    method: "POST",
    headers: { "content-type": "application/json", accept: [...CONTENT_TYPES].join(", ") },
    body: JSON.stringify({ query, variables }),
    redirect: "error",
    credentials: "omit",
    signal,
  });
  const contentType = (response.headers.get("content-type") ?? "").split(";")[0]?.trim() ?? "";
  if (response.status !== 200 || !CONTENT_TYPES.has(contentType)) {
    await response.body?.cancel();
    throw new NotGraphql(
      `HTTP ${response.status} with content type ${JSON.stringify(contentType)}, ` +
        "expected 200 with application/json",
    );
  }
  const bytes = await bounded(response, endpoint.maxAnswerBytes, signal);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new NotGraphql("the answer is no JSON", { cause });
  }
  const { data, errors = [] } = decode("GraphQL answer", Answer, json);
  if (errors.length > 0) {
    return {
      errors: errors.map(({ message, path, extensions }) => ({
        message: message.slice(0, 300),
        code: extensions?.code,
        field: path?.[0] === undefined ? undefined : String(path[0]),
      })),
    };
  }
  if (data === undefined || data === null) throw new LedgerProtocolError("GraphQL answer: no data");
  return { data };
}

/** What the errors of an answer mean: whether asking again can help. */
export function refusal(
  where: string,
  errors: readonly GraphqlError[],
): LedgerProtocolError | LedgerUnavailable {
  const words = errors.map(({ code, message }) => `${code ?? "no code"}: ${message}`).join("; ");
  const message = `${where}: ${words.slice(0, 500)}`;
  return errors.every(({ code }) => code !== undefined && REFUSED.has(code))
    ? new LedgerProtocolError(message)
    : new LedgerUnavailable(message);
}

/**
 * Outside JSON as what it should be.
 *
 * @throws {LedgerProtocolError} naming the field
 */
export function decode<T extends v.GenericSchema>(
  what: string,
  schema: T,
  json: unknown,
): v.InferOutput<T> {
  const result = v.safeParse(schema, json, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const path = v.getDotPath(issue);
  throw new LedgerProtocolError(
    `${path === null ? what : `${what}: ${path}`}: ${issue.message.slice(0, 300)}`,
  );
}

async function bounded(
  response: Response,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  // The signal once more: Deno 2.9.6 ends the body of a fetch that is aborted only while its Response
  // is not yet collected.
  const through = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>();
  for await (const part of response.body?.pipeThrough(through, { signal }) ?? []) {
    length += part.length;
    if (length > maxBytes) throw new RangeError(`${ANSWER_TOO_LARGE}: more than ${maxBytes} bytes`);
    parts.push(part);
  }
  return joined(parts, length);
}
