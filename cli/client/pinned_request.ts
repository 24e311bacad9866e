/**
 * One HTTP request over a connection whose peer was checked before the first byte goes out. node:https
 * cannot hold back the request until its caller has looked at the certificate.
 */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { Bytes } from "../../backends/mod.ts";
import { Refused } from "../command.ts";
import { joined, peerSpki } from "./peer_key.ts";
import { unreachable } from "./unreachable.ts";
import { type PinnedStream, readStream } from "./pinned_stream.ts";

const MAX_ANSWER_BYTES = 4 << 20;

export interface PinnedRequest {
  readonly url: URL;
  readonly method: "GET" | "POST";
  /** JSON. */
  readonly body?: unknown;
  readonly bearer?: string;
  readonly timeoutMs: number;
}

/** Who may answer. */
export type PeerCheck =
  /** Whoever holds this key: DER SPKI, as evidence bound it. */
  | { readonly kind: "spki"; readonly spki: Bytes }
  /** Whoever holds a key with this SHA-256 of its SPKI. */
  | { readonly kind: "pin"; readonly sha256: Bytes }
  /** Whoever has a certificate by this CA for the name in the URL. PEM. */
  | { readonly kind: "ca"; readonly pem: string }
  /** Plain HTTP to this machine. */
  | { readonly kind: "loopback" };

export interface PinnedAnswer {
  readonly status: number;
  readonly body: string;
}

/** Somebody else answers than who was asked for. */
export class WrongPeer extends Refused {
  override readonly name = "WrongPeer";
  override readonly code = "wrong_peer";
}

/** An open connection to a peer that stood the check. */
export interface PinnedPeer {
  /** DER SPKI of the peer; undefined over plain HTTP. */
  readonly spki: Bytes | undefined;
  /** Sends the one request of this connection. @throws {Error} too slow, too long, broken off */
  send(request: PinnedRequest): Promise<PinnedAnswer>;
  /** The same for an answer of any length. `timeoutMs` is for the silence between two pieces. */
  stream(request: PinnedRequest): Promise<PinnedStream>;
  close(): void;
}

