/**
 * A small gRPC client for tests: speaks to any etcd, waits for nothing it was not told, and lets
 * a test see statuses as they came. One connection; no retries.
 */
import { connect as connectNet, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import {
  DEFAULT_WINDOW_BYTES,
  FLAG,
  FRAME,
  FRAME_HEADER_BYTES,
  PREFACE,
  readU32,
  writeFrameHeader,
  writeU32,
} from "../../api/etcd/http2/frames.ts";
import { encodeHeaders, HpackDecoder } from "../../api/etcd/http2/hpack.ts";
import type { Message } from "../../api/etcd/protobuf/schema.ts";

export type Target =
  | { readonly path: string }
  | { readonly host: string; readonly port: number }
  | {
    readonly host: string;
    readonly port: number;
    readonly tls: { readonly ca: string; readonly cert?: string; readonly key?: string };
  };

export type Answer<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly code: number; readonly message: string };

export interface ClientStream<Request, Response> {
  send(request: Request): void;
  /** Half-closes. */
  end(): void;
  /** RST_STREAM. */
  cancel(): void;
  /** The next message, or the status that ended the stream. */
  next(): Promise<Answer<Response>>;
}

interface Exchange {
  onMessage(bytes: Uint8Array): void;
  onStatus(code: number, message: string): void;
  partial: Uint8Array;
  headers: Map<string, string>;
}

export class EtcdClient {
  readonly #socket: Socket;
  readonly #decoder = new HpackDecoder(4096, 65_536);
  readonly #exchanges = new Map<number, Exchange>();
  #nextId = 1;
  #rest = new Uint8Array(0);
  #closed: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => this.#onData(chunk));
    socket.on("error", (error: Error) => this.#onClose(error));
    socket.on("close", () => this.#onClose(new Error("the connection was closed")));
    const settings = new Uint8Array(6);
    settings[1] = 4;
    writeU32(settings, 2, 0x7fff_ffff);
    this.#write(new TextEncoder().encode(PREFACE));
    this.#frame(FRAME.settings, 0, 0, settings);
    const window = new Uint8Array(4);
    writeU32(window, 0, 0x7fff_ffff - DEFAULT_WINDOW_BYTES);
    this.#frame(FRAME.windowUpdate, 0, 0, window);
  }

  static async connect(target: Target): Promise<EtcdClient> {
    const socket = await new Promise<Socket>((resolve, reject) => {
      const open: Socket = "path" in target
        ? connectNet(target.path)
        : "tls" in target
        ? connectTls({
          host: target.host,
          port: target.port,
          servername: target.host,
          ALPNProtocols: ["h2"],
          ...target.tls,
        })
        : connectNet(target.port, target.host);
      open.once("tls" in target ? "secureConnect" : "connect", () => resolve(open));
      open.once("error", reject);
    });
    socket.setNoDelay(true);
    return new EtcdClient(socket);
  }

  async call<Request, Response>(
    path: string,
    request: Message<Request>,
    response: Message<Response>,
    value: Partial<Request>,
    fields: readonly (readonly [string, string])[] = [],
  ): Promise<Answer<Response>> {
    return await new Promise((resolve, reject) => {
      if (this.#closed !== undefined) return reject(this.#closed);
      let answer: Response | undefined;
      const id = this.#open(path, fields, {
        onMessage: (bytes) => answer = response.decode(bytes),
        onStatus: (code, message) =>
          resolve(
            code === 0 && answer !== undefined
              ? { ok: true, value: answer }
              : { ok: false, code, message },
          ),
        partial: new Uint8Array(0),
        headers: new Map(),
      });
      this.#message(id, request.encode(request.of(value)), true);
    });
  }

