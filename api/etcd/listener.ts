/** Sockets: which protocol a client speaks, and who may connect at all. */
import type { Buffer } from "node:buffer";
import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { createServer as createNetServer, type Server as NetServer, type Socket } from "node:net";
import { createServer as createTlsServer, type Server as TlsServer, TLSSocket } from "node:tls";
import type { Gateway } from "./gateway.ts";
import type { GrpcServer } from "./grpc/server.ts";
import { Http2Connection } from "./http2/connection.ts";
import { type ConnectionLimits, DEFAULT_LIMITS } from "./http2/limits.ts";
import { limitHandshakes } from "../tls/handshake_deadline.ts";

/** PEM texts. */
export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
  /** Clients must show a certificate of one of these authorities. */
  readonly clientAuthorities: string;
}

export type ListenSpec =
  /** The folder must be private (0700): who may open it, may do everything. */
  | { readonly kind: "unix"; readonly path: string }
  | {
    readonly kind: "tls";
    readonly host: string;
    readonly port: number;
    readonly tls: TlsFiles;
  };

export type BoundAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tls"; readonly host: string; readonly port: number };

export class ListenError extends Error {
  override readonly name = "ListenError";
  readonly code = "listen";
  readonly hint: string | undefined;
  constructor(message: string, options: { cause?: unknown; hint?: string } = {}) {
    super(message, { cause: options.cause });
    this.hint = options.hint;
  }
}

const FIRST_BYTES_TIMEOUT_MS = 10_000;
/** sockaddr_un.sun_path on Linux, with its final zero. */
const MAX_UNIX_PATH_BYTES = 107;
const KEEP_ALIVE_MS = 30_000;

export interface ListenerOptions {
  readonly grpc: GrpcServer;
  readonly gateway: Gateway;
  /** Connections at once; more are closed at once. */
  readonly maxConnections: number;
  readonly http2?: Partial<ConnectionLimits>;
  /** A connection ended because its client broke a rule. */
  readonly onProtocolError: (error: Error) => void;
}

