/**
 * The stand-in full node on a socket: gRPC-web (binary and text) and, at `/graphql`, GraphQL over
 * HTTP/1.1 on node:http, so that the real clients of @mysten/sui talk to it, and the control API
 * beside them.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import * as v from "valibot";
import { concat, readBody } from "./body.ts";
import { control } from "./control.ts";
import { FakeExecutor } from "./executor.ts";
import type { FakeGateway } from "./gateway.ts";
import { Faults, find } from "./faults.ts";
import type { Fault } from "./faults.ts";
import { FakeGraphql } from "./graphql.ts";
import { answer, GrpcStatus, infoHeaders, type NodeOptions } from "./node.ts";
import { SUBSCRIBE, subscribe } from "./subscription.ts";

const SERVICES =
  /^\/sui\.rpc\.v2\.(LedgerService|SignatureVerificationService|StateService|SubscriptionService|TransactionExecutionService)\/(\w+)$/;
const MAX_REQUEST_BYTES = 4 * 1024 * 1024;

export interface FakeNodeOptions extends NodeOptions {
  readonly gateway: FakeGateway;
  /** Default 127.0.0.1. */
  readonly hostname?: string;
  /** Default 0: any free one. */
  readonly port?: number;
}

/** A running stand-in. */
export interface FakeNode extends AsyncDisposable {
  readonly url: string;
  /** The same chain by GraphQL. */
  readonly graphqlUrl: string;
  readonly gateway: FakeGateway;
  readonly faults: Faults;
  /** Calls answered or refused, by method. */
  readonly calls: ReadonlyMap<string, number>;
}

