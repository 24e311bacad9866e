/**
 * One ledger out of several, for chains that no single operator should be believed about: an answer
 * counts when enough endpoints give the very same one. Endpoints that are away or behind are waited
 * out; endpoints that contradict each other make an error, never a guess. A node's event cursor is a
 * position in the ledger, so the cursor of one endpoint holds with the others.
 */
import { createHash } from "node:crypto";
import { sleep } from "./abort.ts";
import {
  type EventCursor,
  type EventPage,
  type EventStart,
  type Ledger,
  type LedgerEvent,
  LedgerHistoryPruned,
  type LedgerObject,
  LedgerProtocolError,
  type LedgerStatus,
  LedgerUnavailable,
} from "./ledger.ts";

export interface QuorumLedgerOptions {
  /** Two or more, run by different operators. Closed with the quorum. */
  readonly ledgers: readonly Ledger[];
  /** How many must agree. Default: a majority, and two at least. */
  readonly required?: number;
  /** Tries before endpoints that differ are given up on: one may be a moment behind. Default 3. */
  readonly attempts?: number;
  /** Between tries, milliseconds. Default 300. */
  readonly retryMs?: number;
  /** Resolves after `ms` or when the signal aborts. Default: a timer. */
  readonly sleep?: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
}

/** @throws {RangeError} when fewer than two must agree, or more than there are */
export function createQuorumLedger(options: QuorumLedgerOptions): Ledger {
  const count = options.ledgers.length;
  const required = options.required ?? Math.max(2, Math.floor(count / 2) + 1);
  if (!Number.isInteger(required) || required < 2 || required > count) {
    throw new RangeError(`required: expected 2 to ${count}, got ${required}`);
  }
  return new QuorumLedger({ ...options, required });
}

class QuorumLedger implements Ledger {
  readonly #ledgers: readonly Ledger[];
  readonly #required: number;
  readonly #attempts: number;
  readonly #retryMs: number;
  readonly #sleep: (ms: number, signal: AbortSignal | undefined) => Promise<void>;

  constructor(options: QuorumLedgerOptions & { readonly required: number }) {
    this.#ledgers = options.ledgers;
    this.#required = options.required;
    this.#attempts = options.attempts ?? 3;
    this.#retryMs = options.retryMs ?? 300;
    this.#sleep = options.sleep ?? sleep;
  }

  /** The chain that enough are on, at the lowest checkpoint among them. */
  async status(signal?: AbortSignal): Promise<LedgerStatus> {
    const answers = await this.#askAll((ledger) => ledger.status(signal));
    const agreed = this.#agree(answers, (status) => status.chainId);
    if (agreed === undefined) throw this.#disagreement("the chain", answers.map((a) => a.chainId));
    const [first, ...rest] = agreed.toSorted((a, b) => compare(a.checkpoint, b.checkpoint));
    if (first === undefined) throw new TypeError("an agreement has a member");
    const lowest = [first, ...rest].map((status) => status.lowestCheckpoint);
    return {
      ...first,
      lowestCheckpoint: lowest.reduce(
        (a, b) => a === undefined || b === undefined ? undefined : a > b ? a : b,
      ),
    };
  }

  getObject(id: string, signal?: AbortSignal): Promise<LedgerObject | undefined> {
    return this.#object(`object ${id}`, signal, (ledger) => ledger.getObject(id, signal));
  }

