/**
 * What chain events do here. The event's identity, the cursor, the result and whatever the event
 * changed stand in one transaction over all keyspaces: it happened exactly once, or not yet. Several
 * events may be on their way; each transaction is guarded by the cursor that the one before it leaves.
 */
import type { Logger } from "@logtape/logtape";
import type { Compare, Operation, Store } from "../store/mod.ts";
import { StoreError } from "../store/mod.ts";
import type { ChainDelivery, CursorStore } from "../sui/events.ts";
import { type Effect, intentOf, skipped, tooLarge } from "./chain_effect.ts";
import { EventOrder, type Place } from "./chain_order.ts";
import {
  type EventIdentity,
  type EventResult,
  forgetResults,
  putResult,
  readResult,
  readResults,
  RESULT_RETENTION,
  resultKey,
  type ResultRetention,
  type StoredResult,
} from "./chain_results.ts";
import type { Clock } from "./deps.ts";
import type { K8sService } from "./k8s/service.ts";
import { putOutbox } from "./result_outbox.ts";
import type { Workers } from "./workers.ts";

export interface ChainExecutorOptions {
  readonly store: Store;
  readonly k8s: K8sService;
  readonly workers: Workers;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether results wait to be written back on chain. */
  readonly writeBack?: boolean;
  /** Default: a week, 100,000 results. */
  readonly retention?: ResultRetention;
}

export type ApplyOutcome =
  | { readonly kind: "applied"; readonly result: EventResult }
  /** The store had it already: nothing was changed. */
  | { readonly kind: "duplicate" };

/** What the listener of sui/events.ts is given: where the cursor rests, and what applies an event. */
export interface ChainExecutor {
  readonly cursorStore: CursorStore;
  /**
   * Resolves when the event's effect is durable. May be called again before that: the order of calls
   * is the order of events. Throws only what a retry may heal; then every later call fails, too.
   * @param skip a request is noted as passed over instead: it may have been executed before
   */
  apply(delivery: ChainDelivery, skip?: boolean): Promise<ApplyOutcome>;
  /** The stored result of an event; undefined where there is none (any more). */
  result(event: EventIdentity): Promise<EventResult | undefined>;
  /**
   * What became of the events that carried a request id, oldest revision first; an id is the
   * requester's to choose, so there may be several.
   */
  results(requestId: string): Promise<readonly StoredResult[]>;
  /** Forgets results that are too old or too many. @returns how many */
  forget(): Promise<number>;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const CURSOR_KEY = encoder.encode("/chain/cursor");
const MAX_ATTEMPTS = 32;

/** Executes events as `sui:<address>` through the same service as HTTP requests. */
export function createChainExecutor(options: ChainExecutorOptions): ChainExecutor {
  const { store, clock, log } = options;
  const order = new EventOrder();

  /** Commits the effect with the event's identity, result and cursor, or says why it could not. */
  async function commit(
    delivery: ChainDelivery,
    effect: Effect,
    begunMs: number,
    skip: boolean,
  ): Promise<"lost" | "duplicate" | { revision: number; result: EventResult }> {
    const key = resultKey(delivery);
    // Written before the revision is known; nothing in it needs the real one.
    const result = effect.result(store.revision("k8s") + 1);
    const nowMs = clock();
    // Of what may have been executed before, nothing is said on chain.
    const outbox = options.writeBack === true && !skip
      ? putOutbox(delivery, result, nowMs - begunMs, nowMs)
      : [];
    const response = await store.txn({
      compare: [
        { keyspace: "system", key, target: "create", result: "equal", operand: 0 },
        cursorIs(delivery.previousCursor),
        ...effect.compare,
      ],
      success: [
        ...effect.operations,
        ...putResult(delivery, result, nowMs, outbox.length > 0),
        ...outbox,
        putCursor(delivery.cursor),
      ],
      failure: [{ type: "range", keyspace: "system", key, keysOnly: true }],
    });
    if (response.succeeded) return { revision: response.revisions.system, result };
    const [seen] = response.responses;
    return seen?.type === "range" && seen.kvs.length > 0 ? "duplicate" : "lost";
  }

  /** Moves the cursor past an event that the store has already, or the next one's guard never fits. */
  async function passOver({ cursor, previousCursor }: ChainDelivery): Promise<void> {
    const response = await store.txn({
      compare: [cursorIs(previousCursor)],
      success: [putCursor(cursor)],
      failure: [],
    });
    // It stands further on already where this very delivery came twice.
    if (!response.succeeded && await readCursor() !== cursor) throw cursorMoved();
  }

  async function readCursor(): Promise<string | undefined> {
    const [kv] = (await store.range("system", { key: CURSOR_KEY })).kvs;
    return kv === undefined ? undefined : decoder.decode(kv.value);
  }

  /** One try: planned from what is durable, handed over in its turn. */
  async function attempt(
    delivery: ChainDelivery,
    place: Place,
    isFirst: boolean,
    skip: boolean,
  ): Promise<ApplyOutcome | "lost"> {
    const { event } = delivery;
    const begunMs = clock();
    const intent = skip && event.kind === "k8s_request"
      ? skipped(event.request)
      : await intentOf(event, options);
    // Everything before it is durable when it is tried again.
    if (isFirst) await place.ready(intent.reach);
    let effect = await intent.plan();
    let done: Awaited<ReturnType<typeof commit>>;
    try {
      const committed = commit(delivery, effect, begunMs, skip);
      place.submitted();
      done = await committed;
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== "too_large") throw error;
      await place.allBefore();
      effect = tooLarge(effect);
      done = await commit(delivery, effect, begunMs, skip);
    }
    if (done === "lost") return done;
    if (done === "duplicate") {
      await place.allBefore();
      await passOver(delivery);
      return { kind: "duplicate" };
    }
    effect.applied?.(done.revision);
    return { kind: "applied", result: done.result };
  }

