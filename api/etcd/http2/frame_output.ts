/** Outgoing frames, gathered so that one turn of the event loop is one write to the socket. */
import { type ErrorCode, FRAME, FRAME_HEADER_BYTES, writeFrameHeader, writeU32 } from "./frames.ts";

const BUFFER_BYTES = 32_768;

export class FrameOutput {
  readonly #write: (bytes: Uint8Array) => void;
  #buffer = new Uint8Array(BUFFER_BYTES);
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
      const larger = new Uint8Array(Math.max(need, this.#buffer.length * 2));
      larger.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = larger;
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
    if (this.#length >= BUFFER_BYTES) this.flush();
  }

  flush(): void {
    this.#scheduled = false;
    if (this.#length === 0) return;
    const bytes = this.#buffer.subarray(0, this.#length);
    this.#buffer = new Uint8Array(BUFFER_BYTES);
    this.#length = 0;
    this.#write(bytes);
  }
}
