/** The listener: limits that a slow or greedy client meets, and a shutdown that drains. */
import { createServer, type Server } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import type { Duplex } from "node:stream";
import type { Socket } from "node:net";
import type { Logger } from "@logtape/logtape";
import { type FetchApp, requestListener } from "./bridge.ts";
import { createHolds } from "./holds.ts";
import { titleOf } from "./problem.ts";
import { limitHandshakes } from "./tls/handshake_deadline.ts";

export interface ServerLimits {
  /** Until the header is complete; then 408. A TLS handshake takes no longer, either. */
  readonly headersTimeoutMs: number;
  /** Until header and body are complete; then 408. */
  readonly requestTimeoutMs: number;
  /** Between two requests on one connection. */
  readonly keepAliveTimeoutMs: number;
  /** All header lines together; beyond it 431. */
  readonly maxHeaderBytes: number;
  readonly maxHeaders: number;
  /** Open connections; further ones are closed at once. */
  readonly maxConnections: number;
  /** A client that takes nothing for this long while an answer waits is let go. */
  readonly writeTimeoutMs: number;
  /** How late an answer is that refuses one request of many (limits.refusals). */
  readonly holdMs: number;
  /** Answers that wait at a time; beyond it the connection is closed at once. */
  readonly maxHeld: number;
}

export const DEFAULT_SERVER_LIMITS: ServerLimits = Object.freeze({
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  keepAliveTimeoutMs: 65_000,
  maxHeaderBytes: 16 * 1024,
  maxHeaders: 100,
  maxConnections: 20_000,
  writeTimeoutMs: 30_000,
  holdMs: 250,
  maxHeld: 1_000,
});

/** PEM; the key never leaves memory. */
export interface TlsCredentials {
  readonly key: string;
  /** The certificate and what leads to the CA. */
  readonly certificateChain: string;
}

export interface ListenOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Undefined: plain HTTP. Whether that is allowed is the caller's to decide. */
  readonly tls: TlsCredentials | undefined;
  readonly limits: ServerLimits;
  readonly log: Logger;
}

export interface ApiServer {
  readonly host: string;
  /** The real one. */
  readonly port: number;
  readonly url: string;
  connections(): number;
  /** For new connections; open ones keep what they have. @throws {TypeError} without TLS. */
  renewCertificate(credentials: TlsCredentials): void;
  /**
   * Accepts nothing more, ends streams, waits for what is under way, then cuts what is left.
   *
   * @returns how many connections had to be cut.
   */
  close(deadlineMs: number): Promise<{ readonly cut: number }>;
}

/** @throws {Error} EADDRINUSE and the like, as the system says it. */
export async function listen(app: FetchApp, options: ListenOptions): Promise<ApiServer> {
  const { limits, log, tls } = options;
  const streams = new Set<() => void>();
  const listener = requestListener({
    app,
    streams,
    holds: createHolds(limits.holdMs, limits.maxHeld),
    encrypted: tls !== undefined,
    writeTimeoutMs: limits.writeTimeoutMs,
    onError: (error) => log.debug("a connection ended early: {error}", { error }),
  });
  const settings = {
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    maxHeaderSize: limits.maxHeaderBytes,
    connectionsCheckingInterval: Math.min(1_000, limits.headersTimeoutMs),
    insecureHTTPParser: false,
    joinDuplicateHeaders: false,
  };
  const secure: TlsServer | undefined = tls === undefined ? undefined : createTlsServer({
    ...settings,
    key: tls.key,
    cert: tls.certificateChain,
    minVersion: "TLSv1.2",
  }, listener);
  const server: Server | TlsServer = secure ?? createServer(settings, listener);
  if (secure !== undefined) {
    limitHandshakes(secure, limits.headersTimeoutMs, limits.maxConnections);
  }
  server.maxHeadersCount = limits.maxHeaders;
  server.on("clientError", answerClientError);
  const sockets = trackConnections(server, limits.maxConnections);

  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(options.port, options.host, resolve);
  await promise;
  server.off("error", reject);
  server.on("error", (error: Error) => log.error("the listener failed: {error}", { error }));

  const address = server.address();
  if (address === null || typeof address === "string") {
    throw new TypeError("the listener has no TCP address");
  }
  const scheme = tls === undefined ? "http" : "https";
  const shown = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return {
    host: address.address,
    port: address.port,
    url: `${scheme}://${shown}:${address.port}`,
    connections: () => sockets.size,
    renewCertificate(credentials) {
      if (secure === undefined) throw new TypeError("this listener has no TLS");
      secure.setSecureContext({ key: credentials.key, cert: credentials.certificateChain });
    },
    async close(deadlineMs) {
      const closing = shutDown(server, sockets, deadlineMs);
      // A watch has no end of its own; to its client this one looks like any other.
      for (const end of [...streams]) end();
      return await closing;
    },
  };
}

function trackConnections(server: Server | TlsServer, most: number): Set<Socket> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    if (sockets.size >= most) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  return sockets;
}

async function shutDown(
  server: Server | TlsServer,
  sockets: ReadonlySet<Socket>,
  deadlineMs: number,
): Promise<{ cut: number }> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeIdleConnections();
  let cut = 0;
  const timer = setTimeout(() => {
    cut = sockets.size;
    server.closeAllConnections();
    for (const socket of sockets) socket.destroy();
    resolve();
  }, deadlineMs);
  await promise;
  clearTimeout(timer);
  return { cut };
}

const CLIENT_ERRORS: Readonly<Record<string, { status: number; code: string; detail: string }>> = {
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: 408,
    code: "request_timeout",
    detail: "the request was not complete in time",
  },
  HPE_HEADER_OVERFLOW: {
    status: 431,
    code: "header_too_large",
    detail: "the header is larger than accepted",
  },
};

/** What never became a request is answered too, and the connection ends. */
function answerClientError(error: Error & { code?: string }, socket: Duplex): void {
  if (!socket.writable || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const { status, code, detail } = CLIENT_ERRORS[error.code ?? ""] ??
    { status: 400, code: "malformed_request", detail: "the request is malformed" };
  const title = titleOf(status);
  const body = JSON.stringify({
    type: `urn:nautilus-tee:problem:${code}`,
    title,
    status,
    detail,
    code,
  });
  socket.end(
    `HTTP/1.1 ${status} ${title}\r\nContent-Type: application/problem+json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
}
