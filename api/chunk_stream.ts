/**
 * Answers without an end of their own that many take at once: what is sent is encoded and framed
 * once, and goes to each of their sockets as it is.
 */
import type { Bytes } from "../backends/mod.ts";

const encoder = new TextEncoder();
const LINE_END = 2;

/** Bytes, with the frame of HTTP/1.1's chunked coding around them (RFC 9112, 7.1). Never changed. */
export class StreamChunk {
  readonly framed: Bytes;
  readonly #start: number;

  /** @param parts in their order; not all of them empty: an empty chunk is the end */
  constructor(parts: readonly Bytes[]) {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (length === 0) throw new RangeError("an empty chunk would end the stream");
    const head = encoder.encode(`${length.toString(16)}\r\n`);
    const framed = new Uint8Array(head.length + length + LINE_END);
    framed.set(head);
    let offset = head.length;
    for (const part of parts) {
      framed.set(part, offset);
      offset += part.length;
    }
    framed[offset] = 0x0d;
    framed[offset + 1] = 0x0a;
    this.framed = framed;
    this.#start = head.length;
  }

  /** Without the frame; a view. */
  get payload(): Bytes {
    return this.framed.subarray(this.#start, this.framed.length - LINE_END);
  }
}

/** What is sent to one client, one chunk after the other, as fast as it takes them. */
export interface ChunkSource {
  /** The next one; undefined at the end, and soon after `close`. One call at a time; never rejects. */
  next(): Promise<StreamChunk | undefined>;
  /** @param push sends between two chunks; does nothing where the client is behind */
  attach(push: (chunk: StreamChunk) => void): void;
  /** The client is gone, or is to go. May be called again. */
  close(): void;
}

/** For whoever serves the app without node:http. */
export function readableOf(source: ChunkSource): ReadableStream<Bytes> {
  let cancelled = false;
  return new ReadableStream<Bytes>({
    start(controller) {
      source.attach((chunk) => {
        if (!cancelled && (controller.desiredSize ?? 0) > 0) controller.enqueue(chunk.payload);
      });
    },
    async pull(controller) {
      const chunk = await source.next();
      if (cancelled) return;
      if (chunk === undefined) controller.close();
      else controller.enqueue(chunk.payload);
    },
    cancel() {
      cancelled = true;
      source.close();
    },
  });
}
