/**
 * The `fetch` handed to the gRPC-web client. It lets through only what a gRPC-web server can have
 * said: a proxy's 404 must not become "no such object". It bounds the size of an answer and hands
 * the node's informational headers to the caller.
 */
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

/** @param maxBytes largest body taken, in bytes */
export function guardedFetch(fetchImplementation: typeof fetch, maxBytes: number): typeof fetch {
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
    const body = response.body?.pipeThrough(limit(maxBytes)) ?? null;
    const headers = new Headers(response.headers);
    headers.set("content-type", contentType);
    return new Response(body, { status: 200, headers });
  };
}

function limit(
  maxBytes: number,
): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  let seen = 0;
  return new TransformStream({
    transform(chunk, controller) {
      seen += chunk.length;
      if (seen > maxBytes) {
        controller.error(new RangeError(`${ANSWER_TOO_LARGE}: more than ${maxBytes} bytes`));
      } else controller.enqueue(chunk);
    },
  });
}

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
