/**
 * Watches. A reader that keeps up gets what is published from a bounded queue; one that does not,
 * and one that starts in the past, reads the history, which is bounded by compaction.
 */
import type { Bytes } from "../backends/mod.ts";
import { StoreError } from "./errors.ts";
import type { Index } from "./index.ts";
import type { Keyspace } from "./keyspace.ts";
import { checkCount, type IndexRange, indexRange } from "./requests.ts";
import type { KeyValue, WatchBatch, Watcher, WatchEvent, WatchRequest } from "./types.ts";
import {
  type LiveBatch,
  type LiveEvent,
  LiveRevision,
  previousOf,
  wholeAtHand,
} from "./live_revision.ts";
import { NO_SLOT } from "./versions.ts";

/** A live queue longer than this gives way to reading the history. */
const MAX_QUEUED_EVENTS = 4096;
const MAX_QUEUED_BYTES = 8 * 1024 * 1024;

const NO_VALUE: Bytes = new Uint8Array(0);

/** Loads a value that is not in memory; undefined where the version went away. */
export type LoadValue = (slot: number) => Promise<Bytes | undefined>;

export class WatchHub {
  readonly #index: Index;
  readonly #load: LoadValue;
  readonly #exact: Map<string, Set<StoreWatcher>>[] = [new Map(), new Map(), new Map()];
  readonly #ranges: Set<StoreWatcher>[] = [new Set(), new Set(), new Set()];
  #failure: StoreError | undefined;

  constructor(index: Index, load: LoadValue) {
    this.#index = index;
    this.#load = load;
  }

