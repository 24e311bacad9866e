/** What the HTTP parts share: the context's variables and reading a body under a limit. */
import type { Context } from "@hono/hono";
import type { Bytes } from "../backends/mod.ts";
import type { ChunkSource } from "./chunk_stream.ts";
import type { DirectRequest } from "./direct.ts";
import { ApiProblem } from "./problem.ts";

/** What the server knows of a connection; absent in tests that call the app directly. */
export interface Connection {
  /** Address of the client, without port. */
  readonly remoteAddress: string;
  readonly encrypted: boolean;
  /** Aborted when the client goes away before the answer is complete. */
  disconnected(): AbortSignal;
  /**
   * The body, straight from the socket. Undefined where it is longer than `limit`; rejects where the
   * client breaks off. Absent where only the Request has it.
   */
  readBody?(limit: number): Promise<Bytes | undefined>;
  /** The answer is a refusal of many: it may wait, and the connection ends with it. */
  hold?(): void;
  /**
   * Sends this after the head of the answer, which has no body then, and says it is chunked. Closes
   * it where the answer becomes another one. Absent where only a ReadableStream can be sent.
   */
  stream?(source: ChunkSource): void;
  /**
   * The streamed answer has an end of its own: a listener that stops waits for it, where it would end
   * a watch as if it were complete.
   */
  finite?(): void;
  /** What went wrong with this request in the direct lane; the app answers it. */
  readonly failed?: Error;
}

export interface ApiEnv {
  Variables: { requestId: string };
  Bindings: { connection?: Connection };
}

export type ApiContext = Context<ApiEnv>;

/**
 * The whole body, never more than `limit` bytes of it.
 *
 * @throws {ApiProblem} 413 as soon as it is known, 400 where the client breaks off.
 */
export async function readBody(c: ApiContext, limit: number): Promise<Bytes> {
  const declared = c.req.header("content-length");
  const connection = c.env?.connection;
  if (connection?.readBody !== undefined) {
    return await limitedBody(declared, (most) => connection.readBody?.(most), limit);
  }
  if (declared !== undefined && Number(declared) > limit) throw tooLarge(limit);
  const { body } = c.req.raw;
  if (body === null) return new Uint8Array(0);
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.length;
      if (length > limit) throw tooLarge(limit);
      chunks.push(value);
    }
  } catch (cause) {
    if (cause instanceof ApiProblem) {
      reader.cancel().catch(() => {}); // the connection is closed after the answer in any case
      throw cause;
    }
    throw new ApiProblem(400, "body_incomplete", "the body broke off", { cause });
  }
  const out = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    out.set(chunk, offset);
    offset += chunk.length;
  }
  return out;
}

/**
 * The whole body from the socket.
 *
 * @param declared Content-Length
 * @param read undefined where it is longer; rejects where the client breaks off
 * @throws {ApiProblem} 413 as soon as it is known, 400 where the client breaks off
 */
export async function limitedBody(
  declared: string | undefined,
  read: (limit: number) => Promise<Bytes | undefined> | undefined,
  limit: number,
): Promise<Bytes> {
  if (declared !== undefined && Number(declared) > limit) throw tooLarge(limit);
  let bytes: Bytes | undefined;
  try {
    bytes = await read(limit);
  } catch (cause) {
    throw new ApiProblem(400, "body_incomplete", "the body broke off", { cause });
  }
  if (bytes === undefined) throw tooLarge(limit);
  return bytes;
}

function tooLarge(limit: number): ApiProblem {
  return new ApiProblem(413, "body_too_large", `the body may have ${limit} bytes at most`, {
    headers: { Connection: "close" },
  });
}

/** The context as the direct lane's handlers take it. */
export function directRequest(c: ApiContext): DirectRequest {
  return { header: (name) => c.req.header(name), readBody: (limit) => readBody(c, limit) };
}

/** @throws {ApiProblem} 415 for anything but JSON; an absent Content-Type passes. */
export function requireJson(c: ApiContext): void {
  requireJsonType(c.req.header("content-type"));
}

/** @throws {ApiProblem} as requireJson */
export function requireJsonType(type: string | undefined): void {
  if (type === undefined || type === "application/json") return;
  const media = type.split(";", 1)[0]?.trim().toLowerCase();
  if (media !== "application/json") {
    throw new ApiProblem(415, "unsupported_media_type", "the body must be application/json", {
      headers: { Accept: "application/json" },
    });
  }
}

/** The token of `Authorization: Bearer …`; undefined without one. RFC 6750, 2.1. */
export function bearerToken(c: ApiContext): string | undefined {
  const match = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(c.req.header("authorization") ?? "");
  return match?.[1];
}

/** Answers every method that a path does not have: 405 with Allow (RFC 9110, 15.5.6). */
export function methodNotAllowed(...allowed: readonly string[]): (c: ApiContext) => never {
  return (c) => {
    throw new ApiProblem(405, "method_not_allowed", `${c.req.method} is not possible here`, {
      headers: { Allow: allowed.join(", ") },
    });
  };
}
