/** The `Ledger` port straight over the stand-in chain, for unit tests that need no socket. */
import { deriveDynamicFieldID } from "@mysten/sui/utils";
import { canonicalAddress } from "../../../sui/address.ts";
import {
  type EventCursor,
  type EventPage,
  type EventStart,
  type Ledger,
  LedgerHistoryPruned,
  type LedgerObject,
  LedgerProtocolError,
  type LedgerStatus,
  LedgerUnavailable,
} from "../../../sui/ledger.ts";
import type { FakeChain } from "./chain.ts";

/** Between two events: what is at or before it was seen. */
interface Seen {
  readonly checkpoint: bigint;
  readonly transaction: bigint;
  readonly event: number;
}

export class MemoryLedger implements Ledger {
  readonly #chain: FakeChain;
  #closed = false;
  /** While set, every call fails as if the node could not be reached. */
  unavailable: string | undefined;
  /** Shows the chain as it was so many checkpoints ago. */
  lag = 0n;
  /** Runs before every answer; may wait or throw. */
  before: ((call: string) => Promise<void> | void) | undefined;
  /** Calls answered or failed. */
  calls = 0;

  constructor(chain: FakeChain) {
    this.#chain = chain;
  }

  async status(signal?: AbortSignal): Promise<LedgerStatus> {
    await this.#enter("status", signal);
    const checkpoint = this.#served();
    return {
      chainId: this.#chain.chainId,
      checkpoint,
      checkpointTimestampMs: this.#chain.checkpointAt(checkpoint)?.timestampMs,
      lowestCheckpoint: this.#chain.lowest,
    };
  }

  async getObject(id: string, signal?: AbortSignal): Promise<LedgerObject | undefined> {
    const canonical = canonicalAddress(id);
    if (canonical === undefined) throw new TypeError(`object id: ${JSON.stringify(id)}`);
    await this.#enter("getObject", signal);
    const checkpoint = this.#served();
    const object = this.#chain.objectAt(canonical, checkpoint);
    if (object === undefined) return undefined;
    return {
      id: object.id,
      version: object.version,
      digest: object.digest,
      type: object.type,
      owner: object.owner,
      contents: object.contents.slice(),
      observed: {
        chainId: this.#chain.chainId,
        checkpoint,
        timestampMs: this.#chain.checkpointAt(checkpoint)?.timestampMs ?? 0,
      },
    };
  }

  async getDynamicField(
    parentId: string,
    name: { readonly type: string; readonly bcs: Uint8Array<ArrayBuffer> },
    signal?: AbortSignal,
  ): Promise<LedgerObject | undefined> {
    const parent = canonicalAddress(parentId);
    if (parent === undefined) throw new TypeError(`parent id: ${JSON.stringify(parentId)}`);
    const field = await this.getObject(deriveDynamicFieldID(parent, name.type, name.bcs), signal);
    if (field !== undefined && (field.owner.kind !== "object" || field.owner.id !== parent)) {
      throw new LedgerProtocolError(`dynamic field ${field.id}: its owner is not ${parent}`);
    }
    return field;
  }

  async events(
    filter: { readonly packageId: string; readonly module: string },
    after: EventCursor | EventStart | undefined,
    limit: number,
    signal?: AbortSignal,
  ): Promise<EventPage> {
    if (!Number.isInteger(limit) || limit < 1 || limit > 1000) {
      throw new RangeError(`limit: expected 1 to 1000, got ${limit}`);
    }
    const cursor = typeof after === "string" ? parse(after) : undefined;
    await this.#enter("events", signal);
    const start = cursor?.checkpoint ??
      (typeof after === "object" ? after.checkpoint : undefined);
    if (start !== undefined && start < this.#chain.lowest) {
      throw new LedgerHistoryPruned(`checkpoint ${start} is below ${this.#chain.lowest}`);
    }
    const served = this.#served();
    const prefix = `${filter.packageId}::${filter.module}::`;
    const wanted = this.#chain.events.filter((event) =>
      event.checkpoint >= (start ?? this.#chain.lowest) && event.checkpoint <= served &&
      event.type.startsWith(prefix) &&
      (cursor === undefined || event.transactionSequence > cursor.transaction ||
        (event.transactionSequence === cursor.transaction && event.eventIndex > cursor.event))
    );
    const events = wanted.slice(0, limit).map((event) => ({
      transactionDigest: event.transactionDigest,
      eventIndex: event.eventIndex,
      checkpoint: event.checkpoint,
      timestampMs: undefined,
      packageId: event.packageId,
      module: event.module,
      type: event.type,
      sender: event.sender,
      contents: event.contents.slice(),
      cursor: format({
        checkpoint: event.checkpoint,
        transaction: event.transactionSequence,
        event: event.eventIndex,
      }),
    }));
    const hasMore = wanted.length > limit;
    const tip: Seen = {
      checkpoint: served + 1n,
      transaction: (this.#chain.checkpointAt(served)?.totalTransactions ?? 1n) - 1n,
      event: 0xffff_ffff,
    };
    const behind = cursor !== undefined && cursor.checkpoint >= tip.checkpoint;
    return {
      events,
      hasMore,
      cursor: hasMore ? events.at(-1)?.cursor : behind ? format(cursor) : format(tip),
      covered: hasMore ? (events.at(-1)?.checkpoint ?? 1n) - 1n : served,
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  async #enter(call: string, signal: AbortSignal | undefined): Promise<void> {
    this.calls++;
    if (signal?.aborted) throw new LedgerUnavailable("aborted", { cause: signal.reason });
    await this.before?.(call);
    if (this.#closed) throw new LedgerUnavailable("the ledger is closed");
    if (this.unavailable !== undefined) throw new LedgerUnavailable(this.unavailable);
  }

  #served(): bigint {
    const tip = this.#chain.tip.sequence;
    return tip > this.lag ? tip - this.lag : 0n;
  }
}

function format(seen: Seen): string {
  return `m:${seen.checkpoint}:${seen.transaction}:${seen.event}`;
}

function parse(text: string): Seen {
  const match = /^m:([0-9]{1,20}):([0-9]{1,20}):([0-9]{1,10})$/.exec(text);
  if (match === null) throw new LedgerProtocolError(`event cursor: ${JSON.stringify(text)}`);
  const [, checkpoint = "", transaction = "", event = ""] = match;
  return {
    checkpoint: BigInt(checkpoint),
    transaction: BigInt(transaction),
    event: Number(event),
  };
}
