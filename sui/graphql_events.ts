/**
 * Events read by Sui's GraphQL RPC. It tells no place of a transaction within its checkpoint, so an
 * event's place is behind the one before it: what follows a cursor is what comes after the event that
 * the cursor names, and an answer that does not show that event is not believed.
 */
import { ANSWER_TOO_LARGE } from "./chain_client.ts";
import { decodeCursor, encodeCursor } from "./cursor.ts";
import type { EventsAnswer, ServedEvent } from "./graphql_decode.ts";
import {
  type EventCursor,
  type EventPage,
  type EventStart,
  type LedgerEvent,
  LedgerHistoryPruned,
  LedgerProtocolError,
  LedgerUnavailable,
} from "./ledger.ts";

/** What is asked of the server; checkpoints before and including `afterCheckpoint` are left out. */
export interface EventsQuestion {
  readonly afterCheckpoint: bigint | undefined;
  readonly first: number;
  /** The server's own cursor. */
  readonly after: string | undefined;
}

export type AskEvents = (question: EventsQuestion) => Promise<EventsAnswer>;

/** What is wanted of one page, besides where it begins. */
export interface PageLimits {
  readonly limit: number;
  /** Whether it is time to be content with what has come, if anything has. */
  readonly late: () => boolean;
}

/** The server's default limit on a page. */
const PAGE_SIZE = 50;

/** Most requests for one page of ours: beyond it a server talks without saying anything. */
const MAX_REQUESTS = 200;

/** Where reading begins. */
interface Start {
  /** First checkpoint whose events count; undefined: the oldest the server has. */
  readonly from: bigint | undefined;
  /** Highest checkpoint that was looked at before. */
  readonly seen: bigint;
  /** The last event seen, as its identity; undefined where all of `seen` was looked at. */
  readonly behind: string | undefined;
  readonly cursor: EventCursor | undefined;
}

/** An event that was met, and how to come back to it. */
interface Met {
  readonly id: string;
  readonly checkpoint: bigint;
  /** The server's cursor of what came before it. */
  readonly before: string | undefined;
}

/** One reader per endpoint. */
export class GraphqlEvents {
  readonly #endpoint: string;
  /** Events of the last page, and before them those of the checkpoint that it began in. */
  #trail: readonly Met[] = [];

  /** @param endpoint host and port, for messages */
  constructor(endpoint: string) {
    this.#endpoint = endpoint;
  }

  /**
   * As `Ledger.events`.
   *
   * @throws {LedgerHistoryPruned} @throws {LedgerProtocolError} @throws {LedgerUnavailable}
   */
  async page(
    ask: AskEvents,
    after: EventCursor | EventStart | undefined,
    limits: PageLimits,
  ): Promise<EventPage> {
    const start = this.#start(after);
    const way = this.#way(start);
    const page = (way === undefined ? undefined : await this.#read(ask, start, limits, way)) ??
      await this.#read(ask, start, limits, undefined);
    if (page !== undefined) return page;
    throw new LedgerProtocolError(
      `${this.#endpoint}: no event ${start.behind} in checkpoint ${start.seen}, ` +
        "where the cursor stands",
      { hint: "the endpoint is on another branch, or the cursor is of another contract" },
    );
  }

  #start(after: EventCursor | EventStart | undefined): Start {
    if (typeof after !== "string") {
      const from = after?.checkpoint;
      const seen = from === undefined || from === 0n ? 0n : from - 1n;
      return { from, seen, behind: undefined, cursor: undefined };
    }
    const stored = decodeCursor(after);
    if (stored === undefined) {
      throw new LedgerProtocolError(`event cursor: ${JSON.stringify(after.slice(0, 100))}`);
    }
    const { checkpoint, event } = stored;
    if (event === undefined) {
      return { from: checkpoint + 1n, seen: checkpoint, behind: undefined, cursor: after };
    }
    if (event.transactionDigest === undefined) {
      throw new LedgerProtocolError(`event cursor: ${after.slice(0, 100)} names no transaction`, {
        hint: "an earlier version wrote it: start once with the gRPC endpoints alone",
      });
    }
    return { from: checkpoint, seen: checkpoint, behind: identity(event), cursor: after };
  }

