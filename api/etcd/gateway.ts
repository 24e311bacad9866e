/**
 * etcd's JSON gateway over HTTP/1.1: POST /v3/… with JSON messages, streams as JSON lines; beside
 * it `/health` and `/version`, which tools ask for.
 */
import { Buffer } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import { ETCD_CLUSTER_VERSION, ETCD_VERSION } from "./context.ts";
import { toGrpcError } from "./errors.ts";
import type { JsonMethod, Method } from "./grpc/method.ts";
import { CODE, GrpcError } from "./grpc/status.ts";
import { ProtobufError } from "./protobuf/wire.ts";

const KV = "/etcdserverpb.KV/";
const LEASE = "/etcdserverpb.Lease/";
const CLUSTER = "/etcdserverpb.Cluster/";
const MAINTENANCE = "/etcdserverpb.Maintenance/";

/** As the annotations in etcd's rpc.proto. */
const ROUTES: Readonly<Record<string, string>> = {
  "/v3/kv/range": KV + "Range",
  "/v3/kv/put": KV + "Put",
  "/v3/kv/deleterange": KV + "DeleteRange",
  "/v3/kv/txn": KV + "Txn",
  "/v3/kv/compaction": KV + "Compact",
  "/v3/watch": "/etcdserverpb.Watch/Watch",
  "/v3/lease/grant": LEASE + "LeaseGrant",
  "/v3/lease/revoke": LEASE + "LeaseRevoke",
  "/v3/kv/lease/revoke": LEASE + "LeaseRevoke",
  "/v3/lease/keepalive": LEASE + "LeaseKeepAlive",
  "/v3/lease/timetolive": LEASE + "LeaseTimeToLive",
  "/v3/kv/lease/timetolive": LEASE + "LeaseTimeToLive",
  "/v3/lease/leases": LEASE + "LeaseLeases",
  "/v3/kv/lease/leases": LEASE + "LeaseLeases",
  "/v3/maintenance/status": MAINTENANCE + "Status",
  "/v3/maintenance/alarm": MAINTENANCE + "Alarm",
  "/v3/maintenance/defragment": MAINTENANCE + "Defragment",
  "/v3/maintenance/hash": MAINTENANCE + "Hash",
  "/v3/maintenance/hashkv": MAINTENANCE + "HashKV",
  "/v3/maintenance/snapshot": MAINTENANCE + "Snapshot",
  "/v3/cluster/member/list": CLUSTER + "MemberList",
};

/** As grpc-gateway answers a status. */
const HTTP_STATUS: Readonly<Record<number, number>> = {
  [CODE.cancelled]: 408,
  [CODE.invalidArgument]: 400,
  [CODE.deadlineExceeded]: 504,
  [CODE.notFound]: 404,
  [CODE.alreadyExists]: 409,
  [CODE.permissionDenied]: 403,
  [CODE.resourceExhausted]: 429,
  [CODE.failedPrecondition]: 412,
  [CODE.aborted]: 409,
  [CODE.outOfRange]: 400,
  [CODE.unimplemented]: 501,
  [CODE.unavailable]: 503,
  [CODE.unauthenticated]: 401,
};

export interface GatewayOptions {
  readonly methods: readonly Method[];
  readonly maxBodyBytes: number;
  readonly healthy: () => boolean;
}

export class Gateway {
  readonly #methods = new Map<string, JsonMethod>();
  readonly #options: GatewayOptions;
  readonly #streams = new Set<() => void>();

  constructor(options: GatewayOptions) {
    this.#options = options;
    for (const method of options.methods) {
      if (method.json !== undefined) this.#methods.set(method.path, method.json);
    }
  }

  /** Ends every stream: the server stops. */
  close(): void {
    for (const end of [...this.#streams]) end();
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    this.#handle(request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else sendError(response, error);
    });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? "").split("?")[0]!;
    if (request.method === "GET" && path === "/health") {
      const healthy = this.#options.healthy();
      return send(response, healthy ? 200 : 503, { health: String(healthy) });
    }
    if (request.method === "GET" && path === "/version") {
      return send(response, 200, {
        etcdserver: ETCD_VERSION,
        etcdcluster: ETCD_CLUSTER_VERSION,
      });
    }
    const route = Object.hasOwn(ROUTES, path) ? ROUTES[path] : undefined;
    const method = route === undefined ? undefined : this.#methods.get(route);
    if (method === undefined) return send(response, 404, errorBody(CODE.notFound, "Not Found"));
    if (request.method !== "POST") {
      response.setHeader("allow", "POST");
      return send(response, 405, errorBody(CODE.unimplemented, "Method Not Allowed"));
    }
    const body = await readBody(request, this.#options.maxBodyBytes);
    const json = parse(body);
    if (method.kind === "unary") {
      return send(response, 200, await method.call(json, body.length));
    }
    this.#stream(method, json, response);
  }

  #stream(
    method: JsonMethod & { readonly kind: "stream" },
    json: unknown,
    response: ServerResponse,
  ): void {
    const abort = new AbortController();
    let over = false;
    const finish = () => {
      if (over) return;
      over = true;
      this.#streams.delete(stop);
      abort.abort();
      listener.onClose();
      response.end();
    };
    const fail = (error: unknown) => {
      if (over) return;
      if (!response.headersSent) {
        sendError(response, error);
      } else {
        const { code, message } = asGrpcError(error);
        const http_code = HTTP_STATUS[code] ?? 500;
        response.write(JSON.stringify({ error: { grpc_code: code, http_code, message } }) + "\n");
      }
      finish();
    };
    const stop = () => fail(new GrpcError(CODE.unavailable, "etcdserver: server stopped"));
    const listener = method.open({
      send(value) {
        if (over) return;
        if (!response.headersSent) response.writeHead(200, { "content-type": "application/json" });
        response.write(JSON.stringify({ result: value }) + "\n");
      },
      sendAs: () => {},
      get bufferedBytes() {
        return response.writableLength;
      },
      signal: abort.signal,
      end: finish,
      fail,
    });
    this.#streams.add(stop);
    response.on("drain", () => listener.onDrain());
    response.on("close", finish);
    try {
      listener.onMessage(json);
      listener.onEnd();
    } catch (error) {
      fail(error);
    }
  }
}

function parse(body: Uint8Array): unknown {
  if (body.length === 0) return {};
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (cause) {
    throw new GrpcError(CODE.invalidArgument, "the body is not JSON", { cause });
  }
}

const DISCARD_FACTOR = 4;

async function readBody(request: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of request) {
    if (!(part instanceof Uint8Array)) throw new TypeError("the request has an encoding");
    size += part.length;
    if (size <= maxBytes) parts.push(part);
    // A client hears the answer only if what it still sends is read, within reason.
    else if (size > maxBytes * DISCARD_FACTOR) break;
  }
  if (size > maxBytes) {
    throw new GrpcError(CODE.invalidArgument, "etcdserver: request is too large");
  }
  return Buffer.concat(parts);
}

function asGrpcError(error: unknown): GrpcError {
  return error instanceof ProtobufError
    ? new GrpcError(CODE.invalidArgument, error.message)
    : toGrpcError(error);
}

function sendError(response: ServerResponse, error: unknown): void {
  const { code, message } = asGrpcError(error);
  send(response, HTTP_STATUS[code] ?? 500, errorBody(code, message));
}

function errorBody(code: number, message: string): unknown {
  return { error: message, code, message };
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
  });
  response.end(text);
}
