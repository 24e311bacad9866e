/**
 * Follows the chain: reads the gateway's events strictly after the stored cursor, in order, and
 * hands each over to be applied together with its cursor. Knows no store: ports only.
 *
 * Nothing is skipped because something here failed (it is tried again), nothing stops because of
 * one poisoned event (it is handed over as `undecodable`), and nothing is passed over because a
 * node forgot it (the listener stops and says so).
 */
import { sleep, withinGrace } from "./abort.ts";
import { canonicalAddress, GATEWAY_MODULE } from "./address.ts";
import { type ChainEvent, decodeChainEvent } from "./chain_event.ts";
import { ReadAhead } from "./read_ahead.ts";
import { CannotContinue, formatCursor, parseCursor } from "./stored_cursor.ts";
import {
  type EventStart,
  type Ledger,
  type LedgerEvent,
  LedgerHistoryPruned,
  LedgerProtocolError,
  LedgerUnavailable,
} from "./ledger.ts";

/** One event, ready to be applied exactly once. */
export interface ChainDelivery {
  readonly event: ChainEvent;
  /** Opaque; commit it in the same transaction as what the event changes. */
  readonly cursor: string;
  /**
   * What stands in the store when this event's turn comes, `undefined` for nothing. With
   * `maxInFlight` above 1 the transaction must be guarded by it.
   */
  readonly previousCursor: string | undefined;
  /** `<transaction digest>/<event index>`: the event's identity on chain. */
  readonly dedupeKey: string;
  readonly checkpoint: bigint;
  /** Who signed the transaction, 0x + 64 hex. */
  readonly sender: string;
}

/** Where the cursor rests. `apply` commits it with each event; `save` is for stretches without any. */
export interface CursorStore {
  load(): Promise<string | undefined>;
  /** Moves the cursor over checkpoints that held no event of the gateway. */
  save(cursor: string, previousCursor: string | undefined): Promise<void>;
}

export interface ChainListenerLog {
  /** The state or its detail changed. */
  state?(status: ChainListenerStatus): void;
  /** An event that could not be decoded, or of an unknown type, was handed over as such. */
  passedOver?(delivery: ChainDelivery): void;
  /** Reading or applying failed and will be tried again. */
  failed?(error: unknown, retryInMs: number): void;
}

export interface ChainListenerOptions {
  readonly ledger: Ledger;
  /** Where `k8s_gateway` was first published, 0x and hex. */
  readonly packageId: string;
  readonly cursorStore: CursorStore;
  /**
   * Applies one event and commits its cursor with it. A throw means that it could not be done now,
   * not that the event is bad: the same event comes again. The signal says that the listener stops.
   */
  readonly apply: (delivery: ChainDelivery, signal: AbortSignal) => Promise<void>;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  readonly log?: ChainListenerLog;
  /** Base58; another chain stops the listener. Absent: the chain of the stored cursor, if any. */
  readonly chainId?: string | undefined;
  /** A node whose newest checkpoint is older counts as away. Absent: no limit. */
  readonly maxChainAgeMs?: number | undefined;
  /** Where to begin when no cursor is stored. Default: the oldest the node still has. */
  readonly start?: EventStart;
  /** Between looks when nothing is new. Default 1000. */
  readonly pollIntervalMs?: number;
  /** Least time between looks, however often somebody calls `wake`. Default 100. */
  readonly minPollIntervalMs?: number;
  /** After failures: doubled from `initialMs` to `maxMs`. Default 500 and 30000. */
  readonly backoff?: { readonly initialMs: number; readonly maxMs: number };
  /** Events asked for at once, 1 to 1000. Default 200. */
  readonly pageSize?: number;
  /** How often the cursor is saved where no event moves it. Default 600000. */
  readonly idleSaveIntervalMs?: number;
  /** Events handed over before the first of them is applied. Default 1. */
  readonly maxInFlight?: number;
  /** Resolves after `ms` or when the signal aborts; never rejects. Default: a timer. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

export interface ChainListenerStatus {
  readonly state: "connecting" | "following" | "unreachable" | "blocked" | "stopped";
  readonly detail: string;
  /** As stored. */
  readonly cursor: string | undefined;
  /** By the clock, milliseconds. */
  readonly lastEventAt: number | undefined;
  readonly eventsApplied: number;
  readonly eventsUndecodable: number;
  readonly eventsUnknown: number;
  readonly consecutiveFailures: number;
  readonly chainId: string | undefined;
}

export interface ChainListener {
  status(): ChainListenerStatus;
  /** Asks for a look now. Cheap, harmless however often it is called. */
  wake(): void;
  /**
   * Follows the chain until the signal aborts (resolves within a second) or until going on would
   * skip events (state `stopped`, resolves as well). Never rejects; call it once.
   */
  run(signal: AbortSignal): Promise<void>;
}

/** @throws {TypeError} when the package id is none */
export function createChainListener(options: ChainListenerOptions): ChainListener {
  return new Listener(options);
}

