/**
 * From node:http to fetch and back. node:http serves because it can end slow and idle connections,
 * ask for client certificates and send trailers; Deno.serve can do none of these.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Bytes } from "../backends/mod.ts";
import type { ChunkSource, StreamChunk } from "./chunk_stream.ts";
import type { DirectRoute, DirectRoutes } from "./direct.ts";
import type { Holds } from "./holds.ts";
import { type Connection, limitedBody } from "./http.ts";

/** The part of an app that is served. */
export interface FetchApp {
  fetch(
    request: Request,
    env: { readonly connection: Connection },
  ): Response | Promise<Response>;
  /** Tried first. */
  readonly direct?: DirectRoutes;
}

export interface BridgeOptions {
  readonly app: FetchApp;
  readonly encrypted: boolean;
  /** A client that takes nothing for this long while an answer waits is let go. */
  readonly writeTimeoutMs: number;
  /** Where refusals of many wait. */
  readonly holds: Holds;
  /** Streams under way; calling one ends it as if it were complete. */
  readonly streams: Set<() => void>;
  /** Told of what no answer could be made of; never throws. */
  readonly onError: (error: unknown) => void;
}

/** A request listener for node:http and node:https. */
export function requestListener(
  options: BridgeOptions,
): (request: IncomingMessage, response: ServerResponse) => void {
  return (incoming, outgoing) => {
    serve(options, incoming, outgoing).catch((error: unknown) => {
      options.onError(error);
      if (!outgoing.headersSent) outgoing.writeHead(500);
      outgoing.destroy();
    });
  };
}

async function serve(
  options: BridgeOptions,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const target = incoming.url ?? "";
  if (!target.startsWith("/")) {
    // Absolute and asterisk forms are for proxies (RFC 9112, 3.2).
    refuse(outgoing, "the request target must be a path");
    return;
  }
  const { direct } = options.app;
  const route = direct?.find(incoming.method ?? "", target);
  if (direct !== undefined && route !== undefined && hasDistinctHeaders(incoming)) {
    const failed = await serveDirect(direct, route, incoming, outgoing);
    if (failed !== undefined) await serveByApp(options, incoming, outgoing, target, failed);
    return;
  }
  // The URL parser would resolve them, and another path than the one that was named would answer.
  if (/(?:^|\/)(?:\.|%2e){1,2}(?:\/|$)/i.test(target.split("?", 1)[0] ?? "")) {
    refuse(outgoing, "the request target has a dot segment");
    return;
  }
  await serveByApp(options, incoming, outgoing, target, undefined);
}

/** node:http drops or joins repeated headers by rules of its own; the app has one for all. */
function hasDistinctHeaders(incoming: IncomingMessage): boolean {
  return Object.keys(incoming.headers).length * 2 === incoming.rawHeaders.length;
}

/** @returns why there is no answer yet */
async function serveDirect(
  direct: DirectRoutes,
  route: DirectRoute,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<Error | undefined> {
  const start = performance.now();
  const header = (name: string) => {
    const value = incoming.headers[name];
    return typeof value === "string" ? value : undefined;
  };
  let body: string;
  try {
    body = await route.handler({
      header,
      readBody: (limit) =>
        limitedBody(header("content-length"), (most) => readBody(incoming, most), limit),
    });
  } catch (error) {
    return error instanceof Error ? error : new Error("not an error was thrown", { cause: error });
  }
  const headers = direct.headers(header("x-request-id"));
  headers.push("Content-Length", String(encodedLength(body)));
  // A body that nobody asked for must not be taken for the next request.
  if (!incoming.complete) {
    headers.push("Connection", "close");
    incoming.resume();
  }
  outgoing.writeHead(200, headers);
  outgoing.end(body);
  route.counted((performance.now() - start) / 1000);
  return undefined;
}

async function serveByApp(
  options: BridgeOptions,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  target: string,
  failed: Error | undefined,
): Promise<void> {
  let request: Request;
  try {
    request = toRequest(incoming, target);
  } catch {
    refuse(outgoing, "the request is malformed");
    return;
  }
  let controller: AbortController | undefined;
  let gone = false;
  let held = false;
  let hasEnd = false;
  let source: ChunkSource | undefined;
  outgoing.once("close", () => {
    source?.close();
    if (outgoing.writableFinished) return;
    gone = true;
    controller?.abort();
  });
  const connection: Connection = {
    remoteAddress: incoming.socket.remoteAddress ?? "",
    encrypted: options.encrypted,
    ...(failed === undefined ? {} : { failed }),
    hold: () => {
      held = true;
    },
    readBody: (limit) => readBody(incoming, limit),
    finite: () => {
      hasEnd = true;
    },
    stream(chunks) {
      source = chunks;
      if (outgoing.destroyed) chunks.close();
    },
    disconnected() {
      if (controller === undefined) {
        controller = new AbortController();
        if (gone) controller.abort();
      }
      return controller.signal;
    },
  };
  try {
    const response = await options.app.fetch(request, { connection });
    if (held) {
      // What else was sent on this connection goes with it.
      response.headers.set("Connection", "close");
      if (!await options.holds.wait(outgoing)) return;
    }
    await send(
      // Of no listener that ends it.
      hasEnd ? { ...options, streams: new Set() } : options,
      response,
      incoming,
      outgoing,
      source,
    );
  } finally {
    source?.close();
  }
}

function refuse(outgoing: ServerResponse, detail: string): void {
  outgoing.writeHead(400, { "Content-Type": "application/problem+json", "Connection": "close" });
  outgoing.end(JSON.stringify({
    type: "urn:nautilus-tee:problem:malformed_request",
    title: "Bad Request",
    status: 400,
    detail,
    code: "malformed_request",
  }));
}

function toRequest(incoming: IncomingMessage, target: string): Request {
  // The host of the URL is ours: what a client says in Host decides nothing here.
  const request = new Request(`http://localhost${target}`, { method: incoming.method ?? "GET" });
  // Given to the constructor they would be sorted and checked again: three times the work.
  const { headers } = request;
  const raw = incoming.rawHeaders;
  for (let i = 0; i + 1 < raw.length; i += 2) headers.append(raw[i] ?? "", raw[i + 1] ?? "");
  return request;
}

const encoder = new TextEncoder();

function encodedLength(text: string): number {
  return encoder.encode(text).length;
}

/** Reads what comes, until it is all there or more than `limit`. */
function readBody(incoming: IncomingMessage, limit: number): Promise<Bytes | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Bytes | undefined>();
  const chunks: Uint8Array[] = [];
  let length = 0;
  incoming.on("data", (chunk: Uint8Array) => {
    length += chunk.length;
    if (length > limit) resolve(undefined);
    else chunks.push(chunk);
  });
  incoming.once("end", () => {
    const out = new Uint8Array(length);
    let offset = 0;
    for (const chunk of chunks) {
      out.set(chunk, offset);
      offset += chunk.length;
    }
    resolve(out);
  });
  const broken = () => reject(new Error("the client broke off"));
  if (incoming.destroyed && !incoming.complete) broken();
  incoming.once("error", broken);
  incoming.once("close", broken);
  return promise;
}

