/**
 * gRPC over HTTP/2: messages with a five-byte prefix (compressed flag, length), status in the
 * trailers. See PROTOCOL-HTTP2.md of the gRPC project.
 */
import { encodeHeaders } from "../http2/hpack.ts";
import { CODE, GrpcError, type StatusCode } from "./status.ts";

export const PREFIX_BYTES = 5;

/** Cuts a stream of bytes into messages; a message longer than the limit is refused from its prefix. */
export class MessageReader {
  readonly #maxBytes: number;
  readonly #onMessage: (message: Uint8Array) => void;
  #partial: Uint8Array | undefined;
  #filled = 0;
  readonly #prefix = new Uint8Array(PREFIX_BYTES);
  #prefixFilled = 0;

  constructor(maxBytes: number, onMessage: (message: Uint8Array) => void) {
    this.#maxBytes = maxBytes;
    this.#onMessage = onMessage;
  }

  /** Whether a message has begun and not ended. */
  get midway(): boolean {
    return this.#partial !== undefined || this.#prefixFilled > 0;
  }

  /** Bytes that wait for the rest of their message. */
  get heldBytes(): number {
    return this.#partial?.length ?? 0;
  }

  /**
   * Messages are views of `chunk` where they lie in it whole.
   * @throws {GrpcError} `resourceExhausted`, `unimplemented` (compressed), `internal` (bad flag)
   */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#partial !== undefined) {
        const n = Math.min(this.#partial.length - this.#filled, chunk.length - at);
        this.#partial.set(chunk.subarray(at, at + n), this.#filled);
        this.#filled += n;
        at += n;
        if (this.#filled < this.#partial.length) return;
        const message = this.#partial;
        this.#partial = undefined;
        this.#onMessage(message);
        continue;
      }
      const n = Math.min(PREFIX_BYTES - this.#prefixFilled, chunk.length - at);
      this.#prefix.set(chunk.subarray(at, at + n), this.#prefixFilled);
      this.#prefixFilled += n;
      at += n;
      if (this.#prefixFilled < PREFIX_BYTES) return;
      this.#prefixFilled = 0;
      const length = this.#readPrefix();
      if (chunk.length - at >= length) {
        this.#onMessage(chunk.subarray(at, at + length));
        at += length;
      } else {
        this.#partial = new Uint8Array(length);
        this.#filled = 0;
      }
    }
  }

  #readPrefix(): number {
    const [flag, a, b, c, d] = this.#prefix;
    if (flag === 1) {
      throw new GrpcError(CODE.unimplemented, "grpc: compressed messages are not supported");
    }
    if (flag !== 0) {
      throw new GrpcError(CODE.internal, `grpc: received unexpected payload format ${flag}`);
    }
    const length = ((a! << 24) | (b! << 16) | (c! << 8) | d!) >>> 0;
    if (length > this.#maxBytes) {
      throw new GrpcError(
        CODE.resourceExhausted,
        `grpc: received message larger than max (${length} vs. ${this.#maxBytes})`,
      );
    }
    return length;
  }
}

const CONTENT_TYPE = ["content-type", "application/grpc"] as const;

/** Header block of every answer that has messages. */
export const RESPONSE_HEADERS: Uint8Array = /* @__PURE__ */ encodeHeaders([
  [":status", "200"],
  CONTENT_TYPE,
]);
/** Trailer block of success. */
export const OK_TRAILERS: Uint8Array = /* @__PURE__ */ encodeHeaders([["grpc-status", "0"]]);

export function statusTrailers(code: StatusCode, message: string): Uint8Array {
  return encodeHeaders(statusFields(code, message));
}

/** Headers and trailers in one block, for an answer without a message. */
export function statusOnly(code: StatusCode, message: string): Uint8Array {
  return encodeHeaders([[":status", "200"], CONTENT_TYPE, ...statusFields(code, message)]);
}

function statusFields(code: StatusCode, message: string): (readonly [string, string])[] {
  const fields: (readonly [string, string])[] = [["grpc-status", String(code)]];
  if (message !== "") fields.push(["grpc-message", percentEncode(message)]);
  return fields;
}

/** Printable ASCII stays, the rest and "%" become %XX of its UTF-8. */
function percentEncode(text: string): string {
  let out = "";
  for (const byte of new TextEncoder().encode(text.slice(0, 1024))) {
    out += byte >= 0x20 && byte < 0x7f && byte !== 0x25
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}

const TIMEOUT_UNITS_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 0.001,
  n: 0.000001,
};

/**
 * `grpc-timeout` in milliseconds; undefined where there is none.
 * @throws {GrpcError} `internal`, as grpc-go does for a malformed one
 */
export function parseTimeout(value: string): number | undefined {
  if (value === "") return undefined;
  const match = /^(\d{1,8})([HMSmun])$/.exec(value);
  if (match === null) {
    throw new GrpcError(CODE.internal, `malformed grpc-timeout: "${value.slice(0, 20)}"`);
  }
  return Number(match[1]) * TIMEOUT_UNITS_MS[match[2]!]!;
}
