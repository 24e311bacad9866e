/** Cuts what a client sends into frames, behind the preface (RFC 9113, 3.4 and 4.1). */
import {
  ConnectionError,
  DEFAULT_FRAME_BYTES,
  ERROR,
  FLAG,
  FRAME_HEADER_BYTES,
  PREFACE,
  readU32,
} from "./frames.ts";

/** @param payload a view, valid during the call. @returns whether to go on with the next frame. */
export type OnFrame = (type: number, flags: number, id: number, payload: Uint8Array) => boolean;

const NO_BYTES = new Uint8Array(0);

export class FrameParser {
  readonly #onFrame: OnFrame;
  #rest: Uint8Array = NO_BYTES;
  #greeted = false;

  constructor(onFrame: OnFrame) {
    this.#onFrame = onFrame;
  }

  /**
   * Takes the next bytes in order; what is no whole frame yet is kept.
   * @throws {ConnectionError} for another preface and for a frame above 16 KiB
   */
  push(chunk: Uint8Array): void {
    let bytes = chunk;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + chunk.length);
      bytes.set(this.#rest);
      bytes.set(chunk, this.#rest.length);
    }
    const used = this.#parse(bytes);
    this.#rest = used === bytes.length ? NO_BYTES : bytes.slice(used);
  }

  /** Forgets what was kept. */
  close(): void {
    this.#rest = NO_BYTES;
  }

  #parse(bytes: Uint8Array): number {
    let at = 0;
    if (!this.#greeted) {
      const n = Math.min(bytes.length, PREFACE.length);
      for (let i = 0; i < n; i++) {
        if (bytes[i] !== PREFACE.charCodeAt(i)) {
          throw new ConnectionError(ERROR.protocol, "not the HTTP/2 preface");
        }
      }
      if (n < PREFACE.length) return 0;
      at = n;
      this.#greeted = true;
    }
    while (bytes.length - at >= FRAME_HEADER_BYTES) {
      const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
      if (length > DEFAULT_FRAME_BYTES) {
        throw new ConnectionError(ERROR.frameSize, `frame of ${length} bytes, at most 16384`);
      }
      const end = at + FRAME_HEADER_BYTES + length;
      if (end > bytes.length) break;
      const more = this.#onFrame(
        bytes[at + 3]!,
        bytes[at + 4]!,
        readU32(bytes, at + 5) & 0x7fff_ffff,
        bytes.subarray(at + FRAME_HEADER_BYTES, end),
      );
      at = end;
      if (!more) break;
    }
    return at;
  }
}

/** A payload of DATA or HEADERS without its padding. @throws {ConnectionError} */
export function unpad(flags: number, payload: Uint8Array): Uint8Array {
  if ((flags & FLAG.padded) === 0) return payload;
  const padding = payload[0];
  if (padding === undefined || padding >= payload.length) {
    throw new ConnectionError(ERROR.protocol, "more padding than payload");
  }
  return payload.subarray(1, payload.length - padding);
}