  async function inPlace(
    delivery: ChainDelivery,
    place: Place,
    skip: boolean,
  ): Promise<ApplyOutcome> {
    await place.turn;
    for (let tries = 0; tries < MAX_ATTEMPTS; tries++) {
      const outcome = await attempt(delivery, place, tries === 0, skip);
      if (outcome !== "lost") return outcome;
      // Against another writer, or because an event before this one did: it is tried again first.
      await place.allBefore();
      if (await readCursor() !== delivery.previousCursor) throw cursorMoved();
    }
    throw new Error(`event ${delivery.dedupeKey} lost against other writers ${MAX_ATTEMPTS} times`);
  }

  return {
    cursorStore: {
      load: readCursor,
      async save(cursor, previousCursor) {
        const response = await store.txn({
          compare: [cursorIs(previousCursor)],
          success: [putCursor(cursor)],
          failure: [],
        });
        if (!response.succeeded) throw cursorMoved();
      },
    },
    result: (event) => readResult(store, event),
    results: (requestId) => readResults(store, requestId),
    forget: () => forgetResults(store, options.retention ?? RESULT_RETENTION, clock()),
    async apply(delivery, skip = false) {
      const place = order.take();
      let outcome: ApplyOutcome;
      try {
        outcome = await inPlace(delivery, place, skip);
      } finally {
        place.finish();
      }
      if (outcome.kind === "applied") {
        const { code, reason } = outcome.result;
        log.info("chain event {kind} applied: {code}", {
          kind: delivery.event.kind,
          code,
          event: delivery.dedupeKey,
          ...(reason === undefined ? {} : { reason }),
        });
      }
      return outcome;
    },
  };
}

function cursorMoved(): Error {
  return new Error(
    "the stored cursor is not where the listener left it: something else follows too",
  );
}

function putCursor(cursor: string): Operation {
  return { type: "put", keyspace: "system", key: CURSOR_KEY, value: encoder.encode(cursor) };
}

/** The cursor stands where the listener thinks: otherwise an event was left out or comes again. */
function cursorIs(cursor: string | undefined): Compare {
  return cursor === undefined
    ? { keyspace: "system", key: CURSOR_KEY, target: "create", result: "equal", operand: 0 }
    : {
      keyspace: "system",
      key: CURSOR_KEY,
      target: "value",
      result: "equal",
      operand: encoder.encode(cursor),
    };
}