  get size(): number {
    let size = 0;
    for (const ranges of this.#ranges) size += ranges.size;
    for (const exact of this.#exact) for (const set of exact.values()) size += set.size;
    return size;
  }

  /** @throws {StoreError} `compacted`, `invalid_request` */
  watch(keyspace: Keyspace, request: WatchRequest): Watcher {
    if (this.#failure !== undefined) throw this.#failure;
    if (request.prevKv === true && !keyspace.keepsHistory) {
      throw new StoreError("invalid_request", `prevKv: ${keyspace.name} keeps no history`);
    }
    const range = indexRange(request);
    const start = checkCount("startRevision", request.startRevision);
    const from = start === 0 ? keyspace.durableRevision + 1 : start;
    const oldest = keyspace.keepsHistory
      ? keyspace.compactedRevision
      : keyspace.durableRevision + 1;
    if (from < oldest) {
      throw new StoreError(
        "compacted",
        `revision ${from} of ${keyspace.name} was compacted, the oldest is ${oldest}`,
      );
    }
    const watcher = new StoreWatcher({
      index: this.#index,
      load: this.#load,
      keyspace,
      range,
      from,
      prevKv: request.prevKv === true,
      onClose: () => this.#remove(keyspace.number, range, watcher),
    });
    if (range.single) {
      const exact = this.#exact[keyspace.number]!;
      const set = exact.get(range.start);
      if (set === undefined) exact.set(range.start, new Set([watcher]));
      else set.add(watcher);
    } else {
      this.#ranges[keyspace.number]!.add(watcher);
    }
    return watcher;
  }

  /** One revision became durable; its versions, in order. */
  publish(keyspace: Keyspace, revision: number, slots: readonly number[]): void {
    const exact = this.#exact[keyspace.number]!;
    const ranges = this.#ranges[keyspace.number]!;
    if (exact.size === 0 && ranges.size === 0) return;
    const live = new LiveRevision(this.#index, revision);
    const [only] = slots;
    if (slots.length === 1 && only !== undefined) {
      const key = this.#index.versions.key(only);
      for (const watcher of exact.get(key) ?? []) watcher.push(live, revision, slots);
      for (const watcher of ranges) if (watcher.covers(key)) watcher.push(live, revision, slots);
      return;
    }
    const matched = new Map<StoreWatcher, number[]>();
    const match = (watcher: StoreWatcher, slot: number) => {
      const list = matched.get(watcher);
      if (list === undefined) matched.set(watcher, [slot]);
      else list.push(slot);
    };
    for (const slot of slots) {
      const key = this.#index.versions.key(slot);
      for (const watcher of exact.get(key) ?? []) match(watcher, slot);
      for (const watcher of ranges) if (watcher.covers(key)) match(watcher, slot);
    }
    for (const [watcher, list] of matched) watcher.push(live, revision, list);
  }

  /** Every watcher ends with this error. */
  fail(error: StoreError): void {
    this.#failure = error;
    for (const ranges of this.#ranges) for (const watcher of [...ranges]) watcher.fail(error);
    for (const exact of this.#exact) {
      for (const set of [...exact.values()]) for (const watcher of [...set]) watcher.fail(error);
    }
  }

  #remove(keyspace: number, range: IndexRange, watcher: StoreWatcher): void {
    this.#ranges[keyspace]!.delete(watcher);
    const set = this.#exact[keyspace]!.get(range.start);
    set?.delete(watcher);
    if (set?.size === 0) this.#exact[keyspace]!.delete(range.start);
  }
}

class StoreWatcher implements Watcher {
  readonly #index: Index;
  readonly #load: LoadValue;
  readonly #keyspace: Keyspace;
  readonly #range: IndexRange;
  readonly #prevKv: boolean;
  readonly #onClose: () => void;
  /** The first revision not yet delivered or queued. */
  #from: number;
  /** Whether the queue holds everything since `#from`; else the history is read first. */
  #live: boolean;
  /** A batch is out of the queue and not yielded yet. */
  #busy = false;
  #queue: LiveBatch[] = [];
  #queuedEvents = 0;
  #queuedBytes = 0;
  #failure: StoreError | undefined;
  #closed = false;
  #wake: (() => void) | undefined;

  constructor(options: {
    readonly index: Index;
    readonly load: LoadValue;
    readonly keyspace: Keyspace;
    readonly range: IndexRange;
    readonly from: number;
    readonly prevKv: boolean;
    readonly onClose: () => void;
  }) {
    this.#index = options.index;
    this.#load = options.load;
    this.#keyspace = options.keyspace;
    this.#range = options.range;
    this.#from = options.from;
    this.#prevKv = options.prevKv;
    this.#onClose = options.onClose;
    this.#live = options.from > options.keyspace.durableRevision;
  }

  get deliveredRevision(): number {
    const waiting = this.#busy || !this.#live || this.#queue.length > 0;
    return waiting ? this.#from - 1 : Math.max(this.#from - 1, this.#keyspace.durableRevision);
  }

  covers(key: string): boolean {
    return key >= this.#range.start && (this.#range.end === undefined || key < this.#range.end);
  }

  push(live: LiveRevision, revision: number, slots: readonly number[]): void {
    if (this.#closed || !this.#live || revision < this.#from) return;
    const batch = live.batch(slots, this.#prevKv);
    this.#queue.push(batch);
    this.#queuedEvents += batch.events.length;
    for (const event of batch.events) this.#queuedBytes += event.bytes;
    if (this.#queuedEvents > MAX_QUEUED_EVENTS || this.#queuedBytes > MAX_QUEUED_BYTES) {
      this.#overflow();
    }
    this.#wakeUp();
  }

  fail(error: StoreError): void {
    if (this.#failure !== undefined || this.#closed) return;
    this.#failure = error;
    this.#onClose();
    this.#wakeUp();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#clearQueue();
    this.#onClose();
    this.#wakeUp();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** One reader, one `next()` at a time. */
  [Symbol.asyncIterator](): AsyncIterator<WatchBatch> {
    return {
      next: () => this.#next(),
      return: () => {
        this.close();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  /** Not a generator: each of its steps would be a turn of its own, for each of those who watch. */
  async #next(): Promise<IteratorResult<WatchBatch>> {
    try {
      for (;;) {
        if (this.#closed) return { done: true, value: undefined };
        this.#busy = true;
        const batch = this.#takeWhole() ?? await this.#take();
        if (this.#closed) return { done: true, value: undefined };
        this.#busy = batch !== undefined;
        if (batch !== undefined) {
          this.#from = batch.revision + 1;
          return { done: false, value: batch };
        }
        if (this.#failure !== undefined) throw this.#failure;
        await new Promise<void>((resolve) => this.#wake = resolve);
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The next batch of the queue, where nothing must be loaded for it. */
  #takeWhole(): WatchBatch | undefined {
    const [batch] = this.#queue;
    if (!this.#live || batch === undefined) return undefined;
    const whole = wholeAtHand(this.#index, batch);
    if (whole !== undefined) this.#shift();
    return whole;
  }

  #shift(): LiveBatch | undefined {
    const batch = this.#queue.shift();
    if (batch === undefined) return undefined;
    this.#queuedEvents -= batch.events.length;
    for (const event of batch.events) this.#queuedBytes -= event.bytes;
    return batch;
  }

  /** The next batch there is, from the queue or from the history. */
  async #take(): Promise<WatchBatch | undefined> {
    if (this.#live) {
      const batch = this.#shift();
      if (batch === undefined) return undefined;
      const events = await this.#materialize(batch.events);
      return batch.whole ??= { revision: batch.revision, events };
    }
    for (;;) {
      this.#checkCompacted();
      const slots = this.#nextInHistory();
      if (slots.length === 0) {
        this.#live = true;
        return undefined;
      }
      const batch = await this.#readHistory(slots);
      if (batch !== undefined) return batch;
    }
  }

  #checkCompacted(): void {
    if (this.#from >= this.#keyspace.compactedRevision) return;
    throw new StoreError(
      "compacted",
      `the watch fell behind: revision ${this.#from} of ${this.#keyspace.name} was compacted`,
    );
  }

  /** The versions of the next revision that has any in the range; moves `#from` past what has none. */
  #nextInHistory(): number[] {
    const { history, durableRevision } = this.#keyspace;
    const { versions } = this.#index;
    const found: number[] = [];
    let revision = 0;
    for (let i = history.indexOf(this.#from); i < history.length; i++) {
      const slot = history.at(i);
      const modRevision = versions.modRevision(slot);
      if (modRevision > durableRevision || (found.length > 0 && modRevision !== revision)) break;
      if (!this.covers(versions.key(slot))) continue;
      revision = modRevision;
      found.push(slot);
    }
    if (found.length === 0) this.#from = Math.max(this.#from, durableRevision + 1);
    return found;
  }

  async #readHistory(slots: readonly number[]): Promise<WatchBatch | undefined> {
    const { versions } = this.#index;
    const revision = versions.modRevision(slots[0]!);
    const positions = slots.map((slot) => versions.position(slot));
    const events: WatchEvent[] = [];
    for (const [i, slot] of slots.entries()) {
      if (versions.position(slot) !== positions[i]) return undefined;
      const deleted = versions.deleted(slot);
      const kv = this.#index.keyValue(slot, NO_VALUE);
      const previous = this.#prevKv ? previousOf(versions, slot) : NO_SLOT;
      const previousPosition = previous === NO_SLOT ? -1 : versions.position(previous);
      const value = deleted ? NO_VALUE : this.#index.valueAtHand(slot) ?? await this.#load(slot);
      if (value === undefined) return undefined;
      const prevKv = await this.#previous(previous, previousPosition);
      const event = { type: deleted ? "delete" : "put", kv: { ...kv, value } } as const;
      events.push(prevKv === undefined ? event : { ...event, prevKv });
    }
    return { revision, events };
  }

  async #materialize(events: readonly LiveEvent[]): Promise<WatchEvent[]> {
    const out: WatchEvent[] = [];
    for (const event of events) out.push(event.whole ??= await this.#whole(event));
    return out;
  }

  async #whole({ type, kv, previous, previousPosition }: LiveEvent): Promise<WatchEvent> {
    const prevKv = await this.#previous(previous, previousPosition);
    return prevKv === undefined ? { type, kv } : { type, kv, prevKv };
  }

  /** Undefined where there was none, it was a deletion, or it was compacted meanwhile. */
  async #previous(slot: number, position: number): Promise<KeyValue | undefined> {
    if (slot === NO_SLOT) return undefined;
    const { versions } = this.#index;
    if (versions.position(slot) !== position || versions.deleted(slot)) return undefined;
    const kv = this.#index.keyValue(slot, NO_VALUE);
    const value = this.#index.valueAtHand(slot) ?? await this.#load(slot);
    return value === undefined ? undefined : { ...kv, value };
  }

  #overflow(): void {
    const first = this.#queue[0]!.revision;
    this.#clearQueue();
    if (this.#keyspace.keepsHistory) {
      this.#from = first;
      this.#live = false;
    } else {
      this.fail(
        new StoreError(
          "watch_overflow",
          `a watch of ${this.#keyspace.name} fell more than ${MAX_QUEUED_EVENTS} events behind`,
          { hint: "read the range again and watch from its revision" },
        ),
      );
    }
  }

  #clearQueue(): void {
    this.#queue = [];
    this.#queuedEvents = 0;
    this.#queuedBytes = 0;
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