  /** How to come straight to the event that `start` names, if it was met on the last page. */
  #way({ behind, seen }: Start): Way | undefined {
    const at = behind === undefined ? -1 : this.#trail.findLastIndex(({ id }) => id === behind);
    const before = this.#trail[at]?.before;
    if (before === undefined) return undefined;
    const known = this.#trail.slice(0, at).filter(({ checkpoint }) => checkpoint === seen);
    return { before, known };
  }

  /**
   * What follows `start`, read by the `way` if given, else from the beginning of the checkpoint.
   * `undefined` where the event that `start` names is not where it must be.
   */
  async #read(
    ask: AskEvents,
    start: Start,
    { limit, late }: PageLimits,
    way: Way | undefined,
  ): Promise<EventPage | undefined> {
    const page = new Sequence(start, way);
    let after = way?.before;
    let pageSize = PAGE_SIZE;
    // From here on nothing may have been forgotten.
    let floor = start.from;
    for (let requests = 0; requests < MAX_REQUESTS; requests++) {
      const room = limit - page.events.length + (page.passed ? 0 : 1);
      const first = Math.min(pageSize, room);
      let answer: EventsAnswer;
      try {
        const { from } = start;
        const afterCheckpoint = from === undefined || from === 0n ? undefined : from - 1n;
        answer = await ask({ afterCheckpoint, first, after });
      } catch (error) {
        // Large events, not a flood: fewer of them must fit, and one always does.
        if (first === 1 || !isTooLarge(error)) throw error;
        pageSize = Math.ceil(first / 8);
        continue;
      }
      const { viewed, hasNextPage, endCursor } = answer;
      if (viewed.checkpoint < page.reached) return page.upTo(undefined);
      this.#assertRetained(answer, floor, start.from === undefined && page.events.length === 0);
      for (const event of answer.events) {
        if (event.checkpoint > viewed.checkpoint) {
          throw new LedgerProtocolError(
            `events: ${identity(event)} of checkpoint ${event.checkpoint} in an answer ` +
              `at checkpoint ${viewed.checkpoint}`,
          );
        }
        if (!page.take(event)) return undefined;
      }
      if (!hasNextPage && !page.passed) return undefined;
      if (!hasNextPage) return this.#keep(page, page.upTo(viewed.checkpoint));
      if (page.events.length >= limit || (page.events.length > 0 && late())) {
        return this.#keep(page, page.sofar());
      }
      if (endCursor === undefined || endCursor === after) {
        throw new LedgerProtocolError("events: pageInfo.endCursor does not move on");
      }
      after = endCursor;
      floor ??= answer.lowest;
      if (page.events.length > 0) floor = page.reached;
    }
    if (page.events.length > 0) return this.#keep(page, page.sofar());
    throw new LedgerUnavailable(`${this.#endpoint}: events: no end after ${MAX_REQUESTS} requests`);
  }

  /** Below what it retains the server leaves events out without a word. */
  #assertRetained(
    { lowest }: EventsAnswer,
    from: bigint | undefined,
    mayBeginLater: boolean,
  ): void {
    if (from === undefined) return;
    if (lowest === undefined) {
      throw new LedgerUnavailable(
        `${this.#endpoint}: events: the server does not say from which checkpoint on it has them`,
      );
    }
    if (lowest <= from) return;
    const words = `${this.#endpoint}: events from checkpoint ${from} on are asked for, ` +
      `the server has them from ${lowest} on`;
    if (mayBeginLater) throw new LedgerUnavailable(`${words} by now`);
    throw new LedgerHistoryPruned(words, { hint: "use an endpoint that keeps older history" });
  }

  #keep(page: Sequence, result: EventPage): EventPage {
    if (page.events.length > 0) this.#trail = page.trail;
    return result;
  }
}