  getDynamicField(
    parentId: string,
    name: { readonly type: string; readonly bcs: Uint8Array<ArrayBuffer> },
    signal?: AbortSignal,
  ): Promise<LedgerObject | undefined> {
    return this.#object(
      `dynamic field of ${parentId}`,
      signal,
      (ledger) => ledger.getDynamicField(parentId, name, signal),
    );
  }

  /** As far as enough endpoints give the same events; what only some have seen comes later. */
  async events(
    filter: { readonly packageId: string; readonly module: string },
    after: EventCursor | EventStart | undefined,
    limit: number,
    signal?: AbortSignal,
  ): Promise<EventPage> {
    if (!Number.isInteger(limit) || limit < 1 || limit > 1000) {
      throw new RangeError(`limit: expected 1 to 1000, got ${limit}`);
    }
    let pages = await this.#pages(filter, after, limit, signal);
    const events: LedgerEvent[] = [];
    let truncated = false;
    for (let i = 0;; i++) {
      const having = pages.filter((page) => page.events.length > i);
      if (having.length < this.#required) {
        truncated = having.length > 0;
        break;
      }
      const agreed = this.#agree(having, (page) => eventKey(page.events[i]));
      if (agreed === undefined) {
        throw this.#disagreement(
          `event ${i} after ${position(after)}`,
          differences(having.flatMap((page) => page.events[i] ?? [])),
        );
      }
      // Who said otherwise is not listened to any more; who has no more may still agree on the end.
      pages = pages.filter((page) => agreed.includes(page) || page.events.length <= i);
      const event = agreed[0]?.events[i];
      if (event !== undefined) events.push(event);
    }
    const last = events.at(-1)?.cursor ?? (typeof after === "string" ? after : undefined);
    // Pages differ in size: who has more than was agreed on here has more to be asked for.
    const hasMore =
      pages.filter((page) => page.hasMore || page.events.length > events.length).length >=
        this.#required;
    // Past the last event only as far as the slowest of enough endpoints has looked.
    const complete = pages.filter((page) => page.events.length === events.length);
    const slowest = !truncated && complete.length >= this.#required
      ? complete.toSorted((a, b) => compare(a.covered ?? -1n, b.covered ?? -1n))[0]
      : undefined;
    return {
      events,
      hasMore,
      cursor: slowest?.cursor ?? last,
      covered: slowest?.covered,
    };
  }

  /**
   * A page of each. Who begins at the oldest there is begins where all of them still have it: they
   * keep history for different times.
   */
  async #pages(
    filter: { readonly packageId: string; readonly module: string },
    after: EventCursor | EventStart | undefined,
    limit: number,
    signal: AbortSignal | undefined,
  ): Promise<EventPage[]> {
    const ask = (from: EventCursor | EventStart | undefined) =>
      this.#askAll((ledger) => ledger.events(filter, from, limit, signal));
    if (typeof after === "string" || after?.checkpoint !== undefined) return await ask(after);
    for (let attempt = 1;; attempt++) {
      const { lowestCheckpoint } = await this.status(signal);
      try {
        return await ask(lowestCheckpoint === undefined ? after : { checkpoint: lowestCheckpoint });
      } catch (error) {
        // One of them has forgotten more in the meantime.
        if (!(error instanceof LedgerHistoryPruned) || attempt >= this.#attempts) throw error;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#ledgers.map((ledger) => ledger[Symbol.asyncDispose]()));
  }

  async #object(
    what: string,
    signal: AbortSignal | undefined,
    ask: (ledger: Ledger) => Promise<LedgerObject | undefined>,
  ): Promise<LedgerObject | undefined> {
    for (let attempt = 1;; attempt++) {
      const answers = await this.#askAll(async (ledger) => ({ object: await ask(ledger) }));
      const agreed = this.#agree(answers, ({ object }) => objectKey(object));
      if (agreed !== undefined) return oldest(agreed.map(({ object }) => object));
      if (attempt >= this.#attempts || signal?.aborted) {
        throw this.#disagreement(
          what,
          answers.map(({ object }) => object === undefined ? "none" : `version ${object.version}`),
        );
      }
      await this.#sleep(this.#retryMs, signal);
    }
  }

  /** Answers of those who answer, as many as must agree at least. */
  async #askAll<T>(ask: (ledger: Ledger) => Promise<T>): Promise<T[]> {
    const results = await Promise.allSettled(this.#ledgers.map((ledger) => ask(ledger)));
    const answers = results.filter((result) => result.status === "fulfilled")
      .map((result) => result.value);
    if (answers.length >= this.#required) return answers;
    const causes = results.filter((result) => result.status === "rejected")
      .map((result): unknown => result.reason);
    const away = `${answers.length} of ${this.#ledgers.length} endpoints answer, ` +
      `${this.#required} must: ${causes.map(describe).join("; ")}`;
    const cause = new AggregateError(causes, away);
    const pruned = causes.filter((error) => error instanceof LedgerHistoryPruned);
    // Enough of them could answer if they had not forgotten: waiting does not help.
    if (answers.length + pruned.length >= this.#required && pruned.length === causes.length) {
      throw new LedgerHistoryPruned(away, { cause });
    }
    const misuse = causes.find((error) => error instanceof TypeError);
    if (misuse !== undefined) throw misuse;
    if (causes.every((error) => error instanceof LedgerProtocolError)) {
      throw new LedgerProtocolError(away, { cause });
    }
    throw new LedgerUnavailable(away, { cause });
  }

  /** The answers of the largest group that says the same, if it is large enough. */
  #agree<T>(answers: readonly T[], key: (answer: T) => string): T[] | undefined {
    const groups = Map.groupBy(answers, key);
    const largest = [...groups.values()].toSorted((a, b) => b.length - a.length)[0];
    return largest !== undefined && largest.length >= this.#required ? largest : undefined;
  }

  #disagreement(what: string, answers: readonly string[]): LedgerUnavailable {
    return new LedgerUnavailable(
      `the endpoints do not agree on ${what}: ${answers.join(", ")}`,
      { hint: "one of them is behind, or lies; see which, and replace it" },
    );
  }
}

