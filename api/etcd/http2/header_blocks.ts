/** Header blocks out of HEADERS and the CONTINUATION frames behind it (RFC 9113, 4.3). */
import { unpad } from "./frame_parser.ts";
import { ConnectionError, ERROR, FLAG, FRAME } from "./frames.ts";

/** A block is longer than its list only in exotic ways (empty fields, table updates). */
const MAX_BLOCK_BYTES = 65_536;
const MAX_CONTINUATIONS = 32;

export interface HeaderBlock {
  readonly id: number;
  readonly endStream: boolean;
  readonly block: Uint8Array;
}

export class HeaderBlocks {
  #open:
    | { id: number; endStream: boolean; parts: Uint8Array[]; bytes: number; frames: number }
    | undefined;

  /** @throws {ConnectionError} for a frame that may not stand inside a block that is not whole */
  check(type: number, id: number): void {
    if (this.#open === undefined || (type === FRAME.continuation && id === this.#open.id)) return;
    throw new ConnectionError(ERROR.protocol, "a frame inside a header block");
  }

  /** The whole block, if it ends with this frame. @throws {ConnectionError} */
  headers(flags: number, id: number, payload: Uint8Array): HeaderBlock | undefined {
    if (id === 0 || id % 2 === 0) {
      throw new ConnectionError(ERROR.protocol, `HEADERS on stream ${id}`);
    }
    let block = unpad(flags, payload);
    if ((flags & FLAG.priority) !== 0) {
      if (block.length < 5) throw new ConnectionError(ERROR.frameSize, "HEADERS too short");
      block = block.subarray(5);
    }
    const endStream = (flags & FLAG.endStream) !== 0;
    if ((flags & FLAG.endHeaders) !== 0) return { id, endStream, block };
    this.#open = { id, endStream, parts: [block.slice()], bytes: block.length, frames: 0 };
    return undefined;
  }

  /** The whole block, if it ends with this frame. @throws {ConnectionError} */
  continuation(flags: number, payload: Uint8Array): HeaderBlock | undefined {
    const open = this.#open;
    if (open === undefined) throw new ConnectionError(ERROR.protocol, "CONTINUATION alone");
    open.bytes += payload.length;
    if (open.bytes > MAX_BLOCK_BYTES || ++open.frames > MAX_CONTINUATIONS) {
      throw new ConnectionError(ERROR.enhanceYourCalm, "a header block without end");
    }
    open.parts.push(payload.slice());
    if ((flags & FLAG.endHeaders) === 0) return undefined;
    this.#open = undefined;
    const block = new Uint8Array(open.bytes);
    let at = 0;
    for (const part of open.parts) {
      block.set(part, at);
      at += part.length;
    }
    return { id: open.id, endStream: open.endStream, block };
  }
}