/** Starts listening; resolves when the port is known. */
export async function startFakeNode(options: FakeNodeOptions): Promise<FakeNode> {
  const faults = new Faults();
  const calls = new Map<string, number>();
  const { gateway } = options;
  const executor = new FakeExecutor(gateway);
  const graphql = new FakeGraphql(gateway.chain);
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://node").pathname;
    const work = path.startsWith("/control/")
      ? control({ gateway, faults, path, request, response })
      : path === "/graphql"
      ? query({ graphql, faults, calls, request, response })
      : rpc({ gateway, executor, faults, calls, path, request, response, options });
    work.catch((error: unknown) => {
      if (response.destroyed) return;
      response.statusCode = 500;
      response.end(error instanceof Error ? error.message : String(error));
    });
  });
  const { promise: listening, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(options.port ?? 0, options.hostname ?? "127.0.0.1", resolve);
  await listening;
  const address = server.address() as AddressInfo;
  const host = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return {
    url: `http://${host}:${address.port}`,
    graphqlUrl: `http://${host}:${address.port}/graphql`,
    gateway,
    faults,
    calls,
    [Symbol.asyncDispose]: async () => {
      const { promise: closed, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      server.closeAllConnections();
      await closed;
    },
  };
}

interface RpcContext {
  readonly gateway: FakeGateway;
  readonly executor: FakeExecutor;
  readonly faults: Faults;
  readonly calls: Map<string, number>;
  readonly path: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly options: NodeOptions;
}

async function rpc(context: RpcContext): Promise<void> {
  const { gateway, executor, faults, calls, path, request, response, options } = context;
  const body = await readBody(request, MAX_REQUEST_BYTES);
  const method = SERVICES.exec(path)?.[2] ?? path;
  calls.set(method, (calls.get(method) ?? 0) + 1);
  const hit = faults.take(method);
  if (await misbehave(hit, response, GRPC_FLOOD)) return;

  const contentType = request.headers["content-type"] ?? "";
  const text = contentType.startsWith("application/grpc-web-text");
  if (request.method !== "POST" || !contentType.startsWith("application/grpc-web")) {
    response.writeHead(415, { "content-type": "text/plain" }).end("expected gRPC-web");
    return;
  }
  let frames: Uint8Array[] = [];
  let status = 0;
  let message = "";
  try {
    if (!SERVICES.test(path)) throw new GrpcStatus(12, `no service at ${path}`);
    const forced = find(hit, "grpc_status");
    if (forced !== undefined) throw new GrpcStatus(forced.code, forced.message ?? "as told");
    if (method === SUBSCRIBE) {
      const { chain } = gateway;
      if (text) throw new GrpcStatus(12, "this stand-in subscribes in binary only");
      subscribe(unframe(body, text), { chain, faults, hit, response, frame: framed });
      return;
    }
    frames = method === "ExecuteTransaction"
      ? [await executor.execute(unframe(body, text))]
      : answer(gateway.chain, method, unframe(body, text), hit, options);
    if (find(hit, "lost_answer") !== undefined) throw new GrpcStatus(14, "the answer is lost");
  } catch (error) {
    status = error instanceof GrpcStatus ? error.status : 3;
    message = error instanceof Error ? error.message : String(error);
  }
  if (status !== 0) {
    // As tonic does: a status without a message travels in the headers alone.
    response.writeHead(200, {
      "content-type": "application/grpc-web+proto",
      "grpc-status": String(status),
      "grpc-message": encodeURIComponent(message),
      ...infoHeaders(gateway.chain, hit),
    }).end();
    return;
  }
  response.writeHead(200, {
    "content-type": text ? "application/grpc-web-text+proto" : "application/grpc-web+proto",
    ...infoHeaders(gateway.chain, hit),
  });
  const trailer = new TextEncoder().encode(
    "grpc-status:0\r\n",
  );
  const whole = concat([...frames.map((data) => framed(0, data)), framed(0x80, trailer)]);
  const bytes = find(hit, "garbage") === undefined ? whole : noise(whole);
  send(hit, response, bytes, text);
}

/** The whole body, or as much of it as a fault lets through. */
function send(
  faults: readonly Fault[],
  response: ServerResponse,
  bytes: Uint8Array,
  text = false,
): void {
  const drop = find(faults, "drop");
  if (drop !== undefined) {
    response.write(bytes.subarray(0, Math.min(drop.afterBytes, bytes.length - 1)), () => {
      response.destroy();
    });
    return;
  }
  response.end(text ? new TextEncoder().encode(Uint8Array.from(bytes).toBase64()) : bytes);
}

interface QueryContext {
  readonly graphql: FakeGraphql;
  readonly faults: Faults;
  readonly calls: Map<string, number>;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

const Query = v.object({
  query: v.string(),
  variables: v.optional(v.nullable(v.record(v.string(), v.unknown()))),
  operationName: v.optional(v.nullable(v.string())),
});

/** GraphQL over HTTP: one POST, one JSON answer. */
async function query({ graphql, faults, calls, request, response }: QueryContext): Promise<void> {
  const body = await readBody(request, MAX_REQUEST_BYTES);
  const contentType = request.headers["content-type"] ?? "";
  if (request.method !== "POST" || !contentType.startsWith("application/json")) {
    response.writeHead(415, { "content-type": "text/plain" }).end("expected GraphQL over POST");
    return;
  }
  const json: unknown = JSON.parse(new TextDecoder().decode(body));
  const { query, variables, operationName } = v.parse(Query, json);
  const asked = {
    query,
    variables: variables ?? undefined,
    operationName: operationName ?? undefined,
    bytes: body.length,
  };
  const method = graphql.method(asked);
  calls.set(method, (calls.get(method) ?? 0) + 1);
  const hit = faults.take(method);
  if (await misbehave(hit, response, JSON_FLOOD)) return;
  const answered = await graphql.answer(asked, hit);
  if (find(hit, "lost_answer") !== undefined) {
    response.destroy();
    return;
  }
  const whole = new TextEncoder().encode(JSON.stringify(answered));
  response.writeHead(200, { "content-type": "application/json" });
  send(hit, response, find(hit, "garbage") === undefined ? whole : noise(whole));
}

function noise(bytes: Uint8Array): Uint8Array {
  return bytes.map((byte, i) => (byte * 31 + i * 17 + 5) & 0xff);
}

/** How an endless answer begins: its content type, and its first bytes. */
interface Flood {
  readonly contentType: string;
  readonly begins: Uint8Array;
}

/** One message that claims 2 GiB and keeps coming. */
const GRPC_FLOOD: Flood = {
  contentType: "application/grpc-web+proto",
  begins: Uint8Array.of(0, 0x7f, 0xff, 0xff, 0xff),
};

/** A text that never closes its quote. */
const JSON_FLOOD: Flood = {
  contentType: "application/json",
  begins: new TextEncoder().encode('{"data":"'),
};

/** Faults that answer by themselves; true when there is nothing left to do. */
async function misbehave(
  faults: readonly Fault[],
  response: ServerResponse,
  flood: Flood,
): Promise<boolean> {
  const delay = find(faults, "delay");
  if (delay !== undefined) {
    await new Promise((resolve) => setTimeout(resolve, delay.milliseconds));
  }
  if (find(faults, "hang") !== undefined) return true;
  const http = find(faults, "http_status");
  if (http !== undefined) {
    const redirect = http.status >= 300 && http.status < 400 ? { location: "/control/state" } : {};
    response.writeHead(http.status, { "content-type": "text/plain", ...redirect }).end("as told");
    return true;
  }
  if (find(faults, "html") !== undefined) {
    response.writeHead(200, { "content-type": "text/html" }).end("<html>Please log in</html>");
    return true;
  }
  if (find(faults, "flood") !== undefined) {
    response.writeHead(200, { "content-type": flood.contentType });
    response.write(flood.begins);
    const chunk = new Uint8Array(256 * 1024).fill(0x20);
    // Chunk by chunk, so that everybody else in this process has a turn.
    let turn: ReturnType<typeof setTimeout> | undefined;
    const pump = () => {
      response.write(chunk, () => {
        if (!response.destroyed) turn = setTimeout(pump, 0);
      });
    };
    response.once("close", () => clearTimeout(turn));
    pump();
    return true;
  }
  return false;
}

/** The one message of a unary or server-streaming request. */
function unframe(body: Uint8Array, text: boolean): Uint8Array {
  const bytes = text ? Uint8Array.fromBase64(new TextDecoder().decode(body)) : body;
  if (bytes.length < 5 || bytes[0] !== 0) throw new GrpcStatus(3, "request: no data frame");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(1) !== bytes.length - 5) throw new GrpcStatus(3, "request: frame length");
  return bytes.subarray(5);
}

function framed(flag: number, data: Uint8Array): Uint8Array {
  const out = new Uint8Array(5 + data.length);
  out[0] = flag;
  new DataView(out.buffer).setUint32(1, data.length);
  out.set(data, 5);
  return out;
}
