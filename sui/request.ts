/** What every request to an endpoint goes through, whatever it speaks. */
import { follow } from "./abort.ts";
import { LedgerHistoryPruned, LedgerProtocolError, LedgerUnavailable } from "./ledger.ts";

export interface RequestLimits {
  /** Host and port of the endpoint, for messages. */
  readonly endpoint: string;
  /** Most a request may take, milliseconds. */
  readonly timeoutMs: number;
  /** Aborts when the ledger is closed. */
  readonly closing: AbortSignal;
  /** What the client's own errors mean; `undefined` for those it does not know. */
  readonly translate: (error: unknown, what: string) => Error | undefined;
}

/**
 * One request with its time limit; every failure leaves as one of the port's errors.
 *
 * @throws {LedgerUnavailable} @throws {LedgerProtocolError} @throws {LedgerHistoryPruned}
 */
export async function request<T>(
  limits: RequestLimits,
  what: string,
  signal: AbortSignal | undefined,
  send: (abort: AbortSignal) => Promise<T>,
): Promise<T> {
  const { endpoint, timeoutMs } = limits;
  // One controller per request, let go of afterwards: AbortSignal.any would tie every request to
  // the ledger's own signal for as long as the ledger lives.
  const controller = new AbortController();
  const abort = controller.signal;
  let timedOut = false;
  const timeout = setTimeout(() => {
    timedOut = true;
    controller.abort(new DOMException(`no answer within ${timeoutMs} ms`, "TimeoutError"));
  }, timeoutMs);
  const unlink = [limits.closing, signal].map((source) => follow(source, controller));
  try {
    abort.throwIfAborted();
    return await send(abort);
  } catch (error) {
    if (
      error instanceof LedgerProtocolError || error instanceof LedgerUnavailable ||
      error instanceof LedgerHistoryPruned
    ) throw error;
    if (timedOut) {
      throw new LedgerUnavailable(`${endpoint}: ${what}: no answer within ${timeoutMs} ms`, {
        cause: error,
      });
    }
    if (abort.aborted) {
      throw new LedgerUnavailable(`${endpoint}: ${what}: aborted: ${describe(abort.reason)}`, {
        cause: abort.reason,
      });
    }
    throw limits.translate(error, what) ??
      new LedgerUnavailable(`${endpoint}: ${what}: ${describe(error)}`, { cause: error });
  } finally {
    clearTimeout(timeout);
    for (const stop of unlink) stop();
  }
}

/** Waits for work that is shared with others: who gives up only stops waiting for it. */
export async function unlessAborted<T>(
  endpoint: string,
  signal: AbortSignal | undefined,
  work: Promise<T>,
): Promise<T> {
  if (signal === undefined) return await work;
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = () =>
    reject(new LedgerUnavailable(`${endpoint}: aborted`, { cause: signal.reason }));
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
