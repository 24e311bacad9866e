/**
 * The `fetch` handed to the gRPC-web client. It lets through only what a gRPC-web server can have
 * said: a proxy's 404 must not become "no such object". It bounds the size of an answer and hands
 * the node's informational headers to the caller.
 */
import { joined } from "./bytes.ts";
import { ANSWER_TOO_LARGE } from "./chain_client.ts";
import type { LedgerObservation } from "./ledger.ts";

/** Something answered, but no gRPC-web server. */
export class NotGrpcWeb extends Error {
  override readonly name = "NotGrpcWeb";
}

const CONTENT_TYPES = new Set([
  "application/grpc-web",
  "application/grpc-web+proto",
]);

type Bytes = Uint8Array<ArrayBuffer>;

/** @param maxBytes largest body taken, in bytes */
export function guardedFetch(fetchImplementation: typeof fetch, maxBytes: number): typeof fetch {
  return checkedFetch(fetchImplementation, () => wholeFrames(maxBytes));
}

/** @param through makes what every body goes through; its signal is the request's */
export function checkedFetch(
  fetchImplementation: typeof fetch,
  through: (signal: AbortSignal | undefined) => TransformStream<Bytes, Bytes>,
): typeof fetch {
  return async (input, init) => {
    const response = await fetchImplementation(input, {
      ...init,
      redirect: "error",
      credentials: "omit",
    });
    const contentType = (response.headers.get("content-type") ?? "").split(";")[0]?.trim() ?? "";
    // A node that has nothing but a status to send may send it in the headers alone.
    const grpcWeb = CONTENT_TYPES.has(contentType) || response.headers.has("grpc-status");
    if (response.status !== 200 || !grpcWeb) {
      await response.body?.cancel();
      throw new NotGrpcWeb(
        `HTTP ${response.status} with content type ${JSON.stringify(contentType)}, ` +
          "expected 200 with application/grpc-web+proto",
      );
    }
    // Deno 2.9.6 ends the body of a fetch that is aborted only while its Response is not yet collected,
    // and nobody keeps this one: without the signal here a node that stalls would never be given up.
    const signal = init?.signal ?? undefined;
    const body = response.body?.pipeThrough(through(signal), signal ? { signal } : {}) ?? null;
    const headers = new Headers(response.headers);
    headers.set("content-type", contentType);
    return new Response(body, { status: 200, headers });
  };
}

/**
 * Bounds an answer, and hands on whole gRPC-web frames (flag, u32 big-endian length, data): the
 * client joins what it has with every piece of a frame, so that a large one in small pieces would
 * cost it the square of its length.
 */
function wholeFrames(maxBytes: number): TransformStream<Bytes, Bytes> {
  let seen = 0;
  let parts: Bytes[] = [];
  let held = 0;
  /** Bytes that must be held before there is a whole frame, or its header. */
  let wanted = HEADER_BYTES;
  return new TransformStream({
    transform(chunk, controller) {
      seen += chunk.length;
      if (seen > maxBytes) {
        controller.error(new RangeError(`${ANSWER_TOO_LARGE}: more than ${maxBytes} bytes`));
        return;
      }
      parts.push(chunk);
      held += chunk.length;
      if (held < wanted) return;
      const bytes = parts.length === 1 ? chunk : joined(parts, held);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      let end = 0;
      wanted = HEADER_BYTES;
      while (bytes.length - end >= HEADER_BYTES) {
        const frame = HEADER_BYTES + view.getUint32(end + 1);
        if (frame > maxBytes) {
          controller.error(new RangeError(`${ANSWER_TOO_LARGE}: a frame of ${frame} bytes`));
          return;
        }
        if (bytes.length - end < frame) {
          wanted = frame;
          break;
        }
        end += frame;
      }
      if (end > 0) controller.enqueue(bytes.subarray(0, end));
      parts = [bytes.subarray(end)];
      held = bytes.length - end;
    },
    flush(controller) {
      // What is cut off is the client's to refuse.
      if (held > 0) controller.enqueue(joined(parts, held));
    },
  });
}

/** Of a gRPC-web frame: flag, u32 big-endian length. */
export const HEADER_BYTES = 5;

/** Headers as the gRPC-web transport hands them on. */
export type ResponseHeaders = Readonly<Record<string, string | readonly string[]>>;

/**
 * Where the node stood, from `x-sui-chain-id`, `x-sui-checkpoint-height`, `x-sui-timestamp-ms`.
 * `undefined` where one is missing or malformed: then the answer counts as undated.
 */
export function observationOf(headers: ResponseHeaders): LedgerObservation | undefined {
  const chainId = headers["x-sui-chain-id"];
  const checkpoint = headers["x-sui-checkpoint-height"];
  const timestamp = headers["x-sui-timestamp-ms"];
  if (typeof chainId !== "string" || !/^[1-9A-HJ-NP-Za-km-z]{32,44}$/.test(chainId)) {
    return undefined;
  }
  if (typeof checkpoint !== "string" || !/^[0-9]{1,20}$/.test(checkpoint)) return undefined;
  if (typeof timestamp !== "string" || !/^[0-9]{1,15}$/.test(timestamp)) return undefined;
  return { chainId, checkpoint: BigInt(checkpoint), timestampMs: Number(timestamp) };
}