  stream<Request, Response>(
    path: string,
    request: Message<Request>,
    response: Message<Response>,
  ): ClientStream<Request, Response> {
    const ready: Answer<Response>[] = [];
    const waiting: ((answer: Answer<Response>) => void)[] = [];
    const push = (answer: Answer<Response>) => {
      const wake = waiting.shift();
      if (wake === undefined) ready.push(answer);
      else wake(answer);
    };
    const id = this.#open(path, [], {
      onMessage: (bytes) => push({ ok: true, value: response.decode(bytes) }),
      onStatus: (code, message) => push({ ok: false, code, message }),
      partial: new Uint8Array(0),
      headers: new Map(),
    });
    return {
      send: (value) => this.#message(id, request.encode(value), false),
      end: () => this.#frame(FRAME.data, FLAG.endStream, id, new Uint8Array(0)),
      cancel: () => {
        const code = new Uint8Array(4);
        writeU32(code, 0, 8);
        this.#exchanges.delete(id);
        this.#frame(FRAME.rstStream, 0, id, code);
      },
      next: () => {
        const answer = ready.shift();
        return answer === undefined
          ? new Promise((resolve) => waiting.push(resolve))
          : Promise.resolve(answer);
      },
    };
  }

  async close(): Promise<void> {
    if (this.#socket.destroyed) return;
    const closed = new Promise<void>((resolve) => this.#socket.once("close", () => resolve()));
    this.#socket.destroy();
    await closed;
  }

  #open(path: string, fields: readonly (readonly [string, string])[], exchange: Exchange): number {
    const id = this.#nextId;
    this.#nextId += 2;
    this.#exchanges.set(id, exchange);
    const block = encodeHeaders([
      [":method", "POST"],
      [":scheme", "http"],
      [":path", path],
      [":authority", "localhost"],
      ["content-type", "application/grpc"],
      ["te", "trailers"],
      ...fields,
    ]);
    this.#frame(FRAME.headers, FLAG.endHeaders, id, block);
    return id;
  }

  /** Tests keep requests below the first window, except where they mean not to. */
  #message(id: number, message: Uint8Array, end: boolean): void {
    const framed = new Uint8Array(5 + message.length);
    writeU32(framed, 1, message.length);
    framed.set(message, 5);
    for (let at = 0; at < framed.length; at += 16_384) {
      const part = framed.subarray(at, at + 16_384);
      const last = at + 16_384 >= framed.length;
      this.#frame(FRAME.data, end && last ? FLAG.endStream : 0, id, part);
    }
  }

  #frame(type: number, flags: number, id: number, payload: Uint8Array): void {
    const out = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
    writeFrameHeader(out, 0, payload.length, type, flags, id);
    out.set(payload, FRAME_HEADER_BYTES);
    this.#write(out);
  }

  #write(bytes: Uint8Array): void {
    if (this.#closed === undefined) this.#socket.write(bytes);
  }

  #onData(chunk: Uint8Array): void {
    const bytes = new Uint8Array(this.#rest.length + chunk.length);
    bytes.set(this.#rest);
    bytes.set(chunk, this.#rest.length);
    let at = 0;
    while (bytes.length - at >= FRAME_HEADER_BYTES) {
      const end = at + FRAME_HEADER_BYTES +
        ((bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!);
      if (end > bytes.length) break;
      this.#onFrame(
        bytes[at + 3]!,
        bytes[at + 4]!,
        readU32(bytes, at + 5),
        bytes.subarray(at + FRAME_HEADER_BYTES, end),
      );
      at = end;
    }
    this.#rest = bytes.slice(at);
  }

  #onFrame(type: number, flags: number, id: number, payload: Uint8Array): void {
    const exchange = this.#exchanges.get(id);
    switch (type) {
      case FRAME.settings:
        if ((flags & FLAG.ack) === 0) this.#frame(FRAME.settings, FLAG.ack, 0, new Uint8Array(0));
        return;
      case FRAME.ping:
        if ((flags & FLAG.ack) === 0) this.#frame(FRAME.ping, FLAG.ack, 0, payload);
        return;
      case FRAME.headers:
        this.#decoder.decode(payload, (name, value) => exchange?.headers.set(name, value));
        break;
      case FRAME.data:
        if (exchange !== undefined) this.#onMessageBytes(exchange, payload);
        break;
      case FRAME.rstStream: {
        const code = readU32(payload, 0);
        if (code !== 0) this.#finish(id, 14, `stream reset with code ${code}`);
        return;
      }
      case FRAME.goaway:
        return;
    }
    if (exchange !== undefined && (flags & FLAG.endStream) !== 0 && type !== FRAME.goaway) {
      const message = decodeURIComponent(exchange.headers.get("grpc-message") ?? "");
      this.#finish(id, Number(exchange.headers.get("grpc-status") ?? "2"), message);
    }
  }

  #onMessageBytes(exchange: Exchange, payload: Uint8Array): void {
    const bytes = new Uint8Array(exchange.partial.length + payload.length);
    bytes.set(exchange.partial);
    bytes.set(payload, exchange.partial.length);
    let at = 0;
    while (bytes.length - at >= 5) {
      const end = at + 5 + readU32(bytes, at + 1);
      if (end > bytes.length) break;
      exchange.onMessage(bytes.subarray(at + 5, end));
      at = end;
    }
    exchange.partial = bytes.slice(at);
  }

  #finish(id: number, code: number, message: string): void {
    const exchange = this.#exchanges.get(id);
    this.#exchanges.delete(id);
    exchange?.onStatus(code, message);
  }

  #onClose(error: Error): void {
    if (this.#closed !== undefined) return;
    this.#closed = error;
    for (const id of [...this.#exchanges.keys()]) this.#finish(id, 14, error.message);
  }
}
