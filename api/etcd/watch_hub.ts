/**
 * One watch of the whole keyspace, shared by all watches that follow the present: an event is
 * read and encoded once, however many clients want it.
 */
import { Buffer } from "node:buffer";
import type { Bytes } from "../../backends/mod.ts";
import type { Store, Watcher, WatchEvent } from "../../store/mod.ts";
import { Event } from "./messages.ts";
import { WIRE, Writer } from "./protobuf/wire.ts";

/** A key range as binary strings: one character a byte, ordered as bytes. */
export class WatchRange {
  readonly key: string;
  /** Undefined: up to the last key. */
  readonly end: string | undefined;
  readonly single: boolean;
  /** As the store takes it. */
  readonly request: { readonly key: Bytes; readonly rangeEnd?: Bytes };

  /** @param rangeEnd empty: the one key; a zero byte: everything from `key` on */
  constructor(key: Bytes, rangeEnd: Bytes) {
    this.key = binary(key);
    this.single = rangeEnd.length === 0;
    const open = rangeEnd.length === 1 && rangeEnd[0] === 0;
    this.end = open ? undefined : binary(rangeEnd);
    this.request = this.single ? { key } : { key, rangeEnd };
  }

  get empty(): boolean {
    return !this.single && this.end !== undefined && this.end <= this.key;
  }

  covers(key: string): boolean {
    if (this.single) return key === this.key;
    return key >= this.key && (this.end === undefined || key < this.end);
  }
}

function binary(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

/** An event and its encoded forms, made when they are first wanted. */
export class SharedEvent {
  readonly event: WatchEvent;
  readonly key: string;
  #plain: Bytes | undefined;
  #withPrevious: Bytes | undefined;

  constructor(event: WatchEvent) {
    this.event = event;
    this.key = binary(event.kv.key);
  }

  message(prevKv: boolean): Event {
    return eventMessage(this.event, prevKv);
  }

  encoded(prevKv: boolean): Bytes {
    if (prevKv && this.event.prevKv !== undefined) {
      return this.#withPrevious ??= encodeEvent(this.event, true);
    }
    return this.#plain ??= encodeEvent(this.event, false);
  }
}

/** The events of one revision that a watch wants, with the bytes that all its watchers share. */
export class EventGroup {
  readonly revision: number;
  readonly events: readonly SharedEvent[];
  readonly #tails: (Bytes | undefined)[] = [undefined, undefined];

  constructor(revision: number, events: readonly SharedEvent[]) {
    this.revision = revision;
    this.events = events;
  }

  /** The `events` field of a WatchResponse, encoded. */
  tail(prevKv: boolean): Bytes {
    const at = prevKv ? 1 : 0;
    return this.#tails[at] ??= encodeEvents(this.events, prevKv);
  }
}

function encodeEvents(events: readonly SharedEvent[], prevKv: boolean): Bytes {
  const writer = new Writer(64 + events.length * 256);
  for (let i = events.length - 1; i >= 0; i--) {
    const event = events[i]!.encoded(prevKv);
    writer.raw(event);
    writer.varint(event.length);
    writer.tag(EVENTS_FIELD, WIRE.bytes);
  }
  return writer.finish();
}

/** Of WatchResponse. */
const EVENTS_FIELD = 11;

function encodeEvent(event: WatchEvent, withPrevious: boolean): Bytes {
  const { key, value } = event.kv;
  const writer = new Writer(128 + key.length + value.length);
  Event.write(eventMessage(event, withPrevious), writer);
  return writer.finish();
}

function eventMessage({ type, kv, prevKv }: WatchEvent, withPrevious: boolean): Event {
  return {
    type: type === "put" ? 0 : 1,
    kv: { ...kv },
    prevKv: withPrevious && prevKv !== undefined ? { ...prevKv } : undefined,
  };
}

export interface HubSubscriber {
  readonly range: WatchRange;
  /** Synchronous; in revision order. */
  onEvents(group: EventGroup): void;
  /** The store stopped. */
  onFailure(error: unknown): void;
}

const EVERYTHING = { key: new Uint8Array(1), rangeEnd: new Uint8Array(1) };

export class WatchHub {
  readonly #store: Store;
  readonly #ranges = new Set<HubSubscriber>();
  readonly #single = new Map<string, Set<HubSubscriber>>();
  #watcher: Watcher | undefined;
  #size = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  get size(): number {
    return this.#size;
  }

  /** Every subscriber has every event up to this revision. */
  get position(): number {
    return this.#watcher?.deliveredRevision ?? this.#store.revision("etcd");
  }

  /** Events from the next revision on. May also deliver older ones that are still on their way. */
  subscribe(subscriber: HubSubscriber): void {
    const { range } = subscriber;
    if (range.single) {
      const set = this.#single.get(range.key);
      if (set === undefined) this.#single.set(range.key, new Set([subscriber]));
      else set.add(subscriber);
    } else {
      this.#ranges.add(subscriber);
    }
    this.#size++;
    if (this.#watcher === undefined) this.#start();
  }

  unsubscribe(subscriber: HubSubscriber): void {
    const { range } = subscriber;
    let removed: boolean;
    if (range.single) {
      const set = this.#single.get(range.key);
      removed = set?.delete(subscriber) ?? false;
      if (set?.size === 0) this.#single.delete(range.key);
    } else {
      removed = this.#ranges.delete(subscriber);
    }
    if (!removed) return;
    this.#size--;
    if (this.#size === 0) this.close();
  }

  close(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  #start(): void {
    const watcher = this.#store.watch("etcd", { ...EVERYTHING, prevKv: true });
    this.#watcher = watcher;
    this.#run(watcher).catch((error: unknown) => {
      if (this.#watcher !== watcher) return;
      this.#watcher = undefined;
      for (const subscriber of this.#all()) subscriber.onFailure(error);
    });
  }

  async #run(watcher: Watcher): Promise<void> {
    for await (const { revision, events } of watcher) {
      if (this.#watcher !== watcher) return;
      this.#publish(revision, events.map((event) => new SharedEvent(event)));
    }
  }

  #publish(revision: number, events: readonly SharedEvent[]): void {
    const all = new EventGroup(revision, events);
    for (const subscriber of [...this.#ranges]) {
      const { range } = subscriber;
      if (events.every(({ key }) => range.covers(key))) subscriber.onEvents(all);
      else {
        const wanted = events.filter(({ key }) => range.covers(key));
        if (wanted.length > 0) subscriber.onEvents(new EventGroup(revision, wanted));
      }
    }
    if (this.#single.size === 0) return;
    // A transaction may delete and put one key: a subscriber gets its events together.
    const byKey = new Map<string, SharedEvent[]>();
    for (const event of events) {
      if (!this.#single.has(event.key)) continue;
      const list = byKey.get(event.key);
      if (list === undefined) byKey.set(event.key, [event]);
      else list.push(event);
    }
    for (const [key, list] of byKey) {
      const group = list.length === events.length ? all : new EventGroup(revision, list);
      for (const subscriber of [...this.#single.get(key) ?? []]) subscriber.onEvents(group);
    }
  }

  #all(): HubSubscriber[] {
    return [...this.#ranges, ...[...this.#single.values()].flatMap((set) => [...set])];
  }
}