/** How many the program lets be on their way: enough to fill the appends of a disk. */
export const EVENTS_IN_FLIGHT = 64;

/** How many the program asks for at once: a page is read while the one before it is applied. */
export const EVENTS_PER_PAGE = 500;

/** What the store or the handler said no to; told apart from a chain that is away. */
class ApplyFailed extends Error {
  override readonly name = "ApplyFailed";
}

class Listener implements ChainListener {
  readonly #options: ChainListenerOptions;
  readonly #filter: { readonly packageId: string; readonly module: string };
  #state: ChainListenerStatus["state"] = "connecting";
  #detail = "not started";
  #cursor: string | undefined;
  #lastEventAt: number | undefined;
  #applied = 0;
  #undecodable = 0;
  #unknown = 0;
  #failures = 0;
  #chainId: string | undefined;
  #wake = new AbortController();
  #started = false;

  constructor(options: ChainListenerOptions) {
    const packageId = canonicalAddress(options.packageId);
    if (packageId === undefined) throw new TypeError(`packageId: ${options.packageId}`);
    this.#options = options;
    this.#filter = { packageId, module: GATEWAY_MODULE };
  }

  status(): ChainListenerStatus {
    return {
      state: this.#state,
      detail: this.#detail,
      cursor: this.#cursor,
      lastEventAt: this.#lastEventAt,
      eventsApplied: this.#applied,
      eventsUndecodable: this.#undecodable,
      eventsUnknown: this.#unknown,
      consecutiveFailures: this.#failures,
      chainId: this.#chainId,
    };
  }

  wake(): void {
    this.#wake.abort();
  }

  async run(signal: AbortSignal): Promise<void> {
    if (this.#started) throw new TypeError("a chain listener runs once");
    this.#started = true;
    this.#become("connecting", "asking the chain for its id");
    while (!signal.aborted) {
      try {
        await this.#follow(signal);
      } catch (error) {
        if (signal.aborted) break;
        if (error instanceof CannotContinue || error instanceof LedgerHistoryPruned) {
          this.#become("stopped", explain(error));
          return;
        }
        await this.#recover(error, signal);
      }
    }
    this.#become("stopped", "told to stop");
  }

  /** Reads and applies from the stored cursor on, until something throws or the signal aborts. */
  async #follow(signal: AbortSignal): Promise<void> {
    const { ledger, clock } = this.#options;
    const chainId = await this.#checkChain(signal);
    let stored = await this.#load();
    let position = stored === undefined ? undefined : parseCursor(stored, chainId);
    let savedAtMs = clock();
    this.#cursor = stored;
    let agedAtMs: number | undefined;
    await using reading = new ReadAhead((after, abort) =>
      ledger.events(this.#filter, after, this.#options.pageSize ?? 200, abort)
    );
    while (!signal.aborted) {
      this.#wake = new AbortController();
      const lookedAtMs = clock();
      const page = await reading.page(position ?? this.#options.start, signal);
      if (page.events.length > 0) {
        // The next page is on its way while this one is applied.
        if (page.hasMore && page.cursor !== undefined) reading.expect(page.cursor);
        stored = await withinGrace(
          this.#applyAll(page.events, chainId, stored, signal),
          signal,
        );
        savedAtMs = clock();
      }
      position = page.cursor ?? position;
      if (!page.hasMore) agedAtMs = await this.#checkAge(agedAtMs, signal);
      this.#failures = 0;
      this.#become("following", page.hasMore ? "catching up" : "at the tip of the chain");
      if (page.hasMore) continue;
      const idle = position === undefined ? undefined : formatCursor(chainId, position);
      const saveEveryMs = this.#options.idleSaveIntervalMs ?? 600_000;
      if (idle !== undefined && idle !== stored && clock() - savedAtMs >= saveEveryMs) {
        await this.#save(idle, stored);
        stored = this.#cursor = idle;
        savedAtMs = clock();
      }
      await this.#pause(lookedAtMs, signal);
    }
  }

  /** Hands the events over in order; resolves with the cursor that is stored then. */
  async #applyAll(
    events: readonly LedgerEvent[],
    chainId: string,
    stored: string | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const width = this.#options.maxInFlight ?? 1;
    let onTheWay = 0;
    let wake = () => {};
    const until = async (isMet: () => boolean) => {
      while (!isMet()) await new Promise<void>((resolve) => wake = resolve);
    };
    let failure: { readonly error: unknown } | undefined;
    let previousCursor = stored;
    for (const event of events) {
      if (signal.aborted || failure !== undefined) break;
      const delivery: ChainDelivery = {
        event: decodeChainEvent(this.#filter.packageId, event),
        cursor: formatCursor(chainId, event.cursor),
        previousCursor,
        dedupeKey: `${event.transactionDigest}/${event.eventIndex}`,
        checkpoint: event.checkpoint,
        sender: event.sender,
      };
      previousCursor = delivery.cursor;
      onTheWay++;
      this.#apply(delivery, signal).catch((error: unknown) => {
        failure ??= { error };
      }).finally(() => {
        onTheWay--;
        wake();
      });
      if (onTheWay >= width) await until(() => onTheWay < width);
    }
    await until(() => onTheWay === 0);
    if (failure !== undefined) throw failure.error;
    return previousCursor;
  }

