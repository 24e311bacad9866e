/**
 * The end of a stream where only the newest message matters. However much a node sends, little of it
 * is looked at: what arrives together becomes its last message, and no more is read for a while, so
 * that the rest waits at the sender.
 */
import { joined } from "./bytes.ts";
import { HEADER_BYTES } from "./grpc_transport.ts";
import { LedgerProtocolError } from "./ledger.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const DATA = 0;
const TRAILER = 0x80;

export interface LatestFrameOptions {
  /** Largest frame taken, bytes, header included. */
  readonly maxFrameBytes: number;
  /** How long nothing is read after a message was handed on. */
  readonly intervalMs: number;
  /** Resolves after `ms` or when the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
  /** Ends the waiting. */
  readonly signal: AbortSignal | undefined;
}

/** gRPC-web frames in, at most one data frame per interval out, then the trailer. */
export function latestFrame(options: LatestFrameOptions): TransformStream<Bytes, Bytes> {
  const { maxFrameBytes, intervalMs, sleep, signal } = options;
  let parts: Bytes[] = [];
  let held = 0;
  /** Bytes that must be held before there is a whole frame, or its header. */
  let wanted = HEADER_BYTES;
  return new TransformStream({
    async transform(chunk, controller) {
      parts.push(chunk);
      held += chunk.length;
      if (held < wanted) return;
      const bytes = parts.length === 1 ? chunk : joined(parts, held);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      let latest: Bytes | undefined;
      let end = 0;
      wanted = HEADER_BYTES;
      while (bytes.length - end >= HEADER_BYTES) {
        const flag = bytes[end];
        const size = HEADER_BYTES + view.getUint32(end + 1);
        if (flag !== DATA && flag !== TRAILER) {
          throw new LedgerProtocolError(`a gRPC-web frame with flag ${flag}`);
        }
        if (size > maxFrameBytes) throw new LedgerProtocolError(`a frame of ${size} bytes`);
        if (bytes.length - end < size) {
          wanted = size;
          break;
        }
        const frame = bytes.subarray(end, end + size);
        end += size;
        if (flag === TRAILER) {
          if (latest !== undefined) controller.enqueue(latest);
          controller.enqueue(frame);
          // The client would keep whatever a node goes on to send.
          controller.terminate();
          return;
        }
        latest = frame;
      }
      parts = [bytes.slice(end)];
      held = bytes.length - end;
      if (latest === undefined) return;
      controller.enqueue(latest);
      await sleep(intervalMs, signal);
    },
    flush(controller) {
      // What is cut off is the client's to refuse.
      if (held > 0) controller.enqueue(joined(parts, held));
    },
  });
}
