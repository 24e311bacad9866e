/** A stream with its outgoing queue, windows and end: what the connection keeps for each. */
import { ERROR, type ErrorCode } from "./frames.ts";
import type { ConnectionLimits } from "./limits.ts";
import type { ResponseStream, StreamListener } from "./stream.ts";

/** What streams may ask of their connection. */
export interface QueuePort {
  send(stream: QueuedStream): void;
  block(id: number, block: Uint8Array, end: boolean): void;
  windowUpdate(id: number, bytes: number): void;
  reset(id: number, code: ErrorCode): void;
  closed(stream: QueuedStream, clean: boolean): void;
}

export class QueuedStream implements ResponseStream {
  readonly id: number;
  readonly #port: QueuePort;
  listener: StreamListener | undefined;
  sendWindow: number;
  receiveWindow: number;
  remoteEnded = false;
  closed = false;
  /** Bytes in the queue. */
  queued = 0;
  readonly #windowBytes: number;
  #queue: Uint8Array[] = [];
  #queueAt = 0;
  #headOffset = 0;
  #trailers: Uint8Array | undefined;
  #unacknowledged = 0;

  constructor(port: QueuePort, id: number, sendWindow: number, limits: ConnectionLimits) {
    this.#port = port;
    this.id = id;
    this.sendWindow = sendWindow;
    this.#windowBytes = limits.streamWindowBytes;
    this.receiveWindow = limits.streamWindowBytes;
  }

  get open(): boolean {
    return !this.closed && this.#trailers === undefined;
  }

  get bufferedBytes(): number {
    return this.queued;
  }

  headers(block: Uint8Array): void {
    if (this.open) this.#port.block(this.id, block, false);
  }

  write(chunk: Uint8Array): void {
    if (!this.open || chunk.length === 0) return;
    this.#queue.push(chunk);
    this.queued += chunk.length;
    // Others are before it only if it waits already.
    this.#port.send(this);
  }

  end(trailers: Uint8Array): void {
    if (!this.open) return;
    this.#trailers = trailers;
    if (this.queued === 0) this.flushed();
  }

  respond(headers: Uint8Array, chunk: Uint8Array, trailers: Uint8Array): void {
    this.headers(headers);
    this.write(chunk);
    this.end(trailers);
  }

  headersOnly(block: Uint8Array): void {
    if (!this.open) return;
    this.#trailers = block;
    this.flushed();
  }

  reset(code: ErrorCode): void {
    if (this.closed) return;
    this.#port.reset(this.id, code);
    this.close();
  }

  /** The client broke a rule on this stream. */
  fail(code: ErrorCode): void {
    if (this.closed) return;
    const listener = this.listener;
    this.reset(code);
    listener?.onReset();
  }

  consumed(bytes: number): void {
    if (this.closed || this.remoteEnded) return;
    this.#unacknowledged += bytes;
    if (this.#unacknowledged < this.#windowBytes / 2) return;
    this.#port.windowUpdate(this.id, this.#unacknowledged);
    this.receiveWindow += this.#unacknowledged;
    this.#unacknowledged = 0;
  }

  /** Moves `size` queued bytes to `out` at `at`. */
  take(out: Uint8Array, at: number, size: number): void {
    this.queued -= size;
    let left = size;
    while (left > 0) {
      const head = this.#queue[this.#queueAt]!;
      const n = Math.min(left, head.length - this.#headOffset);
      out.set(
        n === head.length ? head : head.subarray(this.#headOffset, this.#headOffset + n),
        at + size - left,
      );
      left -= n;
      this.#headOffset += n;
      if (this.#headOffset === head.length) {
        this.#queueAt++;
        this.#headOffset = 0;
      }
    }
    if (this.#queueAt === this.#queue.length) {
      this.#queue = [];
      this.#queueAt = 0;
    } else if (this.#queueAt > 1024) {
      this.#queue = this.#queue.slice(this.#queueAt);
      this.#queueAt = 0;
    }
  }

  /** Everything queued is on its way. */
  flushed(): void {
    if (this.closed) return;
    if (this.#trailers === undefined) {
      this.listener?.onDrain();
      return;
    }
    this.#port.block(this.id, this.#trailers, true);
    // An answer before the request's end: the client may stop sending (RFC 9113, 8.1).
    if (!this.remoteEnded) this.#port.reset(this.id, ERROR.noError);
    this.close(true);
  }

  close(clean = false): void {
    if (this.closed) return;
    this.abandon();
    this.#port.closed(this, clean);
  }

  abandon(): void {
    this.closed = true;
    this.listener = undefined;
    this.#queue = [];
    this.queued = 0;
  }
}
