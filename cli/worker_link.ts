/**
 * HTTP to the master over the TLS key that its evidence binds, and no other. One connection is kept
 * for what is asked again and again; a watch has its own.
 */
import { type IncomingMessage, request as httpRequest } from "node:http";
import type { Bytes } from "../backends/mod.ts";
import {
  type Connection,
  type Connections,
  createConnections,
  hostOf,
  portOf,
  WrongPeer,
} from "./worker_connection.ts";

export { WrongPeer };

const MAX_BODY_BYTES = 4 << 20;
const MAX_LINE_BYTES = 8 << 20;
/** Until a watch begins. */
const WATCH_TIMEOUT_MS = 15_000;

/** A connection that was kept broke off before the answer: whether the request arrived is not known. */
export class KeptConnectionLost extends Error {
  override readonly name = "KeptConnectionLost";
  readonly code = "kept_connection_lost";
}

export interface LinkRequest {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Bytes;
  readonly timeoutMs: number;
  /** Gives up sooner than the time says. */
  readonly signal?: AbortSignal | undefined;
}

export interface LinkAnswer {
  readonly status: number;
  readonly retryAfterSeconds: number | undefined;
  readonly body: string;
}

export interface MasterLink extends Disposable {
  /**
   * A GET is asked once more where a kept connection breaks off.
   * @throws {WrongPeer | KeptConnectionLost} and what the network throws
   */
  send(request: LinkRequest): Promise<LinkAnswer>;
  /**
   * The lines of a streamed answer, until it ends or the signal aborts.
   * @throws {StreamRefused} for any status but 200
   */
  lines(
    path: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): AsyncGenerator<
    string
  >;
}

export class StreamRefused extends Error {
  override readonly name = "StreamRefused";
  readonly status: number;
  constructor(status: number) {
    super(`the master answered ${status}`);
    this.status = status;
  }
}

interface Opened {
  readonly response: IncomingMessage;
  readonly connection: Connection;
}

async function openRequest(
  connections: Connections,
  master: URL,
  { method, path, headers, body, timeoutMs, signal }: LinkRequest,
  isFresh: boolean,
): Promise<Opened> {
  const deadline = AbortSignal.timeout(timeoutMs);
  const until = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
  const connection = await connections.take(until, isFresh);
  const answered = Promise.withResolvers<IncomingMessage>();
  const aborted = () => {
    answered.reject(until.reason);
    connection.destroy();
  };
  until.addEventListener("abort", aborted, { once: true });
  // node:http would look for another connection, and does not tell when there is none.
  const lost = () => answered.reject(new Error("the connection to the master broke off"));
  connection.socket.once("close", lost);
  try {
    const outgoing = httpRequest({
      method,
      host: hostOf(master),
      port: portOf(master),
      path,
      headers: {
        host: master.host,
        ...(body === undefined
          ? {}
          : { "content-type": "application/json", "content-length": String(body.length) }),
        ...headers,
      },
      agent: connection.agent,
    });
    outgoing.on("error", (error) => answered.reject(error));
    outgoing.on("response", (response) => answered.resolve(response));
    outgoing.end(body);
    return { response: await answered.promise, connection };
  } catch (cause) {
    connection.destroy();
    if (!connection.isReused || until.aborted) throw cause;
    throw new KeptConnectionLost("the connection to the master broke off", { cause });
  } finally {
    until.removeEventListener("abort", aborted);
    connection.socket.off("close", lost);
  }
}

/**
 * @param peerSpki what the evidence binds; undefined over plain HTTP only.
 * @param now milliseconds since the epoch
 */
export function createMasterLink(
  master: URL,
  peerSpki: Bytes | undefined,
  now: () => number,
): MasterLink {
  const connections = createConnections(master, peerSpki, now);
  const exchange = async (request: LinkRequest, isFresh: boolean): Promise<LinkAnswer> => {
    const { response, connection } = await openRequest(connections, master, request, isFresh);
    const timer = setTimeout(connection.destroy, request.timeoutMs);
    const { signal } = request;
    signal?.addEventListener("abort", connection.destroy, { once: true });
    if (signal?.aborted === true) connection.destroy();
    let isWhole = false;
    try {
      const chunks: Uint8Array[] = [];
      let length = 0;
      for await (const chunk of response) {
        const bytes: Uint8Array = chunk;
        length += bytes.length;
        if (length > MAX_BODY_BYTES) throw new Error("the master's answer is too long");
        chunks.push(bytes);
      }
      isWhole = response.complete;
      if (!isWhole) throw new Error("the master's answer broke off");
      const retryAfter = Number(response.headers["retry-after"]);
      return {
        status: response.statusCode ?? 0,
        retryAfterSeconds: Number.isFinite(retryAfter) ? retryAfter : undefined,
        body: new TextDecoder().decode(concat(chunks, length)),
      };
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", connection.destroy);
      if (isWhole && response.headers.connection !== "close") connection.release();
      else connection.destroy();
    }
  };
  return {
    async send(request) {
      try {
        return await exchange(request, false);
      } catch (error) {
        // Asking again changes nothing; what changes something is the caller's to send again.
        if (!(error instanceof KeptConnectionLost) || request.method !== "GET") throw error;
        return await exchange(request, true);
      }
    },
    async *lines(path, headers, signal) {
      const request = { method: "GET", path, headers, timeoutMs: WATCH_TIMEOUT_MS, signal };
      const { response, connection } = await openRequest(connections, master, request, true);
      signal.addEventListener("abort", connection.destroy, { once: true });
      if (signal.aborted) connection.destroy();
      try {
        if (response.statusCode !== 200) throw new StreamRefused(response.statusCode ?? 0);
        const decoder = new TextDecoder();
        let rest = "";
        for await (const chunk of response) {
          const bytes: Uint8Array = chunk;
          rest += decoder.decode(bytes, { stream: true });
          if (rest.length > MAX_LINE_BYTES) throw new Error("the master's line is too long");
          const lines = rest.split("\n");
          rest = lines.pop() ?? "";
          yield* lines.filter((line) => line !== "");
        }
      } finally {
        signal.removeEventListener("abort", connection.destroy);
        connection.destroy();
      }
    },
    [Symbol.dispose]: connections.close,
  };
}

function concat(chunks: readonly Uint8Array[], length: number): Bytes {
  const out = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    out.set(chunk, offset);
    offset += chunk.length;
  }
  return out;
}