/** All listeners of one etcd server and their connections. */
export class Listeners {
  readonly #options: ListenerOptions;
  readonly #limits: ConnectionLimits;
  readonly #http: HttpServer;
  readonly #servers: NetServer[] = [];
  readonly #tlsServers: TlsServer[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #connections = new Set<Http2Connection>();
  #closing = false;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.http2 };
    this.#http = createHttpServer(
      { maxHeaderSize: 16_384, headersTimeout: 10_000, requestTimeout: 30_000 },
      (request, response) => options.gateway.handle(request, response),
    );
  }

  get connectionCount(): number {
    return this.#sockets.size;
  }

  /** @throws {ListenError} */
  async listen(spec: ListenSpec): Promise<BoundAddress> {
    return spec.kind === "unix" ? await this.#listenUnix(spec.path) : await this.#listenTls(spec);
  }

  /** New TLS connections get these; open ones keep what they have. */
  renewTls(files: TlsFiles): void {
    for (const server of this.#tlsServers) server.setSecureContext(contextOf(files));
  }

  /** Takes no more connections; open ones finish what they are at, for at most so long. */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    const stopped = this.#servers.map((server) =>
      new Promise<void>((resolve) => server.close(() => resolve()))
    );
    for (const connection of this.#connections) connection.drain();
    this.#http.closeIdleConnections();
    const deadline = setTimeout(() => {
      for (const connection of [...this.#connections]) connection.destroy();
      for (const socket of [...this.#sockets]) socket.destroy();
    }, graceMs);
    // Idle gateway connections would hold the server open for the whole grace.
    for (const socket of [...this.#sockets]) {
      if (!this.#http2Sockets.has(socket)) socket.destroySoon();
    }
    try {
      await Promise.all(stopped);
    } finally {
      clearTimeout(deadline);
      this.#http.close();
    }
  }

  readonly #http2Sockets = new WeakSet<Socket>();

  async #listenUnix(path: string): Promise<BoundAddress> {
    if (new TextEncoder().encode(path).length > MAX_UNIX_PATH_BYTES) {
      throw new ListenError(`socket path ${path} is longer than ${MAX_UNIX_PATH_BYTES} bytes`, {
        hint: "choose a shorter runtime directory",
      });
    }
    await removeStaleSocket(path);
    const server = createNetServer((socket) => this.#accept(socket));
    await listening(server, () => server.listen(path), path);
    this.#servers.push(server);
    await Deno.chmod(path, 0o600);
    return { kind: "unix", path };
  }

  async #listenTls(spec: ListenSpec & { readonly kind: "tls" }): Promise<BoundAddress> {
    const { host, port, tls } = spec;
    const server = createTlsServer({
      ...contextOf(tls),
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: ["h2", "http/1.1"],
    }, (socket) => {
      // The runtime refuses already; nobody gets further if it ever did not.
      if (!socket.authorized) socket.destroy();
      else this.#accept(socket);
    });
    limitHandshakes(server, FIRST_BYTES_TIMEOUT_MS, this.#options.maxConnections);
    server.on("tlsClientError", (error: Error) => this.#options.onProtocolError(error));
    await listening(server, () => server.listen(port, host), `${host}:${port}`);
    this.#servers.push(server);
    this.#tlsServers.push(server);
    const address = server.address();
    if (address === null || typeof address === "string") {
      throw new ListenError(`${host}:${port} has no address`);
    }
    return { kind: "tls", host, port: address.port };
  }

  #accept(socket: Socket): void {
    if (this.#closing || this.#sockets.size >= this.#options.maxConnections) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    if (!(socket instanceof TLSSocket)) socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.setNoDelay(true);
    this.#sniff(socket);
  }

  /** HTTP/2 begins with "PRI"; no HTTP/1 method begins with "PR" and goes on with "I". */
  #sniff(socket: Socket): void {
    const timer = setTimeout(() => socket.destroy(), FIRST_BYTES_TIMEOUT_MS);
    const forget = () => clearTimeout(timer);
    socket.once("close", forget);
    const parts: Uint8Array[] = [];
    let size = 0;
    const onData = (chunk: Buffer) => {
      parts.push(chunk);
      size += chunk.length;
      if (size < 3) return;
      const first = parts.length === 1 ? parts[0]! : join(parts, size);
      socket.removeListener("data", onData);
      socket.removeListener("close", forget);
      clearTimeout(timer);
      if (first[0] === 0x50 && first[1] === 0x52 && first[2] === 0x49) this.#http2(socket, first);
      else this.#http1(socket, first);
    };
    socket.on("data", onData);
  }

  #http2(socket: Socket, first: Uint8Array): void {
    this.#http2Sockets.add(socket);
    const connection = new Http2Connection(socket, {
      onRequest: (stream, headers) => this.#options.grpc.accept(stream, headers),
      onClose: (closed, cause) => {
        this.#connections.delete(closed);
        if (cause !== undefined) this.#options.onProtocolError(cause);
      },
    }, this.#limits);
    this.#connections.add(connection);
    connection.receive(first);
  }

  #http1(socket: Socket, first: Uint8Array): void {
    socket.pause();
    socket.unshift(first);
    this.#http.emit("connection", socket);
    socket.resume();
  }
}

function contextOf({ certificate, key, clientAuthorities }: TlsFiles) {
  return { cert: certificate, key, ca: clientAuthorities, minVersion: "TLSv1.2" } as const;
}

function join(parts: readonly Uint8Array[], size: number): Uint8Array {
  const out = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** A socket that a killed master left behind; its data directory's lock says that none is alive. */
async function removeStaleSocket(path: string): Promise<void> {
  try {
    const info = await Deno.lstat(path);
    if (!info.isSocket) throw new ListenError(`${path} is there and is no socket`);
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

async function listening(server: NetServer, start: () => void, where: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const onError = (cause: Error) =>
      reject(new ListenError(`cannot listen on ${where}`, { cause }));
    server.once("error", onError);
    server.once("listening", () => {
      server.removeListener("error", onError);
      resolve();
    });
    start();
  });
}