  async #apply(delivery: ChainDelivery, signal: AbortSignal): Promise<void> {
    const { apply, clock, log } = this.#options;
    try {
      await apply(delivery, signal);
    } catch (cause) {
      throw new ApplyFailed(`event ${delivery.dedupeKey}: ${explain(cause)}`, { cause });
    }
    this.#applied++;
    this.#lastEventAt = clock();
    this.#cursor = delivery.cursor;
    const { kind } = delivery.event;
    if (kind === "undecodable") this.#undecodable++;
    if (kind === "unknown") this.#unknown++;
    if (kind === "undecodable" || kind === "unknown") log?.passedOver?.(delivery);
  }

  async #checkChain(signal: AbortSignal): Promise<string> {
    const { chainId } = await this.#options.ledger.status(signal);
    const expected = this.#options.chainId ?? this.#chainId;
    if (expected !== undefined && chainId !== expected) {
      throw new CannotContinue(`the endpoint is on chain ${chainId}, expected ${expected}`);
    }
    return this.#chainId = chainId;
  }

  /**
   * A node that stands still tells no lie, but a revocation may have happened since. What it had to
   * tell was applied before this. Asked anew when half of the allowed age has gone by.
   */
  async #checkAge(
    checkedAtMs: number | undefined,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const { ledger, clock, maxChainAgeMs } = this.#options;
    if (maxChainAgeMs === undefined) return undefined;
    const nowMs = clock();
    if (checkedAtMs !== undefined && Math.abs(nowMs - checkedAtMs) < maxChainAgeMs / 2) {
      return checkedAtMs;
    }
    const { checkpointTimestampMs } = await ledger.status(signal);
    if (checkpointTimestampMs === undefined) {
      throw new LedgerUnavailable("the node does not date its newest checkpoint");
    }
    const ageMs = nowMs - checkpointTimestampMs;
    if (ageMs > maxChainAgeMs) {
      throw new LedgerUnavailable(
        `the node's newest checkpoint is ${ageMs} ms old, more than ${maxChainAgeMs}`,
        { hint: "the node stands still, or this machine's clock is wrong" },
      );
    }
    return nowMs;
  }

  async #load(): Promise<string | undefined> {
    try {
      return await this.#options.cursorStore.load();
    } catch (cause) {
      throw new ApplyFailed(`the cursor cannot be read: ${explain(cause)}`, { cause });
    }
  }

  async #save(cursor: string, previous: string | undefined): Promise<void> {
    try {
      await this.#options.cursorStore.save(cursor, previous);
    } catch (cause) {
      throw new ApplyFailed(`the cursor cannot be saved: ${explain(cause)}`, { cause });
    }
  }

  /** Until the next look is due: soon after `wake`, otherwise after the poll interval. */
  async #pause(lookedAtMs: number, signal: AbortSignal): Promise<void> {
    const { clock, pollIntervalMs = 1000, minPollIntervalMs = 100 } = this.#options;
    await this.#sleep(pollIntervalMs, AbortSignal.any([signal, this.#wake.signal]));
    if (signal.aborted || !this.#wake.signal.aborted) return;
    const elapsedMs = clock() - lookedAtMs;
    if (elapsedMs >= 0 && elapsedMs < minPollIntervalMs) {
      await this.#sleep(minPollIntervalMs - elapsedMs, signal);
    }
  }

  /** Says what is wrong and waits; `wake` does not shorten this, or strangers could hammer. */
  async #recover(error: unknown, signal: AbortSignal): Promise<void> {
    const { initialMs, maxMs } = this.#options.backoff ?? { initialMs: 500, maxMs: 30_000 };
    const retryInMs = Math.min(maxMs, initialMs * 2 ** Math.min(this.#failures, 20));
    this.#failures++;
    const chainIsAway = error instanceof LedgerUnavailable || error instanceof LedgerProtocolError;
    this.#become(chainIsAway ? "unreachable" : "blocked", explain(error));
    this.#options.log?.failed?.(error, retryInMs);
    await this.#sleep(retryInMs, signal);
  }

  #sleep(ms: number, signal: AbortSignal): Promise<void> {
    return (this.#options.sleep ?? sleep)(ms, signal);
  }

  #become(state: ChainListenerStatus["state"], detail: string): void {
    if (state === this.#state && detail === this.#detail) return;
    this.#state = state;
    this.#detail = detail;
    this.#options.log?.state?.(this.status());
  }
}

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const hint = "hint" in error && typeof error.hint === "string" ? ` (${error.hint})` : "";
  return error.message + hint;
}
