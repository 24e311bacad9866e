/**
 * HTTP to the master over the TLS key that its evidence binds, and no other: the key is compared
 * before a byte of a request is sent. Certificates and names are not looked at, the key says it all.
 */
import { type ClientRequest, type IncomingMessage, request as httpRequest } from "node:http";
import { connect, type TLSSocket } from "node:tls";
import type { Bytes } from "../backends/mod.ts";
import { parseCertificate, sameBytes } from "../backends/x509/mod.ts";

const MAX_BODY_BYTES = 4 << 20;
const MAX_LINE_BYTES = 8 << 20;

/** Whoever answers does not hold the key of the appraised master. */
export class WrongPeer extends Error {
  override readonly name = "WrongPeer";
  readonly code = "wrong_peer";
}

export interface LinkRequest {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Bytes;
  readonly timeoutMs: number;
}

export interface LinkAnswer {
  readonly status: number;
  readonly retryAfterSeconds: number | undefined;
  readonly body: string;
}

export interface MasterLink {
  /** @throws {WrongPeer} and what the network throws */
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

/** @param peerSpki what the evidence binds; undefined over plain HTTP only. */
export function createMasterLink(master: URL, peerSpki: Bytes | undefined): MasterLink {
  const open = async (
    { method, path, headers, body, timeoutMs }: LinkRequest,
    signal?: AbortSignal,
  ): Promise<{ response: IncomingMessage; close(): void }> => {
    const deadline = AbortSignal.timeout(timeoutMs);
    const until = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
    const socket = master.protocol === "https:" ? await pinned(master, peerSpki, until) : undefined;
    const answered = Promise.withResolvers<IncomingMessage>();
    const outgoing: ClientRequest = httpRequest({
      method,
      host: hostOf(master),
      port: portOf(master),
      path,
      headers: {
        host: master.host,
        connection: "close",
        ...(body === undefined
          ? {}
          : { "content-type": "application/json", "content-length": String(body.length) }),
        ...headers,
      },
      // Not with `agent: false`: an agent of its own would make a connection of its own.
      ...(socket === undefined ? {} : { createConnection: () => socket }),
    });
    outgoing.on("socket", (used) => {
      if (socket !== undefined && used !== socket) {
        outgoing.destroy(new WrongPeer("the request was about to take another connection"));
      }
    });
    const close = () => {
      outgoing.destroy();
      socket?.destroy();
    };
    const aborted = () => {
      answered.reject(until.reason);
      close();
    };
    until.addEventListener("abort", aborted, { once: true });
    outgoing.on("error", (error) => answered.reject(error));
    outgoing.on("response", (response) => answered.resolve(response));
    outgoing.end(body);
    try {
      return { response: await answered.promise, close };
    } catch (error) {
      close();
      throw error;
    } finally {
      until.removeEventListener("abort", aborted);
    }
  };
  return {
    async send(request) {
      const { response, close } = await open(request);
      const timer = setTimeout(close, request.timeoutMs);
      try {
        const chunks: Uint8Array[] = [];
        let length = 0;
        for await (const chunk of response) {
          const bytes: Uint8Array = chunk;
          length += bytes.length;
          if (length > MAX_BODY_BYTES) throw new Error("the master's answer is too long");
          chunks.push(bytes);
        }
        const retryAfter = Number(response.headers["retry-after"]);
        return {
          status: response.statusCode ?? 0,
          retryAfterSeconds: Number.isFinite(retryAfter) ? retryAfter : undefined,
          body: new TextDecoder().decode(concat(chunks, length)),
        };
      } finally {
        clearTimeout(timer);
        close();
      }
    },
    async *lines(path, headers, signal) {
      const { response, close } = await open(
        { method: "GET", path, headers, timeoutMs: 15_000 },
        signal,
      );
      signal.addEventListener("abort", close, { once: true });
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
        signal.removeEventListener("abort", close);
        close();
      }
    },
  };
}

/** A TLS connection whose peer proved to hold the key. @throws {WrongPeer} */
function pinned(
  master: URL,
  spki: Bytes | undefined,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  const socket = connect({
    host: hostOf(master),
    port: portOf(master),
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  });
  const fail = (error: unknown) => {
    socket.destroy();
    reject(error instanceof Error ? error : new Error(String(error)));
  };
  const aborted = () => fail(signal.reason);
  signal.addEventListener("abort", aborted, { once: true });
  socket.once("error", fail);
  socket.once("secureConnect", () => {
    signal.removeEventListener("abort", aborted);
    try {
      if (spki === undefined || !sameBytes(peerKey(socket), spki)) {
        throw new WrongPeer("whoever answers does not hold the TLS key of the appraised master");
      }
      socket.off("error", fail);
      resolve(socket);
    } catch (error) {
      fail(error);
    }
  });
  return promise;
}

function peerKey(socket: TLSSocket): Bytes {
  const certificate: unknown = socket.getPeerCertificate(true);
  const raw: unknown =
    typeof certificate === "object" && certificate !== null && "raw" in certificate
      ? certificate.raw
      : undefined;
  if (!(raw instanceof Uint8Array)) throw new WrongPeer("the peer showed no certificate");
  return parseCertificate(raw).spki;
}

function hostOf(master: URL): string {
  return master.hostname.replace(/^\[|\]$/g, "");
}

function portOf(master: URL): number {
  return master.port === "" ? (master.protocol === "https:" ? 443 : 80) : Number(master.port);
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