/** A shorter way to an event than from the beginning of its checkpoint. */
interface Way {
  /** The server's cursor behind which the event must come first. */
  readonly before: string;
  /** What comes before it in its checkpoint. */
  readonly known: readonly Met[];
}

/** Events in the order of the ledger, none twice. */
class Sequence {
  readonly events: LedgerEvent[] = [];
  readonly trail: Met[];
  /** Whether the event that the cursor names was met. */
  passed: boolean;
  /** Highest checkpoint known to have been looked into. */
  reached: bigint;
  readonly #start: Start;
  readonly #atOnce: boolean;
  readonly #met: Set<string>;
  readonly #transactions: Set<string>;
  #previous: ServedEvent | undefined;
  /** The server's cursor of what came last. */
  #serverCursor: string | undefined;

  constructor(start: Start, way: Way | undefined) {
    this.#start = start;
    this.#atOnce = way !== undefined;
    this.#serverCursor = way?.before;
    this.trail = [...way?.known ?? []];
    this.#met = new Set(this.trail.map(({ id }) => id));
    this.#transactions = new Set(this.trail.map(({ id }) => id.slice(0, id.indexOf("/"))));
    this.passed = start.behind === undefined;
    this.reached = start.seen;
  }

  /**
   * False where the event that the cursor names should have come before.
   *
   * @throws {LedgerProtocolError} when events are out of order
   */
  take(event: ServedEvent): boolean {
    const { serverCursor, ...rest } = event;
    const { checkpoint, transactionDigest, eventIndex } = event;
    const { from, behind, seen } = this.#start;
    const id = identity(event);
    const before = this.#serverCursor;
    this.#serverCursor = serverCursor;
    const named = id === behind && checkpoint === seen;
    if (!this.passed && !named && (this.#atOnce || checkpoint > seen)) return false;
    // Sent before, or twice in this answer: an event has one place in the ledger.
    if (this.#met.has(id) || (from !== undefined && checkpoint < from)) return true;
    this.#assertFollows(event, id);
    this.#previous = event;
    this.#met.add(id);
    this.#transactions.add(transactionDigest);
    this.trail.push({ id, checkpoint, before });
    if (!this.passed) {
      this.passed = named;
      return true;
    }
    const cursor = encodeCursor({
      checkpoint,
      event: { transactionIndex: undefined, eventIndex, transactionDigest },
      token: undefined,
    });
    this.events.push({ ...rest, cursor });
    this.reached = checkpoint;
    return true;
  }

  /** The page where everything up to `covered` was looked at; undefined: the server is behind. */
  upTo(covered: bigint | undefined): EventPage {
    const last = this.events.at(-1)?.cursor ?? this.#start.cursor;
    const moved = covered !== undefined &&
      (covered > this.#start.seen || this.#start.behind !== undefined || last === undefined);
    return {
      events: this.events,
      hasMore: false,
      cursor: moved
        ? encodeCursor({ checkpoint: covered, event: undefined, token: undefined })
        : last,
      covered,
    };
  }

  /** The page where more follows. */
  sofar(): EventPage {
    return {
      events: this.events,
      hasMore: true,
      cursor: this.events.at(-1)?.cursor ?? this.#start.cursor,
      covered: this.reached === 0n ? undefined : this.reached - 1n,
    };
  }

  #assertFollows(event: ServedEvent, id: string): void {
    const previous = this.#previous;
    // The first one may be of a transaction that was begun before.
    if (previous === undefined) return;
    const follows = event.transactionDigest === previous.transactionDigest
      ? event.checkpoint === previous.checkpoint && event.eventIndex > previous.eventIndex
      : event.checkpoint >= previous.checkpoint && !this.#transactions.has(event.transactionDigest);
    if (!follows) throw new LedgerProtocolError(`events: event ${id} is out of order`);
  }
}

function identity(
  event: { readonly transactionDigest: string | undefined; readonly eventIndex: number },
): string {
  return `${event.transactionDigest}/${event.eventIndex}`;
}

function isTooLarge(error: unknown): boolean {
  return error instanceof LedgerUnavailable && error.message.includes(ANSWER_TOO_LARGE);
}
