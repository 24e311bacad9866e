/**
 * Writes results of chain requests back on chain, one after the other, oldest first, beside the
 * events and never in their way. Each is signed once and kept before it leaves; whatever fails is
 * tried again, with growing pauses, and shows in `/health` until it works.
 */
import type { Logger } from "@logtape/logtape";
import type { Store } from "../store/mod.ts";
import type { ChainWriter } from "../sui/chain_writer.ts";
import { type ResultSigner, SignerNotReady } from "../sui/result_signer.ts";
import type { Clock } from "./deps.ts";
import { abandon, countWaiting, keep, oldest, type OutboxEntry, remove } from "./result_outbox.ts";

export interface ResultWriterOptions {
  readonly store: Store;
  readonly signer: ResultSigner;
  readonly writer: Pick<ChainWriter, "execute">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Why nothing may be written now; undefined: it may. Asked before every result. */
  readonly held?: (() => string | undefined) | undefined;
  /** Results that wait at most; beyond it, and after a week, the oldest is given up. Default 100000. */
  readonly maxWaiting?: number;
  /** Between looks when nothing waits. Default 1000. */
  readonly pollIntervalMs?: number;
  /**
   * After failures: doubled from the first to the last, a minute at most where cap or gas are missing.
   * Default 1000 and 300000.
   */
  readonly backoff?: { readonly initialMs: number; readonly maxMs: number };
  /** Resolves after `ms` or when the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** How results get back on chain, as `/health` and the metrics tell. */
export interface WriteBackStatus {
  /**
   * `off`: no signer is configured. `failing`: the last try did not work. `held`: the operator has to
   * decide first what becomes of the chain's requests after a restore.
   */
  readonly state: "off" | "on" | "failing" | "held";
  readonly detail: string;
  /** The signer's, 0x + 64 hex. */
  readonly address: string | undefined;
  readonly waiting: number;
  /** Since the start. */
  readonly written: number;
  /** Since the start: the chain had a result that this master did not see itself write. */
  readonly answered: number;
  /** Given up since the start: unknown to the chain, failed too often, waited too long. */
  readonly givenUp: number;
  /** Tries that did not work, since the start. */
  readonly failures: number;
  /** MIST that the signer held for gas when it last looked, 50 coins at most. */
  readonly balanceMist: bigint | undefined;
  /** MIST that a result may cost. */
  readonly gasBudgetMist: bigint | undefined;
  /** Object id of the MasterCap that is needed. */
  readonly masterCap: string | undefined;
}

export const NO_WRITE_BACK: WriteBackStatus = Object.freeze({
  state: "off",
  detail: "NAUTILUS_SUI_MASTER_CAP is not set: results are read at /api/v1/requests/{id}",
  address: undefined,
  waiting: 0,
  written: 0,
  answered: 0,
  givenUp: 0,
  failures: 0,
  balanceMist: undefined,
  gasBudgetMist: undefined,
  masterCap: undefined,
});

export interface ResultWriter {
  /** What waits is as last counted. */
  status(): WriteBackStatus;
  /** Counts what waits now, also while the writer pauses or a try is on its way. @throws {StoreError} */
  count(): Promise<void>;
  /** Asks for a look now. */
  wake(): void;
  /** Until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** Failures on chain, each paid for, after which a result is given up. */
const MAX_FAILURES = 5;
/** Between looks at cap and purse, at most, while nothing waits or one of them is missing. */
const CHECK_INTERVAL_MS = 60_000;
const MAX_AGE_MS = 7 * 24 * 3_600_000;

export function createResultWriter(options: ResultWriterOptions): ResultWriter {
  const { store, signer, writer, clock, log, sleep } = options;
  const { maxWaiting = 100_000, pollIntervalMs = 1_000 } = options;
  const { initialMs, maxMs } = options.backoff ?? { initialMs: 1_000, maxMs: 300_000 };
  let status: WriteBackStatus = {
    state: "on",
    detail: "not begun",
    address: signer.address,
    waiting: 0,
    written: 0,
    answered: 0,
    givenUp: 0,
    failures: 0,
    balanceMist: undefined,
    gasBudgetMist: signer.gasBudgetMist,
    masterCap: signer.masterCapId,
  };
  const seen = (balanceMist: bigint) => {
    status = { ...status, balanceMist };
  };
  let wake = new AbortController();

  async function finished(entry: OutboxEntry): Promise<void> {
    await remove(store, entry);
    status = { ...status, written: status.written + 1 };
  }

  async function giveUp(entry: OutboxEntry, why: string): Promise<void> {
    await abandon(store, entry, "given_up");
    status = { ...status, givenUp: status.givenUp + 1 };
    log.warn("a result is not written back on chain: {why}", {
      why,
      request_id: entry.result.requestId,
    });
  }

  /** Another master's, or that of the worker whom the request is assigned to: first come. */
  async function leaveAlone(entry: OutboxEntry): Promise<void> {
    await abandon(store, entry, "answered");
    status = { ...status, answered: status.answered + 1 };
    log.warn("the chain has a result of this request that this master did not see itself write", {
      request_id: entry.result.requestId,
      output_here: entry.result.output,
    });
  }

  /** True where the chain needs nothing more of this result. */
  async function isSettled(entry: OutboxEntry, signal: AbortSignal): Promise<boolean> {
    const state = await signer.state(entry.result.requestId, entry.checkpoint, signal);
    if (state === "answered") await leaveAlone(entry);
    else if (state === "unknown") await giveUp(entry, "the chain knows no such request");
    return state !== "open";
  }

  /** One result as far as it goes now. @throws what a later try may heal */
  async function advance(entry: OutboxEntry, count: number, signal: AbortSignal): Promise<void> {
    if (count > maxWaiting) return await giveUp(entry, "too many wait");
    if (clock() - entry.queuedAtMs > MAX_AGE_MS) return await giveUp(entry, "it waited a week");
    if (entry.failures >= MAX_FAILURES) return await giveUp(entry, "it failed too often on chain");
    let { signed } = entry;
    if (signed === undefined) {
      if (await isSettled(entry, signal)) return;
      signed = await signer.sign(entry.result, signal, seen);
      // Durable before it leaves: the same bytes are the same transaction, however often they are sent.
      await keep(store, entry, signed, entry.failures);
    }
    const { transaction, signature } = signed;
    const execution = await writer.execute(Uint8Array.fromBase64(transaction), signature, signal);
    if (execution.status === "done") return await finished(entry);
    if (await isSettled(entry, signal)) return;
    const paid = execution.status === "failed" ? 1 : 0;
    await keep(store, entry, undefined, entry.failures + paid);
    throw new Error(`the transaction was ${execution.status}: ${execution.reason}`);
  }

  return {
    status: () => {
      const why = options.held?.();
      return why === undefined ? status : { ...status, state: "held", detail: why };
    },
    async count() {
      const waiting = await countWaiting(store);
      status = { ...status, waiting };
    },
    wake: () => wake.abort(),
    async run(signal) {
      let failures = 0;
      let checkedAtMs = -Infinity;
      while (!signal.aborted) {
        wake = new AbortController();
        try {
          const { entry, count } = await oldest(store);
          status = { ...status, waiting: count };
          if (options.held?.() !== undefined) {
            await sleep(pollIntervalMs, AbortSignal.any([signal, wake.signal]));
            continue;
          }
          if (entry === undefined) {
            // An empty purse is told before anybody waits for it.
            if (Math.abs(clock() - checkedAtMs) >= CHECK_INTERVAL_MS) {
              await signer.check(signal, seen);
              checkedAtMs = clock();
            }
            failures = 0;
            status = { ...status, state: "on", detail: "nothing waits" };
            await sleep(pollIntervalMs, AbortSignal.any([signal, wake.signal]));
            continue;
          }
          await advance(entry, count, signal);
          failures = 0;
          status = { ...status, state: "on", detail: "writing", waiting: count - 1 };
        } catch (error) {
          if (signal.aborted) return;
          const longestMs = error instanceof SignerNotReady
            ? Math.min(maxMs, CHECK_INTERVAL_MS)
            : maxMs;
          const retryInMs = Math.min(longestMs, initialMs * 2 ** Math.min(failures++, 20));
          status = {
            ...status,
            state: "failing",
            detail: explain(error),
            failures: status.failures + 1,
          };
          log.warn("results cannot be written back on chain now, tried again: {reason}", {
            reason: explain(error),
            signer: signer.address,
            waiting: status.waiting,
            retry_in_ms: retryInMs,
            // What the operator has to do says it all; anything else comes with where it was.
            ...(error instanceof Error && "hint" in error ? {} : { error }),
          });
          await sleep(retryInMs, signal);
        }
      }
    },
  };
}

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const hint = "hint" in error && typeof error.hint === "string" ? ` (${error.hint})` : "";
  return error.message + hint;
}