/** @throws {Error} when nobody answers; {WrongPeer} when somebody else does */
export async function connectPinned(
  url: URL,
  check: PeerCheck,
  timeoutMs: number,
): Promise<PinnedPeer> {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (check.kind === "loopback") {
    if (url.protocol !== "http:") throw new TypeError("loopback is for plain HTTP");
    const port = Number(url.port || 80);
    const socket = connectTcp({ host, port });
    await opened(socket, "connect", timeoutMs).catch((error: unknown) => {
      throw unreachable(url.origin, error);
    });
    return peer(socket, undefined);
  }
  if (url.protocol !== "https:") throw new TypeError(`${url.origin} is not TLS`);
  const socket = connectTls({
    host,
    port: Number(url.port || 443),
    ...(isAddress(host) ? {} : { servername: host }),
    ...(check.kind === "ca"
      ? { ca: check.pem, rejectUnauthorized: true }
      : { rejectUnauthorized: false, checkServerIdentity: () => undefined }),
  });
  await opened(socket, "secureConnect", timeoutMs).catch((error: unknown) => {
    throw certificateRefusal(url, error) ?? unreachable(url.origin, error);
  });
  try {
    const spki = peerSpki(socket);
    if (check.kind === "spki" && spki.toHex() !== check.spki.toHex()) {
      throw new WrongPeer(`${url.origin} answers with another key than its evidence binds`);
    }
    if (check.kind === "pin") {
      const found = new Uint8Array(await crypto.subtle.digest("SHA-256", spki)).toHex();
      if (found !== check.sha256.toHex()) {
        throw new WrongPeer(`${url.origin} answers with the key ${found}, not with the pinned one`);
      }
    }
    if (check.kind === "ca" && !socket.authorized) {
      throw new WrongPeer(`${url.origin}: the certificate is not by the given CA`);
    }
    return peer(socket, spki);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function isAddress(host: string): boolean {
  return host.includes(":") || /^\d+\.\d+\.\d+\.\d+$/.test(host);
}

/** What OpenSSL says of a certificate, or of the name in it; undefined for what is no matter of those. */
function certificateRefusal(url: URL, error: unknown): WrongPeer | undefined {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (!/CERT|^UNABLE_TO_|^HOSTNAME_/.test(code)) return undefined;
  return new WrongPeer(
    `${url.origin}: the certificate is not by the given CA, or not for this name`,
    { cause: error },
  );
}

async function opened(
  socket: Socket | TLSSocket,
  event: "connect" | "secureConnect",
  timeoutMs: number,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  socket.once(event, () => resolve());
  socket.once("error", reject);
  try {
    await promise;
    socket.off("error", reject);
  } catch (error) {
    socket.on("error", () => {}); // it is given up already
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function peer(socket: Socket | TLSSocket, spki: Bytes | undefined): PinnedPeer {
  return {
    spki,
    close: () => void socket.destroy(),
    stream: (request) => readStream(socket, encode(request), request.timeoutMs),
    async send(request) {
      const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
      const timer = setTimeout(
        () => reject(new Error(`no answer within ${request.timeoutMs} ms`)),
        request.timeoutMs,
      );
      const chunks: Uint8Array[] = [];
      let length = 0;
      socket.on("data", (chunk: Uint8Array) => {
        length += chunk.length;
        if (length > MAX_ANSWER_BYTES) reject(new Error("the answer is too long"));
        else chunks.push(chunk);
      });
      socket.on("error", reject);
      socket.on("end", () => resolve(joined(chunks, length)));
      socket.on("close", () => resolve(joined(chunks, length)));
      socket.write(encode(request));
      try {
        return decode(await promise);
      } finally {
        clearTimeout(timer);
        socket.destroy();
      }
    },
  };
}

/** HTTP/1.1 with `Connection: close`: the answer ends where the connection does. */
function encode({ url, method, body, bearer }: PinnedRequest): Uint8Array {
  const content = body === undefined ? "" : JSON.stringify(body);
  const lines = [
    `${method} ${url.pathname}${url.search} HTTP/1.1`,
    `Host: ${url.host}`,
    "Connection: close",
    "Accept: application/json",
    ...(bearer === undefined ? [] : [`Authorization: Bearer ${bearer}`]),
    ...(method === "GET" ? [] : [
      "Content-Type: application/json",
      `Content-Length: ${new TextEncoder().encode(content).length}`,
    ]),
  ];
  return new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n${content}`);
}

/** @throws {Error} an answer that is none, or breaks off */
function decode(bytes: Uint8Array): PinnedAnswer {
  const text = new TextDecoder("latin1").decode(bytes);
  const end = text.indexOf("\r\n\r\n");
  const match = /^HTTP\/1\.[01] (\d{3})[ \r]/.exec(text);
  if (end < 0 || match === null) throw new Error("the connection ended without an answer");
  const head = text.slice(0, end).toLowerCase();
  const content = bytes.subarray(end + 4);
  const declared = /\r\ncontent-length: *(\d+)/.exec(head)?.[1];
  const whole = /\r\ntransfer-encoding: *chunked/.test(head)
    ? unchunk(content)
    : declared === undefined
    ? content
    : content.length === Number(declared)
    ? content
    : undefined;
  if (whole === undefined) throw new Error("the answer broke off");
  return { status: Number(match[1]), body: new TextDecoder().decode(whole) };
}

/** RFC 9112, 7.1; undefined where the last chunk is missing. */
function unchunk(bytes: Uint8Array): Uint8Array | undefined {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (let at = 0;;) {
    let line = at;
    while (line < bytes.length && bytes[line] !== 0x0a) line++;
    const size = parseInt(new TextDecoder("latin1").decode(bytes.subarray(at, line)), 16);
    if (!(size >= 0) || line + 1 + size > bytes.length) return undefined;
    if (size === 0) return joined(chunks, length);
    chunks.push(bytes.subarray(line + 1, line + 1 + size));
    length += size;
    at = line + 1 + size + 2;
  }
}
