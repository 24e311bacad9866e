/**
 * Connections of a worker to its master: the key of whoever answers is compared before a byte of a
 * request is sent, and one connection is kept for the next request. Certificates and names are not
 * looked at, the key says it all; a connection is kept no longer than its certificate lives.
 */
import { Agent } from "node:http";
import { connect as connectPlain, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { Bytes } from "../backends/mod.ts";
import { parseCertificate, sameBytes } from "../backends/x509/mod.ts";

/** Whoever answers does not hold the key of the appraised master. */
export class WrongPeer extends Error {
  override readonly name = "WrongPeer";
  readonly code = "wrong_peer";
}

/** Shorter than the master's own patience with idle connections (65 s). */
const MAX_IDLE_MS = 55_000;
/** After it a new handshake looks at the key again. */
const MAX_AGE_MS = 10 * 60_000;

export interface Connection {
  readonly socket: Socket;
  /** Sends requests over this socket and no other. */
  readonly agent: Agent;
  /** Whether a request was answered on it before. */
  readonly isReused: boolean;
  /** It answered completely: it may serve the next request. */
  release(): void;
  /** It is of no more use. */
  destroy(): void;
}

export interface Connections {
  /**
   * The kept connection, or a new one.
   *
   * @param isFresh the kept one is not wanted
   * @throws {WrongPeer} and what the network throws
   */
  take(signal: AbortSignal, isFresh?: boolean): Promise<Connection>;
  /** Ends the kept connection; those in use end with their requests. */
  close(): void;
}

interface Kept {
  readonly socket: Socket;
  readonly agent: PinnedAgent;
  /** Milliseconds since the epoch. */
  readonly until: number;
  readonly idle: ReturnType<typeof setTimeout>;
  /** Listens for the socket's end while it is kept, and no longer. */
  readonly onClose: () => void;
}

/** Makes no connection but the one that was checked. */
class PinnedAgent extends Agent {
  #socket: Socket | undefined;

  constructor(socket: Socket) {
    super({ keepAlive: true, maxSockets: 1 });
    this.#socket = socket;
  }

  /** Also asked where node:http, on its own, would send a request again over a new connection. */
  override createConnection(): Duplex {
    const socket = this.#socket;
    this.#socket = undefined;
    return socket ?? new Duplex().destroy();
  }
}

/**
 * @param peerSpki what the evidence binds; undefined over plain HTTP only
 * @param now milliseconds since the epoch
 */
export function createConnections(
  master: URL,
  peerSpki: Bytes | undefined,
  now: () => number,
): Connections {
  let kept: Kept | undefined;
  let isClosed = false;

  function drop(): void {
    if (kept === undefined) return;
    clearTimeout(kept.idle);
    kept.socket.off("close", kept.onClose);
    kept.socket.destroy();
    kept.agent.destroy();
    kept = undefined;
  }

  /** Out of the pool: whoever takes it is its owner. */
  function takeKept(): Kept | undefined {
    if (kept === undefined) return undefined;
    if (kept.socket.destroyed || !kept.socket.writable || kept.until <= now()) {
      drop();
      return undefined;
    }
    const taken = kept;
    clearTimeout(taken.idle);
    taken.socket.off("close", taken.onClose);
    kept = undefined;
    return taken;
  }

  function connection(
    socket: Socket,
    agent: PinnedAgent,
    until: number,
    isReused: boolean,
  ): Connection {
    const destroy = () => {
      socket.destroy();
      agent.destroy();
    };
    return {
      socket,
      agent,
      isReused,
      destroy,
      release() {
        if (isClosed || kept !== undefined || socket.destroyed || until <= now()) {
          destroy();
          return;
        }
        const idle = setTimeout(drop, MAX_IDLE_MS);
        // The master ends it, or says what nobody asked: it serves no more.
        kept = { socket, agent, until, idle, onClose: drop };
        socket.once("close", drop);
        // Nothing of it keeps a command from ending.
        Deno.unrefTimer(idle);
      },
    };
  }

  return {
    async take(signal, isFresh = false) {
      signal.throwIfAborted();
      const taken = isFresh ? undefined : takeKept();
      if (taken !== undefined) {
        return connection(taken.socket, taken.agent, taken.until, true);
      }
      const { socket, notAfter } = await open(master, peerSpki, signal);
      const until = Math.min(now() + MAX_AGE_MS, notAfter);
      return connection(socket, new PinnedAgent(socket), until, false);
    },
    close() {
      isClosed = true;
      drop();
    },
  };
}

/** @returns the connection, and when the certificate behind it ends. @throws {WrongPeer} */
async function open(
  master: URL,
  peerSpki: Bytes | undefined,
  signal: AbortSignal,
): Promise<{ readonly socket: Socket; readonly notAfter: number }> {
  const host = hostOf(master);
  const port = portOf(master);
  if (master.protocol !== "https:") {
    const socket = connectPlain({ host, port });
    await settled(socket, "connect", signal);
    return { socket, notAfter: Infinity };
  }
  const socket = connectTls({
    host,
    port,
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  });
  await settled(socket, "secureConnect", signal);
  try {
    const { spki, notAfter } = peerCertificate(socket);
    if (peerSpki === undefined || !sameBytes(spki, peerSpki)) {
      throw new WrongPeer("whoever answers does not hold the TLS key of the appraised master");
    }
    return { socket, notAfter };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Once the connection stands. */
function settled(socket: Socket, event: string, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (error: unknown) => {
    socket.destroy();
    reject(error instanceof Error ? error : new Error(String(error)));
  };
  const aborted = () => fail(signal.reason);
  if (signal.aborted) aborted();
  signal.addEventListener("abort", aborted, { once: true });
  socket.once("error", fail);
  socket.once(event, () => {
    signal.removeEventListener("abort", aborted);
    socket.off("error", fail);
    resolve();
  });
  return promise;
}

function peerCertificate(socket: TLSSocket): ReturnType<typeof parseCertificate> {
  const certificate: unknown = socket.getPeerCertificate(true);
  const raw: unknown =
    typeof certificate === "object" && certificate !== null && "raw" in certificate
      ? certificate.raw
      : undefined;
  if (!(raw instanceof Uint8Array)) throw new WrongPeer("the peer showed no certificate");
  return parseCertificate(raw);
}

export function hostOf(master: URL): string {
  return master.hostname.replace(/^\[|\]$/g, "");
}

export function portOf(master: URL): number {
  return master.port === "" ? (master.protocol === "https:" ? 443 : 80) : Number(master.port);
}