/** Everything that an endpoint says of an object but where it stood when it said so. */
function objectKey(object: LedgerObject | undefined): string {
  if (object === undefined) return "none";
  const { owner } = object;
  const holder = owner.kind === "address" || owner.kind === "consensus_address"
    ? owner.address
    : owner.kind === "object"
    ? owner.id
    : owner.kind === "shared"
    ? String(owner.initialVersion)
    : "";
  return [
    object.id,
    object.version,
    object.digest,
    object.type,
    owner.kind,
    holder,
    object.contents.toHex(),
  ].join("|");
}

function eventKey(event: LedgerEvent | undefined): string {
  return event === undefined ? "none" : Object.values(eventFacts(event)).join("|");
}

/** Everything that an endpoint says of an event, by what it is called in a disagreement. */
function eventFacts(event: LedgerEvent) {
  return {
    event: `${event.transactionDigest}/${event.eventIndex}`,
    checkpoint: String(event.checkpoint),
    type: event.type,
    sender: event.sender,
    contents: event.contents.toHex(),
  };
}

/** What they say of which fact, in the endpoints' order; contents by their SHA-256. */
function differences(events: readonly LedgerEvent[]): string[] {
  const facts = events.map(eventFacts);
  const said = (fact: keyof ReturnType<typeof eventFacts>): string[] => {
    const values = facts.map((one) => one[fact]);
    if (new Set(values).size < 2) return [];
    return [
      `${fact} ${values.map((value) => fact === "contents" ? digest(value) : value).join(" / ")}`,
    ];
  };
  return [
    ...said("event"),
    ...said("checkpoint"),
    ...said("type"),
    ...said("sender"),
    ...said("contents"),
  ];
}

function digest(hex: string): string {
  return `sha256:${createHash("sha256").update(Uint8Array.fromHex(hex)).digest("hex")}`;
}

function position(after: EventCursor | EventStart | undefined): string {
  if (typeof after === "string") return after;
  return after?.checkpoint === undefined ? "the beginning" : `checkpoint ${after.checkpoint}`;
}

/** Of equal objects the one that was seen at the lowest checkpoint: no fresher than it is. */
function oldest(objects: readonly (LedgerObject | undefined)[]): LedgerObject | undefined {
  return objects.toSorted((a, b) =>
    compare(a?.observed?.checkpoint ?? -1n, b?.observed?.checkpoint ?? -1n)
  )[0];
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
