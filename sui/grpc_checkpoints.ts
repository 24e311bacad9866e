/** New checkpoints as a full node's `SubscriptionService` makes them known: a reason to look. */
import type { RpcError, SuiGrpcClient } from "@mysten/sui/grpc";
import { follow, sleep } from "./abort.ts";
import { CHECKPOINT_INTERVAL_MS, SubscriptionUnsupported } from "./chain_client.ts";
import { CHECKPOINT_READ_MASK, decodeAnnouncement } from "./grpc_decode.ts";
import { checkedFetch, type ResponseHeaders } from "./grpc_transport.ts";
import { latestFrame } from "./latest_frame.ts";
import { LedgerProtocolError, LedgerUnavailable } from "./ledger.ts";

/** One holds two numbers; a node that takes no notice of the read mask sends a digest more. */
const MAX_FRAME_BYTES = 16 * 1024;

export interface CheckpointSource {
  /** Made with `announcedFetch`. */
  readonly announcing: Pick<SuiGrpcClient, "subscriptionService">;
  /** Host and port, for messages. */
  readonly endpoint: string;
  /** Aborts when the ledger is closed. */
  readonly closing: AbortSignal;
  readonly isRpcError: (error: unknown) => error is RpcError;
  /** Refuses another chain. */
  readonly observe: (headers: ResponseHeaders) => void;
}

/** The `fetch` of a client that subscribes: no end to an answer, but little of it at a time. */
export function announcedFetch(fetchImplementation: typeof fetch): typeof fetch {
  return checkedFetch(fetchImplementation, (signal) =>
    latestFrame({
      maxFrameBytes: MAX_FRAME_BYTES,
      intervalMs: CHECKPOINT_INTERVAL_MS,
      sleep,
      signal,
    }));
}

/** As `ChainClient.checkpoints` says. Ends its request when nobody reads on. */
export async function* subscribeCheckpoints(
  source: CheckpointSource,
  signal: AbortSignal,
): AsyncGenerator<bigint, never> {
  const { announcing, endpoint, closing, isRpcError, observe } = source;
  const request = new AbortController();
  const unlink = [closing, signal].map((other) => follow(other, request));
  const what = `${endpoint}: SubscribeCheckpoints`;
  try {
    request.signal.throwIfAborted();
    const readMask = { paths: [...CHECKPOINT_READ_MASK] };
    const call = announcing.subscriptionService.subscribeCheckpoints({ readMask }, {
      abort: request.signal,
    });
    call.headers.catch(() => {}); // reported by the loop below
    let isThisChain = false;
    for await (const message of call.responses) {
      if (!isThisChain) observe(await call.headers);
      isThisChain = true;
      yield decodeAnnouncement(message);
    }
    throw new LedgerUnavailable(`${what}: ended by the node`);
  } catch (error) {
    if (error instanceof LedgerUnavailable || error instanceof LedgerProtocolError) throw error;
    const said = error instanceof Error ? error.message.slice(0, 300) : String(error);
    if (!request.signal.aborted && isRpcError(error) && error.code === "UNIMPLEMENTED") {
      throw new SubscriptionUnsupported(`${what}: ${said}`, { cause: error });
    }
    throw new LedgerUnavailable(`${what}: ${said}`, { cause: error });
  } finally {
    for (const stop of unlink) stop();
    request.abort(new DOMException("nobody reads on", "AbortError"));
  }
}
