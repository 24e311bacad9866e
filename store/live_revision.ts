/** What is published, as watchers queue it: made once, for all of them. */
import type { Bytes } from "../backends/mod.ts";
import type { Index } from "./index.ts";
import type { KeyValue, WatchBatch, WatchEvent } from "./types.ts";
import { NO_SLOT } from "./versions.ts";

const NO_VALUE: Bytes = new Uint8Array(0);

export interface LiveEvent {
  readonly type: "put" | "delete";
  readonly kv: KeyValue;
  /** NO_SLOT for none. Checked by its position when it is loaded. */
  readonly previous: number;
  readonly previousPosition: number;
  /** Of the values, the previous one's included. */
  readonly bytes: number;
  /** With the previous value, once the first of those who watch has read it. */
  whole: WatchEvent | undefined;
}

export interface LiveBatch {
  readonly revision: number;
  readonly events: readonly LiveEvent[];
  /** With all of its events whole, once it was handed out. */
  whole: WatchBatch | undefined;
}

/** One revision that became durable. */
export class LiveRevision {
  readonly #index: Index;
  readonly #revision: number;
  /** With the previous value, and without. */
  readonly #events: readonly Map<number, LiveEvent>[] = [new Map(), new Map()];
  readonly #single: (LiveBatch | undefined)[] = [];

  constructor(index: Index, revision: number) {
    this.#index = index;
    this.#revision = revision;
  }

  batch(slots: readonly number[], withPrevious: boolean): LiveBatch {
    const kind = withPrevious ? 0 : 1;
    const [only] = slots;
    if (slots.length === 1 && only !== undefined) {
      let single = this.#single[kind];
      if (single?.events[0] !== this.#event(only, withPrevious)) single = undefined;
      return this.#single[kind] = single ?? this.#batch(slots, withPrevious);
    }
    return this.#batch(slots, withPrevious);
  }

  #batch(slots: readonly number[], withPrevious: boolean): LiveBatch {
    return {
      revision: this.#revision,
      events: slots.map((slot) => this.#event(slot, withPrevious)),
      whole: undefined,
    };
  }

  #event(slot: number, withPrevious: boolean): LiveEvent {
    const events = this.#events[withPrevious ? 0 : 1]!;
    let event = events.get(slot);
    if (event === undefined) {
      const { versions } = this.#index;
      const deleted = versions.deleted(slot);
      const previous = withPrevious ? previousOf(versions, slot) : NO_SLOT;
      const value = deleted ? NO_VALUE : this.#index.valueAtHand(slot)!;
      event = {
        type: deleted ? "delete" : "put",
        kv: this.#index.keyValue(slot, value),
        previous,
        previousPosition: previous === NO_SLOT ? -1 : versions.position(previous),
        bytes: value.length + (previous === NO_SLOT ? 0 : versions.valueLength(previous)),
        whole: undefined,
      };
      events.set(slot, event);
    }
    return event;
  }
}

/**
 * The version that stood before the event's revision, as in etcd: a transaction may put a key and
 * delete it again, and what it put in between is nobody's previous value.
 */
export function previousOf(versions: Index["versions"], slot: number): number {
  const revision = versions.modRevision(slot);
  if (!versions.deleted(slot) && versions.createRevision(slot) === revision) return NO_SLOT;
  let previous = versions.older(slot);
  while (previous !== NO_SLOT && versions.modRevision(previous) === revision) {
    previous = versions.older(previous);
  }
  return previous;
}

/**
 * The batch with its previous values, where they are all in memory: made by the first who asks.
 * Undefined where one must be loaded, or another watcher loads it just now.
 */
export function wholeAtHand(index: Index, batch: LiveBatch): WatchBatch | undefined {
  if (batch.whole !== undefined) return batch.whole;
  const events: WatchEvent[] = [];
  for (const event of batch.events) {
    const whole = event.whole ??= wholeEvent(index, event);
    if (whole === undefined) return undefined;
    events.push(whole);
  }
  return batch.whole = { revision: batch.revision, events };
}

function wholeEvent(index: Index, event: LiveEvent): WatchEvent | undefined {
  const { type, kv, previous, previousPosition } = event;
  const { versions } = index;
  // Where there was none, it was a deletion, or it was compacted meanwhile, there is none to show.
  if (
    previous === NO_SLOT || versions.position(previous) !== previousPosition ||
    versions.deleted(previous)
  ) return { type, kv };
  const value = index.valueAtHand(previous);
  return value === undefined ? undefined : { type, kv, prevKv: index.keyValue(previous, value) };
}
