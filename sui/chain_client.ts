/** What a master holds of one endpoint of the chain, whatever the endpoint speaks. */
import type { Ledger, LedgerObject, LedgerProtocolError, LedgerUnavailable } from "./ledger.ts";
import type { ZkLoginVerifier } from "./wallet_signature.ts";

/** The ledger, and the node's word on signatures that only the chain can judge. */
export interface ChainClient extends Ledger {
  readonly zkLogin: ZkLoginVerifier;
  /**
   * The numbers of new checkpoints, as the node makes them known. A reason to look and nothing else:
   * they may be late, twice, missing or made up. At most one each 50 ms, whatever the node sends; ends
   * only by an error or by the signal. Absent where the protocol has none.
   *
   * @throws {SubscriptionUnsupported} when this node has none
   * @throws {LedgerUnavailable} @throws {LedgerProtocolError}
   */
  checkpoints?(signal: AbortSignal): AsyncIterable<bigint>;
}

/** The node answers, but does not make checkpoints known. */
export class SubscriptionUnsupported extends Error {
  override readonly name = "SubscriptionUnsupported";
  readonly code = "subscription_unsupported";
  readonly hint = "nothing is lost: new events are found by asking for them";
}

export interface ChainClientOptions {
  /** `https://`; `http://` only for tests and loopback. */
  readonly endpoint: string;
  /** Base58. An answer from another chain is refused. Absent: the first answer's chain is kept. */
  readonly chainId?: string;
  /** Most a request may take, milliseconds. Default 10000. */
  readonly timeoutMs?: number;
  /** Largest answer taken, bytes. Default 16 MiB. */
  readonly maxAnswerBytes?: number;
  /** Requests for objects on their way at once. Default 8. */
  readonly maxInFlight?: number;
  /** Default: the platform's. */
  readonly fetch?: typeof fetch;
}

/** Least time between two checkpoints that are handed on, milliseconds. */
export const CHECKPOINT_INTERVAL_MS = 50;

/** Per object, so that one answer that cannot be does not take the others of its batch with it. */
export type ObjectAnswer =
  | { readonly object: LedgerObject | undefined }
  | { readonly error: LedgerProtocolError | LedgerUnavailable };

/** What `ChainClientOptions` leaves open. */
export const CLIENT_DEFAULTS = {
  timeoutMs: 10_000,
  maxAnswerBytes: 16 * 1024 * 1024,
  maxInFlight: 8,
} as const;

/** Begins the message of the error where an answer was over its limit. */
export const ANSWER_TOO_LARGE = "the answer is too large";

/** @throws {TypeError} when the endpoint is no http(s) URL */
export function httpEndpoint(text: string): URL {
  const endpoint = new URL(text);
  if (endpoint.protocol !== "https:" && endpoint.protocol !== "http:") {
    throw new TypeError(`endpoint: expected http or https, got ${endpoint.protocol}`);
  }
  return endpoint;
}
