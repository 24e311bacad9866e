/** The answer to one HTTP request over an open connection, as it comes: for answers without a limit. */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";

const MAX_HEAD_BYTES = 64 << 10;
const MAX_SIZE_LINE_BYTES = 64;

export interface PinnedStream {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** To be read, or left. Ends where the answer does; throws where it breaks off. Leaving it ends the connection. */
  readonly body: AsyncIterable<Uint8Array>;
}

/**
 * @param silenceMs so long without a byte, the answer is given up
 * @throws {Error} an answer that is none, or broke off
 */
export async function readStream(
  socket: Socket | TLSSocket,
  request: Uint8Array,
  silenceMs: number,
): Promise<PinnedStream> {
  socket.setTimeout(
    silenceMs,
    () => socket.destroy(new Error(`nothing came for ${silenceMs} ms`)),
  );
  socket.write(request);
  const bytes = new ByteStream(socket[Symbol.asyncIterator]());
  try {
    const head = new TextDecoder("latin1").decode(await bytes.until("\r\n\r\n", MAX_HEAD_BYTES));
    const [first = "", ...lines] = head.split("\r\n");
    const status = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(first)?.[1];
    if (status === undefined) throw new Error("the peer does not speak HTTP/1.1");
    const headers = new Map(lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }));
    return { status: Number(status), headers, body: body(socket, bytes, headers) };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

async function* body(
  socket: Socket | TLSSocket,
  bytes: ByteStream,
  headers: ReadonlyMap<string, string>,
): AsyncGenerator<Uint8Array, void> {
  try {
    if (/^chunked$/i.test(headers.get("transfer-encoding") ?? "")) {
      yield* unchunked(bytes);
      return;
    }
    const length = headers.get("content-length");
    if (length === undefined || !/^\d{1,15}$/.test(length)) {
      throw new Error("the answer does not say where it ends");
    }
    yield* bytes.take(Number(length));
  } finally {
    socket.destroy();
  }
}

/** RFC 9112, 7.1. */
async function* unchunked(bytes: ByteStream): AsyncGenerator<Uint8Array, void> {
  for (;;) {
    const line = new TextDecoder("latin1").decode(await bytes.until("\r\n", MAX_SIZE_LINE_BYTES));
    const digits = /^([0-9a-fA-F]{1,8})(?:;|$)/.exec(line)?.[1];
    if (digits === undefined) throw new Error("the answer is no row of chunks");
    const size = parseInt(digits, 16);
    yield* bytes.take(size);
    if ((await bytes.until("\r\n", MAX_SIZE_LINE_BYTES)).length > 0) {
      throw new Error("a chunk of the answer is longer than it says");
    }
    if (size === 0) return;
  }
}

/** Takes pieces off what a socket gives, without holding more than it gave at once. */
class ByteStream {
  readonly #source: AsyncIterator<unknown>;
  #left: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterator<unknown>) {
    this.#source = source;
  }

  /** What stands before `end`, which is taken away, too. */
  async until(end: string, most: number): Promise<Uint8Array> {
    let text = "";
    for (;;) {
      for (let i = 0; i < this.#left.length; i++) {
        text += String.fromCharCode(this.#left[i]!);
        if (!text.endsWith(end)) continue;
        this.#left = this.#left.subarray(i + 1);
        return Uint8Array.from(
          text.slice(0, -end.length),
          (character) => character.charCodeAt(0),
        );
      }
      if (text.length > most) throw new Error("a line of the answer is too long");
      await this.#more();
    }
  }

  async *take(length: number): AsyncGenerator<Uint8Array, void> {
    let missing = length;
    while (missing > 0) {
      if (this.#left.length === 0) await this.#more();
      const piece = this.#left.subarray(0, missing);
      this.#left = this.#left.subarray(piece.length);
      missing -= piece.length;
      yield piece;
    }
  }

  async #more(): Promise<void> {
    const next = await this.#source.next();
    if (next.done === true || !(next.value instanceof Uint8Array)) {
      throw new Error("the answer broke off");
    }
    this.#left = next.value;
  }
}
