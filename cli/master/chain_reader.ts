/** Reads the chain's events into the executor, from where it stopped the last time. */
import type { Logger } from "@logtape/logtape";
import type { ChainExecutor } from "../../api/chain_executor.ts";
import type { ReplayGate } from "../../api/chain_replay.ts";
import type { ChainListenerView } from "../../api/deps.ts";
import type { ChainClient } from "../../sui/chain_client.ts";
import { createCheckpointWatch } from "../../sui/checkpoint_watch.ts";
import {
  type ChainDelivery,
  createChainListener,
  EVENTS_IN_FLIGHT,
  EVENTS_PER_PAGE,
} from "../../sui/events.ts";
import type { Ledger } from "../../sui/ledger.ts";
import type { SealTokenValidator } from "../../sui/seal_token.ts";

const FORGET_INTERVAL_MS = 60_000;
/** Whoever is slashed is out within a second, without anybody's hint. */
const POLL_INTERVAL_MS = 500;
/** However often somebody asks for a look: nodes that announce checkpoints, or strangers. */
const MIN_POLL_INTERVAL_MS = 50;

export interface ChainReader {
  readonly view: ChainListenerView;
  /** Base58: the chain that is followed, once it has answered; undefined where it is another. */
  chainId(): string | undefined;
  /** Begins to read; the function it returns stops it. */
  start(): () => Promise<void>;
}

export interface ChainReaderOptions {
  readonly ledger: Ledger;
  /** Which may announce checkpoints: a reason to look before the interval is over. */
  readonly endpoints: readonly Pick<ChainClient, "checkpoints">[];
  /** 0x + 64 hex: the contract whose events count. */
  readonly packageId: string;
  /** Base58; undefined: the chain of the first answer is believed. */
  readonly chainId: string | undefined;
  readonly maxChainAgeMs: number;
  /** Whose cached decisions an event may take back. */
  readonly validator: SealTokenValidator | undefined;
  readonly executor: ChainExecutor;
  readonly replay: ReplayGate;
  readonly log: Logger;
}

export function createChainReader(options: ChainReaderOptions): ChainReader {
  const { ledger, packageId, chainId, maxChainAgeMs, validator, executor, replay, log } = options;
  const listener = createChainListener({
    ledger: telling(ledger, replay),
    packageId,
    cursorStore: executor.cursorStore,
    apply: async (delivery) => {
      if (validator !== undefined) forgetDecisions(validator, delivery);
      await executor.apply(delivery, replay.admit(delivery) === "skip");
    },
    clock: Date.now,
    ...(chainId === undefined ? {} : { chainId }),
    maxChainAgeMs,
    maxInFlight: EVENTS_IN_FLIGHT,
    pageSize: EVENTS_PER_PAGE,
    pollIntervalMs: POLL_INTERVAL_MS,
    minPollIntervalMs: MIN_POLL_INTERVAL_MS,
    log: {
      state: ({ state, detail }) => log.info(`chain reader ${state}`, { detail }),
      passedOver: ({ dedupeKey, event }) =>
        log.warn("a chain event is passed over", { event: dedupeKey, kind: event.kind }),
      failed: (error, retryInMs) =>
        log.warn("chain reader: a failure, tried again", { retry_in_ms: retryInMs, error }),
    },
  });
  const watch = createCheckpointWatch({
    endpoints: options.endpoints,
    wake: () => listener.wake(),
    clock: Date.now,
    log: {
      stands: (standing, endpoints) =>
        log.info(`new checkpoints are announced by ${standing} of ${endpoints} endpoints`),
      broken: (error, retryInMs) =>
        log.warn("new checkpoints are not announced, the chain is asked every {every_ms} ms", {
          every_ms: POLL_INTERVAL_MS,
          retry_in_ms: retryInMs,
          error,
        }),
      unsupported: ({ message }) =>
        log.info("an endpoint announces no checkpoints, it is asked every {every_ms} ms", {
          every_ms: POLL_INTERVAL_MS,
          detail: message,
        }),
    },
  });
  return {
    view: {
      status: () => ({ ...listener.status(), subscribed: watch.standing() }),
      wake: () => listener.wake(),
    },
    chainId: () => {
      const { state, chainId } = listener.status();
      return state === "stopped" ? undefined : chainId;
    },
    start() {
      const stop = new AbortController();
      const running = listener.run(stop.signal);
      const watching = watch.run(stop.signal);
      const forgetting = setInterval(() => {
        executor.forget().catch((error: unknown) =>
          log.error("old results of chain events could not be forgotten: {error}", { error })
        );
      }, FORGET_INTERVAL_MS);
      return async () => {
        clearInterval(forgetting);
        stop.abort();
        await Promise.all([running, watching]);
      };
    },
  };
}

/** Where no chain is configured. @param why one sentence for `/health` */
export function noChainReader(why: string): ChainReader {
  return {
    view: {
      status: () => ({
        state: "disabled",
        detail: why,
        cursor: undefined,
        lastEventAt: undefined,
        eventsApplied: 0,
        subscribed: 0,
      }),
      wake: () => {},
    },
    chainId: () => undefined,
    start: () => () => Promise.resolve(),
  };
}

/** The reader asks where the chain stands before it reads events: the gate hears it first. */
function telling(ledger: Ledger, replay: ReplayGate): Ledger {
  return {
    async status(signal) {
      const status = await ledger.status(signal);
      await replay.reached(status.checkpoint);
      return status;
    },
    getObject: (...args) => ledger.getObject(...args),
    getDynamicField: (...args) => ledger.getDynamicField(...args),
    events: (...args) => ledger.events(...args),
    [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose](),
  };
}

/** A cached yes must not outlive the event that takes it back. */
function forgetDecisions(
  validator: SealTokenValidator,
  { event, checkpoint }: ChainDelivery,
): void {
  if (event.kind === "seal_token_revoked") validator.invalidate(event.tokenId, checkpoint);
  if (event.kind === "worker_status_changed") validator.invalidateNode(event.nodeId, checkpoint);
}