async function send(
  options: BridgeOptions,
  response: Response,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  source: ChunkSource | undefined,
): Promise<void> {
  const headers: Record<string, string> = {};
  response.headers.forEach((value, name) => {
    headers[name] = value;
  });
  const streams = headers["transfer-encoding"] === "chunked";
  delete headers["transfer-encoding"];
  // What is left of an unread body would be taken for the next request: say goodbye instead.
  if (!incoming.complete) {
    headers["connection"] = "close";
    incoming.resume(); // what has arrived is dropped, so that closing does not reset the answer away
  }
  if (streams) {
    outgoing.writeHead(response.status, headers);
    if (response.body !== null) await pump(options, response.body, outgoing);
    else if (source !== undefined) await pumpChunks(options, source, outgoing);
    else outgoing.end();
    return;
  }
  const body = new Uint8Array(await response.arrayBuffer());
  if (
    response.status !== 204 && response.status !== 304 && headers["content-length"] === undefined
  ) {
    headers["content-length"] = String(body.length);
  }
  outgoing.writeHead(response.status, headers);
  if (incoming.method === "HEAD") outgoing.end();
  else outgoing.end(body);
}

async function pump(
  options: BridgeOptions,
  body: ReadableStream<Uint8Array>,
  outgoing: ServerResponse,
): Promise<void> {
  const reader = body.getReader();
  const stop = () => {
    reader.cancel().catch(options.onError);
  };
  outgoing.once("close", stop);
  options.streams.add(stop);
  try {
    outgoing.flushHeaders();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (outgoing.destroyed) return;
      if (!outgoing.write(value)) await drained(outgoing, outgoing, options.writeTimeoutMs);
    }
    outgoing.end();
  } catch (error) {
    options.onError(error);
    outgoing.destroy();
  } finally {
    options.streams.delete(stop);
    outgoing.off("close", stop);
  }
}

/** As `pump`; the chunks go to the socket as they are, without a stream in between. */
async function pumpChunks(
  options: BridgeOptions,
  source: ChunkSource,
  outgoing: ServerResponse,
): Promise<void> {
  const stop = () => source.close();
  options.streams.add(stop);
  try {
    outgoing.flushHeaders();
    // node:http frames itself for a client of HTTP/1.0, which knows no chunks, and for an answer that
    // waits behind another one on its connection.
    const socket = outgoing.chunkedEncoding ? outgoing.socket : null;
    const write = (chunk: StreamChunk) =>
      socket === null ? outgoing.write(chunk.payload) : socket.write(chunk.framed);
    const writable = socket ?? outgoing;
    source.attach((chunk) => {
      if (!writable.writableNeedDrain && !outgoing.destroyed) write(chunk);
    });
    for (;;) {
      const chunk = await source.next();
      if (chunk === undefined) break;
      if (outgoing.destroyed) return;
      if (!write(chunk)) await drained(writable, outgoing, options.writeTimeoutMs);
    }
    outgoing.end();
  } catch (error) {
    options.onError(error);
    outgoing.destroy();
  } finally {
    options.streams.delete(stop);
  }
}

/** Resolves when the client took what waits, or is gone; a client too slow is made to be gone. */
function drained(
  writable: ServerResponse | Socket,
  outgoing: ServerResponse,
  timeoutMs: number,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(() => outgoing.destroy(), timeoutMs);
  const finish = () => {
    clearTimeout(timer);
    writable.off("drain", finish);
    outgoing.off("close", finish);
    resolve();
  };
  writable.once("drain", finish);
  outgoing.once("close", finish);
  return promise;
}
