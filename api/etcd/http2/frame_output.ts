/** Outgoing frames, gathered so that one turn of the event loop is one write to the socket. */
import { type ErrorCode, FRAME, FRAME_HEADER_BYTES, writeFrameHeader, writeU32 } from "./frames.ts";

const BUFFER_BYTES = 32_768;
/** With less room than this behind what was sent, the next buffer is a new one. */
const MIN_ROOM_BYTES = 4_096;

export class FrameOutput {
  readonly #write: (bytes: Uint8Array) => void;
  #buffer = new Uint8Array(BUFFER_BYTES);
  /** Before this it was sent, and is the socket's. */
  #start = 0;
  #length = 0;
  #scheduled = false;

  /** @param write takes the bytes over */
  constructor(write: (bytes: Uint8Array) => void) {
    this.#write = write;
  }

  /** Where `frame` says a payload goes; another one after the next call of `frame`. */
  get bytes(): Uint8Array {
    return this.#buffer;
  }

  /** Writes a frame's header and returns where in `bytes` its payload goes. */
  frame(length: number, type: number, flags: number, id: number): number {
    const need = this.#length + FRAME_HEADER_BYTES + length;
    if (need > this.#buffer.length) {
      this.#moveTo(Math.max(need - this.#start, BUFFER_BYTES, (this.#length - this.#start) * 2));
      return this.frame(length, type, flags, id);
    }
    writeFrameHeader(this.#buffer, this.#length, length, type, flags, id);
    const at = this.#length + FRAME_HEADER_BYTES;
    this.#length = need;
    if (!this.#scheduled) {
      this.#scheduled = true;
      queueMicrotask(() => this.flush());
    }
    return at;
  }

  append(type: number, flags: number, id: number, payload: Uint8Array): void {
    const at = this.frame(payload.length, type, flags, id);
    this.#buffer.set(payload, at);
  }

  windowUpdate(id: number, bytes: number): void {
    const at = this.frame(4, FRAME.windowUpdate, 0, id);
    writeU32(this.#buffer, at, bytes);
  }

  rstStream(id: number, code: ErrorCode): void {
    const at = this.frame(4, FRAME.rstStream, 0, id);
    writeU32(this.#buffer, at, code);
  }

  goaway(lastStreamId: number, code: ErrorCode, reason: string): void {
    const text = new TextEncoder().encode(reason);
    const at = this.frame(8 + text.length, FRAME.goaway, 0, 0);
    writeU32(this.#buffer, at, lastStreamId);
    writeU32(this.#buffer, at + 4, code);
    this.#buffer.set(text, at + 8);
  }

  flushIfFull(): void {
    if (this.#length - this.#start >= BUFFER_BYTES) this.flush();
  }

  flush(): void {
    this.#scheduled = false;
    if (this.#length === this.#start) return;
    const bytes = this.#buffer.subarray(this.#start, this.#length);
    this.#start = this.#length;
    if (this.#buffer.length - this.#start < MIN_ROOM_BYTES) this.#moveTo(BUFFER_BYTES);
    this.#write(bytes);
  }

  /** A new buffer with what is not sent yet in front. */
  #moveTo(capacity: number): void {
    const next = new Uint8Array(capacity);
    next.set(this.#buffer.subarray(this.#start, this.#length));
    this.#buffer = next;
    this.#length -= this.#start;
    this.#start = 0;
  }
}
