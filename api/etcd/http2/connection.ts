/**
 * An HTTP/2 server connection (RFC 9113) for gRPC: no push, no priorities, fixed settings.
 *
 * Why not node:http2: on this runtime its native session aborts the process under plain load.
 * This one is memory-safe, answers a group of requests with one write to the socket, and lets
 * nobody make it hold more than its limits: reading stops while the client does not read.
 */
import type { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import { FrameOutput } from "./frame_output.ts";
import { FrameParser, unpad } from "./frame_parser.ts";
import {
  ConnectionError,
  DEFAULT_WINDOW_BYTES,
  ERROR,
  type ErrorCode,
  FLAG,
  FRAME,
  MAX_WINDOW_BYTES,
  readU32,
} from "./frames.ts";
import { type HeaderBlock, HeaderBlocks } from "./header_blocks.ts";
import { HpackDecoder } from "./hpack.ts";
import { HpackError } from "./hpack_error.ts";
import { type ConnectionLimits, DEFAULT_LIMITS } from "./limits.ts";
import { QueuedStream, type QueuePort } from "./queued_stream.ts";
import { SendQueue } from "./send_queue.ts";
import { decodeSettings, encodeSettings } from "./settings.ts";
import { RequestHeaders, type ResponseStream, type StreamListener } from "./stream.ts";

export interface ConnectionHandler {
  /** Undefined where the request was answered at once. */
  onRequest(stream: ResponseStream, headers: RequestHeaders): StreamListener | undefined;
  onClose(connection: Http2Connection, cause: Error | undefined): void;
}

const HEADER_TABLE_BYTES = 4_096;
const NO_BYTES = new Uint8Array(0);

export class Http2Connection {
  readonly #socket: Socket;
  readonly #handler: ConnectionHandler;
  readonly #limits: ConnectionLimits;
  readonly #decoder: HpackDecoder;
  readonly #streams = new Map<number, QueuedStream>();
  readonly #parser = new FrameParser((type, flags, id, payload) => {
    this.#onFrame(type, flags, id, payload);
    return this.#isOpen();
  });
  readonly #blocks = new HeaderBlocks();
  readonly #out = new FrameOutput((bytes) => this.#toSocket(bytes));
  readonly #queue = new SendQueue(this.#out);

  #phase: "settings" | "frames" | "closed" = "settings";
  #prefaceTimer: ReturnType<typeof setTimeout> | undefined;
  #lastStreamId = 0;
  #draining = false;
  #resets = 0;

  #peerStreamWindow = DEFAULT_WINDOW_BYTES;
  #receiveWindow: number;
  #received = 0;

  constructor(
    socket: Socket,
    handler: ConnectionHandler,
    limits: ConnectionLimits = DEFAULT_LIMITS,
  ) {
    this.#socket = socket;
    this.#handler = handler;
    this.#limits = limits;
    this.#receiveWindow = limits.connectionWindowBytes;
    this.#decoder = new HpackDecoder(HEADER_TABLE_BYTES, limits.maxHeaderListBytes);
    this.#prefaceTimer = setTimeout(
      () => this.#fail(new ConnectionError(ERROR.settingsTimeout, "no HTTP/2 preface in time")),
      limits.prefaceTimeoutMs,
    );
    socket.on("data", (chunk: Buffer) => this.receive(chunk));
    socket.on("drain", () => this.#onDrain());
    socket.on("error", (error: Error) => this.#closed(error));
    socket.on("end", () => this.#closed(undefined));
    socket.on("close", () => this.#closed(undefined));
    this.#greet();
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  /** Takes no new streams; those that are open may finish. */
  drain(): void {
    if (this.#draining || this.#phase === "closed") return;
    this.#draining = true;
    this.#out.goaway(this.#lastStreamId, ERROR.noError, "shutting down");
    if (this.#streams.size === 0) this.#finish();
  }

  /** Ends every stream without an answer and closes. */
  destroy(): void {
    this.#closed(undefined);
  }

  // ---- receiving

  /** Takes bytes that came before the connection had its socket to itself. */
  receive(chunk: Uint8Array): void {
    if (this.#phase === "closed") return;
    try {
      this.#parser.push(chunk);
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (this.#queue.congested) this.#socket.pause();
  }

  #isOpen(): boolean {
    return this.#phase !== "closed";
  }

  #onFrame(type: number, flags: number, id: number, payload: Uint8Array): void {
    if (this.#phase === "settings") {
      if (type !== FRAME.settings || (flags & FLAG.ack) !== 0) {
        throw new ConnectionError(ERROR.protocol, "the first frame is not SETTINGS");
      }
      clearTimeout(this.#prefaceTimer);
      this.#phase = "frames";
    }
    this.#blocks.check(type, id);
    switch (type) {
      case FRAME.data:
        return this.#onDataFrame(flags, id, payload);
      case FRAME.headers:
        return this.#onBlock(this.#blocks.headers(flags, id, payload));
      case FRAME.continuation:
        return this.#onBlock(this.#blocks.continuation(flags, payload));
      case FRAME.rstStream:
        return this.#onReset(id, payload);
      case FRAME.settings:
        return this.#onSettings(flags, id, payload);
      case FRAME.ping:
        return this.#onPing(flags, id, payload);
      case FRAME.windowUpdate:
        return this.#onWindowUpdate(id, payload);
      case FRAME.goaway:
        if (id !== 0) throw new ConnectionError(ERROR.protocol, "GOAWAY on a stream");
        if (payload.length < 8) throw new ConnectionError(ERROR.frameSize, "GOAWAY too short");
        return;
      case FRAME.priority:
        if (id === 0) throw new ConnectionError(ERROR.protocol, "PRIORITY without a stream");
        if (payload.length !== 5) this.#resetStream(id, ERROR.frameSize);
        return;
      case FRAME.pushPromise:
        throw new ConnectionError(ERROR.protocol, "PUSH_PROMISE from a client");
      default:
        return; // unknown types are ignored (RFC 9113, 4.1)
    }
  }

  #onDataFrame(flags: number, id: number, payload: Uint8Array): void {
    if (id === 0 || id > this.#lastStreamId) {
      throw new ConnectionError(ERROR.protocol, "DATA on an idle stream");
    }
    const counted = payload.length;
    this.#receiveWindow -= counted;
    if (this.#receiveWindow < 0) {
      throw new ConnectionError(ERROR.flowControl, "more data than the connection's window");
    }
    this.#received += counted;
    if (this.#received >= this.#limits.connectionWindowBytes / 2) {
      this.#out.windowUpdate(0, this.#received);
      this.#receiveWindow += this.#received;
      this.#received = 0;
    }
    const stream = this.#streams.get(id);
    if (stream === undefined || stream.closed) return; // reset a moment ago, or answered already
    if (stream.remoteEnded) {
      throw new ConnectionError(ERROR.streamClosed, "DATA after the end of the stream");
    }
    stream.receiveWindow -= counted;
    if (stream.receiveWindow < 0) {
      stream.fail(ERROR.flowControl);
      return;
    }
    const data = unpad(flags, payload);
    if (data.length > 0) stream.listener?.onData(data);
    // Padding is nobody's to consume.
    if (counted !== data.length) stream.consumed(counted - data.length);
    if ((flags & FLAG.endStream) !== 0 && !stream.closed) {
      stream.remoteEnded = true;
      stream.listener?.onEnd();
    }
  }

  #onBlock(whole: HeaderBlock | undefined): void {
    if (whole === undefined) return;
    const { id, endStream, block } = whole;
    if (id <= this.#lastStreamId) {
      this.#onTrailers(id, endStream, block);
      return;
    }
    const headers = new RequestHeaders();
    const complete = this.#decoder.decode(block, (name, value) => headers.add(name, value));
    headers.finish();
    this.#lastStreamId = id;
    if (this.#draining || this.#streams.size >= this.#limits.maxConcurrentStreams) {
      this.#out.rstStream(id, ERROR.refusedStream);
      return;
    }
    if (!complete || headers.malformed !== undefined) {
      this.#out.rstStream(id, complete ? ERROR.protocol : ERROR.enhanceYourCalm);
      this.#countReset();
      return;
    }
    const stream = new QueuedStream(this.#port, id, this.#peerStreamWindow, this.#limits);
    stream.remoteEnded = endStream;
    this.#streams.set(id, stream);
    stream.listener = this.#handler.onRequest(stream, headers);
    if (endStream && !stream.closed) stream.listener?.onEnd();
  }

  /** A second block on a stream: trailers, which gRPC clients do not send and nobody reads. */
  #onTrailers(id: number, endStream: boolean, block: Uint8Array): void {
    this.#decoder.decode(block, () => {});
    const stream = this.#streams.get(id);
    if (stream === undefined || stream.closed) return;
    if (stream.remoteEnded || !endStream) {
      stream.fail(ERROR.protocol);
      return;
    }
    stream.remoteEnded = true;
    stream.listener?.onEnd();
  }

  #onReset(id: number, payload: Uint8Array): void {
    if (payload.length !== 4) throw new ConnectionError(ERROR.frameSize, "RST_STREAM length");
    if (id === 0 || id > this.#lastStreamId) {
      throw new ConnectionError(ERROR.protocol, "RST_STREAM on an idle stream");
    }
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    const listener = stream.listener;
    const wasOpen = !stream.closed;
    stream.close();
    if (wasOpen) {
      this.#countReset();
      listener?.onReset();
    }
  }

  #countReset(): void {
    this.#resets++;
    if (this.#resets > this.#limits.maxResets) {
      throw new ConnectionError(ERROR.enhanceYourCalm, "too many reset streams");
    }
  }

  #onSettings(flags: number, id: number, payload: Uint8Array): void {
    if (id !== 0) throw new ConnectionError(ERROR.protocol, "SETTINGS on a stream");
    if ((flags & FLAG.ack) !== 0) {
      if (payload.length !== 0) throw new ConnectionError(ERROR.frameSize, "SETTINGS ack length");
      return;
    }
    for (const { name, value } of decodeSettings(payload)) {
      if (name === "maxFrameSize") this.#queue.maxFrameBytes = value;
      else this.#onStreamWindow(value);
    }
    this.#out.append(FRAME.settings, FLAG.ack, 0, NO_BYTES);
    this.#queue.pump();
  }

  #onStreamWindow(bytes: number): void {
    const change = bytes - this.#peerStreamWindow;
    this.#peerStreamWindow = bytes;
    for (const stream of this.#streams.values()) {
      stream.sendWindow += change;
      if (stream.sendWindow > MAX_WINDOW_BYTES) {
        throw new ConnectionError(ERROR.flowControl, "a window above 2^31 - 1");
      }
    }
  }

  #onPing(flags: number, id: number, payload: Uint8Array): void {
    if (id !== 0) throw new ConnectionError(ERROR.protocol, "PING on a stream");
    if (payload.length !== 8) throw new ConnectionError(ERROR.frameSize, "PING length");
    if ((flags & FLAG.ack) === 0) this.#out.append(FRAME.ping, FLAG.ack, 0, payload);
  }

  #onWindowUpdate(id: number, payload: Uint8Array): void {
    if (payload.length !== 4) throw new ConnectionError(ERROR.frameSize, "WINDOW_UPDATE length");
    const increment = readU32(payload, 0) & MAX_WINDOW_BYTES;
    if (id === 0) {
      if (increment === 0) throw new ConnectionError(ERROR.protocol, "WINDOW_UPDATE of 0");
      this.#queue.addWindow(increment);
      return;
    }
    if (id > this.#lastStreamId) {
      throw new ConnectionError(ERROR.protocol, "WINDOW_UPDATE on an idle stream");
    }
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    if (increment === 0) {
      stream.fail(ERROR.protocol);
      return;
    }
    stream.sendWindow += increment;
    if (stream.sendWindow > MAX_WINDOW_BYTES) {
      stream.fail(ERROR.flowControl);
      return;
    }
    if (this.#queue.waits(stream)) this.#queue.pump();
  }

  // ---- sending

  #greet(): void {
    this.#out.append(FRAME.settings, 0, 0, encodeSettings(this.#limits));
    const more = this.#limits.connectionWindowBytes - DEFAULT_WINDOW_BYTES;
    if (more > 0) this.#out.windowUpdate(0, more);
  }

  /** What streams may ask of their connection. */
  readonly #port: QueuePort = {
    send: (stream) => this.#queue.send(stream),
    block: (id, block, end) => {
      const flags = FLAG.endHeaders | (end ? FLAG.endStream : 0);
      this.#out.append(FRAME.headers, flags, id, block);
    },
    windowUpdate: (id, bytes) => this.#out.windowUpdate(id, bytes),
    reset: (id, code) => this.#out.rstStream(id, code),
    closed: (stream, clean) => {
      this.#streams.delete(stream.id);
      this.#queue.remove(stream);
      if (clean && this.#resets > 0) this.#resets--;
      if (this.#draining && this.#streams.size === 0) this.#finish();
    },
  };

  #toSocket(bytes: Uint8Array): void {
    if (this.#phase !== "closed" && !this.#socket.write(bytes)) this.#queue.congested = true;
  }

  #onDrain(): void {
    if (this.#phase === "closed") return;
    this.#queue.congested = false;
    this.#queue.pump();
    if (!this.#queue.congested) this.#socket.resume();
  }

  #resetStream(id: number, code: ErrorCode): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) this.#out.rstStream(id, code);
    else stream.fail(code);
  }

  // ---- the end

  #fail(error: unknown): void {
    if (this.#phase === "closed") return;
    const code = error instanceof ConnectionError
      ? error.code
      : error instanceof HpackError
      ? ERROR.compression
      : ERROR.internal;
    const cause = error instanceof Error ? error : new Error(String(error));
    this.#out.goaway(
      this.#lastStreamId,
      code,
      code === ERROR.internal ? "internal error" : cause.message,
    );
    this.#finish(cause);
  }

  /** Sends what is left, then closes. */
  #finish(cause?: Error): void {
    this.#out.flush();
    if (this.#phase === "closed") return;
    this.#socket.end();
    this.#closed(cause);
  }

  #closed(cause: Error | undefined): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    clearTimeout(this.#prefaceTimer);
    this.#parser.close();
    this.#queue.clear();
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const stream of streams) {
      const listener = stream.listener;
      const wasOpen = !stream.closed;
      stream.abandon();
      if (wasOpen) listener?.onReset();
    }
    this.#socket.destroySoon();
    this.#handler.onClose(this, cause);
  }
}
