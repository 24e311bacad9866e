/** A socket on which tests say whatever they like, and hear the frames that come back. */
import { connect, type Socket } from "node:net";
import {
  FRAME_HEADER_BYTES,
  PREFACE,
  readU32,
  writeFrameHeader,
} from "../../api/etcd/http2/frames.ts";
import { encodeHeaders } from "../../api/etcd/http2/hpack.ts";

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Uint8Array<ArrayBuffer>;
}

export class RawConnection {
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  closed = false;
  #rest = new Uint8Array(0);
  #wake: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Uint8Array) => this.#onData(chunk));
    socket.on("error", () => {});
    socket.on("close", () => {
      this.closed = true;
      this.#notify();
    });
  }

  /** @param preface whether to begin as HTTP/2 does, with empty settings */
  static async open(path: string, preface = true): Promise<RawConnection> {
    const socket = connect(path);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    const connection = new RawConnection(socket);
    if (preface) {
      connection.write(new TextEncoder().encode(PREFACE));
      connection.frame(4, 0, 0);
    }
    return connection;
  }

  write(bytes: Uint8Array): void {
    if (!this.closed) this.socket.write(bytes);
  }

  frame(type: number, flags: number, id: number, payload: Uint8Array = new Uint8Array(0)): void {
    const out = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
    writeFrameHeader(out, 0, payload.length, type, flags, id);
    out.set(payload, FRAME_HEADER_BYTES);
    this.write(out);
  }

  /** HEADERS of a call, complete. */
  call(
    id: number,
    path: string,
    fields: readonly (readonly [string, string])[] = [],
    end = false,
  ): void {
    const block = encodeHeaders([
      [":method", "POST"],
      [":scheme", "http"],
      [":path", path],
      ["content-type", "application/grpc"],
      ["te", "trailers"],
      ...fields,
    ]);
    this.frame(1, end ? 0x5 : 0x4, id, block);
  }

  /** Waits for a frame like this among all that came. */
  async expect(matches: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const found = this.frames.find(matches);
      if (found !== undefined) return found;
      if (this.closed) throw new Error("the connection was closed without that frame");
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** The error code of the GOAWAY that ends the connection. */
  async goaway(): Promise<number> {
    return readU32((await this.expect(({ type }) => type === 7)).payload, 4);
  }

  async end(): Promise<void> {
    if (this.closed) return;
    const closed = new Promise<void>((resolve) => this.socket.once("close", () => resolve()));
    this.socket.destroy();
    await closed;
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
      this.frames.push({
        type: bytes[at + 3]!,
        flags: bytes[at + 4]!,
        id: readU32(bytes, at + 5),
        payload: bytes.slice(at + FRAME_HEADER_BYTES, end),
      });
      at = end;
    }
    this.#rest = bytes.slice(at);
    this.#notify();
  }

  #notify(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }
}
