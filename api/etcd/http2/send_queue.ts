/**
 * Sends what streams have queued as far as the windows and the socket allow, one frame a stream and
 * turn where several wait, so that none starves the others (RFC 9113, 5.2).
 */
import type { FrameOutput } from "./frame_output.ts";
import {
  ConnectionError,
  DEFAULT_FRAME_BYTES,
  DEFAULT_WINDOW_BYTES,
  ERROR,
  FRAME,
  MAX_WINDOW_BYTES,
} from "./frames.ts";
import type { QueuedStream } from "./queued_stream.ts";

/** Larger ones are of no use: a frame is in memory as a whole. */
const MAX_FRAME_BYTES = 65_536;

export class SendQueue {
  readonly #out: FrameOutput;
  /** Streams with something to send that could not go yet, in the order of their turn. */
  readonly #waiting = new Set<QueuedStream>();
  #window = DEFAULT_WINDOW_BYTES;
  #frameBytes = DEFAULT_FRAME_BYTES;
  /** The socket takes no more for now. */
  congested = false;

  constructor(out: FrameOutput) {
    this.#out = out;
  }

  /** The largest frame that the client takes. */
  set maxFrameBytes(bytes: number) {
    this.#frameBytes = Math.min(bytes, MAX_FRAME_BYTES);
  }

  /** The client gave the connection room. @throws {ConnectionError} */
  addWindow(increment: number): void {
    this.#window += increment;
    if (this.#window > MAX_WINDOW_BYTES) {
      throw new ConnectionError(ERROR.flowControl, "window above 2^31 - 1");
    }
    this.pump();
  }

  waits(stream: QueuedStream): boolean {
    return this.#waiting.has(stream);
  }

  remove(stream: QueuedStream): void {
    this.#waiting.delete(stream);
  }

  clear(): void {
    this.#waiting.clear();
  }

  /** Sends what may go; the stream waits its turn for the rest. */
  send(stream: QueuedStream): void {
    while (stream.queued > 0) {
      if (this.congested || this.#window <= 0 || stream.sendWindow <= 0) {
        this.#waiting.add(stream);
        return;
      }
      this.#sendFrame(stream);
    }
    this.#waiting.delete(stream);
    stream.flushed();
  }

  /** There may be room again: whoever waits sends. */
  pump(): void {
    while (this.#waiting.size > 0 && !this.congested && this.#window > 0) {
      let progress = false;
      for (const stream of [...this.#waiting]) {
        if (this.congested || this.#window <= 0) return;
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

  #sendFrame(stream: QueuedStream): void {
    const size = Math.min(stream.queued, this.#window, stream.sendWindow, this.#frameBytes);
    this.#window -= size;
    stream.sendWindow -= size;
    const at = this.#out.frame(size, FRAME.data, 0, stream.id);
    stream.take(this.#out.bytes, at, size);
    this.#out.flushIfFull();
  }
}
