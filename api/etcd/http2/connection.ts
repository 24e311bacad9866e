/**
 * An HTTP/2 server connection (RFC 9113) for gRPC: no push, no priorities, fixed settings.
 *
 * Why not node:http2: on this runtime its native session aborts the process under plain load.
 * This one is memory-safe, answers a group of requests with one write to the socket, and lets
 * nobody make it hold more than its limits: reading stops while the client does not read.
 */
import type { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import {
  ConnectionError,
  DEFAULT_FRAME_BYTES,
  DEFAULT_WINDOW_BYTES,
  ERROR,
  type ErrorCode,
  FLAG,
  FRAME,
  FRAME_HEADER_BYTES,
  MAX_WINDOW_BYTES,
  PREFACE,
  readU32,
  SETTING,
  writeU32,
} from "./frames.ts";
import { FrameOutput } from "./frame_output.ts";
import { HpackDecoder } from "./hpack.ts";
import { HpackError } from "./hpack_error.ts";
import { type ConnectionLimits, DEFAULT_LIMITS } from "./limits.ts";
import { QueuedStream, type QueuePort } from "./queued_stream.ts";
import { RequestHeaders, type ResponseStream, type StreamListener } from "./stream.ts";

export interface ConnectionHandler {
  /** Undefined where the request was answered at once. */
  onRequest(stream: ResponseStream, headers: RequestHeaders): StreamListener | undefined;
  onClose(connection: Http2Connection, cause: Error | undefined): void;
}

const HEADER_TABLE_BYTES = 4_096;
/** A block is longer than its list only in exotic ways (empty fields, table updates). */
const MAX_BLOCK_BYTES = 65_536;
const MAX_CONTINUATIONS = 32;
const NO_BYTES = new Uint8Array(0);

export class Http2Connection {
  readonly #socket: Socket;
  readonly #handler: ConnectionHandler;
  readonly #limits: ConnectionLimits;
  readonly #decoder: HpackDecoder;
  readonly #streams = new Map<number, QueuedStream>();
  /** Streams with something to send that could not go yet, in the order of their turn. */
  readonly #waiting = new Set<QueuedStream>();

  #rest: Uint8Array = NO_BYTES;
  #phase: "preface" | "settings" | "frames" | "closed" = "preface";
  #prefaceTimer: ReturnType<typeof setTimeout> | undefined;
  #block:
    | { id: number; endStream: boolean; parts: Uint8Array[]; bytes: number; frames: number }
    | undefined;
  #lastStreamId = 0;
  #draining = false;
  #resets = 0;

  readonly #out = new FrameOutput((bytes) => this.#toSocket(bytes));
  #congested = false;

  #sendWindow = DEFAULT_WINDOW_BYTES;
  #peerStreamWindow = DEFAULT_WINDOW_BYTES;
  #peerFrameBytes = DEFAULT_FRAME_BYTES;
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
    let bytes = chunk;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + chunk.length);
      bytes.set(this.#rest);
      bytes.set(chunk, this.#rest.length);
    }
    try {
      const used = this.#parse(bytes);
      this.#rest = used === bytes.length ? NO_BYTES : bytes.slice(used);
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (this.#congested) this.#socket.pause();
  }

  #parse(bytes: Uint8Array): number {
    let at = 0;
    if (this.#phase === "preface") {
      const n = Math.min(bytes.length, PREFACE.length);
      for (let i = 0; i < n; i++) {
        if (bytes[i] !== PREFACE.charCodeAt(i)) {
          throw new ConnectionError(ERROR.protocol, "not the HTTP/2 preface");
        }
      }
      if (n < PREFACE.length) return 0;
      at = n;
      this.#phase = "settings";
    }
    while (bytes.length - at >= FRAME_HEADER_BYTES && this.#isOpen()) {
      const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
      if (length > DEFAULT_FRAME_BYTES) {
        throw new ConnectionError(ERROR.frameSize, `frame of ${length} bytes, at most 16384`);
      }
      const end = at + FRAME_HEADER_BYTES + length;
      if (end > bytes.length) break;
      this.#onFrame(
        bytes[at + 3]!,
        bytes[at + 4]!,
        readU32(bytes, at + 5) & 0x7fff_ffff,
        bytes.subarray(at + FRAME_HEADER_BYTES, end),
      );
      at = end;
    }
    return at;
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
    if (this.#block !== undefined && (type !== FRAME.continuation || id !== this.#block.id)) {
      throw new ConnectionError(ERROR.protocol, "a frame inside a header block");
    }
    switch (type) {
      case FRAME.data:
        return this.#onDataFrame(flags, id, payload);
      case FRAME.headers:
        return this.#onHeaders(flags, id, payload);
      case FRAME.continuation:
        return this.#onContinuation(flags, id, payload);
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

  #onHeaders(flags: number, id: number, payload: Uint8Array): void {
    if (id === 0 || id % 2 === 0) {
      throw new ConnectionError(ERROR.protocol, `HEADERS on stream ${id}`);
    }
    let block = unpad(flags, payload);
    if ((flags & FLAG.priority) !== 0) {
      if (block.length < 5) throw new ConnectionError(ERROR.frameSize, "HEADERS too short");
      block = block.subarray(5);
    }
    const endStream = (flags & FLAG.endStream) !== 0;
    if ((flags & FLAG.endHeaders) !== 0) {
      this.#onBlock(id, endStream, block);
    } else {
      this.#block = { id, endStream, parts: [block.slice()], bytes: block.length, frames: 0 };
    }
  }

  #onContinuation(flags: number, id: number, payload: Uint8Array): void {
    const block = this.#block;
    if (block === undefined) throw new ConnectionError(ERROR.protocol, "CONTINUATION alone");
    block.bytes += payload.length;
    if (block.bytes > MAX_BLOCK_BYTES || ++block.frames > MAX_CONTINUATIONS) {
      throw new ConnectionError(ERROR.enhanceYourCalm, "a header block without end");
    }
    block.parts.push(payload.slice());
    if ((flags & FLAG.endHeaders) === 0) return;
    this.#block = undefined;
    const whole = new Uint8Array(block.bytes);
    let at = 0;
    for (const part of block.parts) {
      whole.set(part, at);
      at += part.length;
    }
    this.#onBlock(id, block.endStream, whole);
  }

  #onBlock(id: number, endStream: boolean, block: Uint8Array): void {
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
    if (payload.length % 6 !== 0) throw new ConnectionError(ERROR.frameSize, "SETTINGS length");
    for (let at = 0; at < payload.length; at += 6) {
      this.#onSetting((payload[at]! << 8) | payload[at + 1]!, readU32(payload, at + 2));
    }
    this.#out.append(FRAME.settings, FLAG.ack, 0, NO_BYTES);
    this.#pump();
  }

  #onSetting(name: number, value: number): void {
    switch (name) {
      case SETTING.initialWindowSize: {
        if (value > MAX_WINDOW_BYTES) {
          throw new ConnectionError(ERROR.flowControl, "initial window above 2^31 - 1");
        }
        const change = value - this.#peerStreamWindow;
        this.#peerStreamWindow = value;
        for (const stream of this.#streams.values()) {
          stream.sendWindow += change;
          if (stream.sendWindow > MAX_WINDOW_BYTES) {
            throw new ConnectionError(ERROR.flowControl, "a window above 2^31 - 1");
          }
        }
        return;
      }
      case SETTING.maxFrameSize:
        if (value < DEFAULT_FRAME_BYTES || value > 0xff_ffff) {
          throw new ConnectionError(ERROR.protocol, `maximum frame size ${value}`);
        }
        this.#peerFrameBytes = Math.min(value, 65_536);
        return;
      case SETTING.enablePush:
        if (value > 1) throw new ConnectionError(ERROR.protocol, `ENABLE_PUSH ${value}`);
        return;
      default:
        return;
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
      this.#sendWindow += increment;
      if (this.#sendWindow > MAX_WINDOW_BYTES) {
        throw new ConnectionError(ERROR.flowControl, "window above 2^31 - 1");
      }
      this.#pump();
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
    if (this.#waiting.has(stream)) this.#pump();
  }

  // ---- sending

  #greet(): void {
    const settings = [
      [SETTING.maxConcurrentStreams, this.#limits.maxConcurrentStreams],
      [SETTING.initialWindowSize, this.#limits.streamWindowBytes],
      [SETTING.maxHeaderListSize, this.#limits.maxHeaderListBytes],
    ] as const;
    const payload = new Uint8Array(settings.length * 6);
    settings.forEach(([name, value], i) => {
      payload[i * 6 + 1] = name;
      writeU32(payload, i * 6 + 2, value);
    });
    this.#out.append(FRAME.settings, 0, 0, payload);
    const more = this.#limits.connectionWindowBytes - DEFAULT_WINDOW_BYTES;
    if (more > 0) this.#out.windowUpdate(0, more);
  }

  /** What streams may ask of their connection. */
  readonly #port: QueuePort = {
    send: (stream) => this.#send(stream),
    block: (id, block, end) => {
      const flags = FLAG.endHeaders | (end ? FLAG.endStream : 0);
      this.#out.append(FRAME.headers, flags, id, block);
    },
    windowUpdate: (id, bytes) => this.#out.windowUpdate(id, bytes),
    reset: (id, code) => this.#out.rstStream(id, code),
    closed: (stream, clean) => {
      this.#streams.delete(stream.id);
      this.#waiting.delete(stream);
      if (clean && this.#resets > 0) this.#resets--;
      if (this.#draining && this.#streams.size === 0) this.#finish();
    },
  };

  /** Sends what the windows and the socket allow; the stream waits its turn for the rest. */
  #send(stream: QueuedStream): void {
    while (stream.queued > 0) {
      if (this.#congested || this.#sendWindow <= 0 || stream.sendWindow <= 0) {
        this.#waiting.add(stream);
        return;
      }
      this.#sendFrame(stream);
    }
    this.#waiting.delete(stream);
    stream.flushed();
  }

  #sendFrame(stream: QueuedStream): void {
    const size = Math.min(
      stream.queued,
      this.#sendWindow,
      stream.sendWindow,
      this.#peerFrameBytes,
    );
    this.#sendWindow -= size;
    stream.sendWindow -= size;
    const at = this.#out.frame(size, FRAME.data, 0, stream.id);
    stream.take(this.#out.bytes, at, size);
    this.#out.flushIfFull();
  }

  /** One frame a stream and turn, so that none starves the others. */
  #pump(): void {
    while (this.#waiting.size > 0 && !this.#congested && this.#sendWindow > 0) {
      let progress = false;
      for (const stream of [...this.#waiting]) {
        if (this.#congested || this.#sendWindow <= 0) return;
        if (!this.#waiting.has(stream) || stream.sendWindow <= 0) continue;
        progress = true;
        if (stream.queued > 0) this.#sendFrame(stream);
        if (stream.queued === 0) {
          this.#waiting.delete(stream);
          stream.flushed();
        }
      }
      if (!progress) return;
    }
  }

  #toSocket(bytes: Uint8Array): void {
    if (this.#phase !== "closed" && !this.#socket.write(bytes)) this.#congested = true;
  }

  #onDrain(): void {
    if (this.#phase === "closed") return;
    this.#congested = false;
    this.#pump();
    if (!this.#congested) this.#socket.resume();
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
    this.#rest = NO_BYTES;
    this.#waiting.clear();
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

function unpad(flags: number, payload: Uint8Array): Uint8Array {
  if ((flags & FLAG.padded) === 0) return payload;
  const padding = payload[0];
  if (padding === undefined || padding >= payload.length) {
    throw new ConnectionError(ERROR.protocol, "more padding than payload");
  }
  return payload.subarray(1, payload.length - padding);
}
