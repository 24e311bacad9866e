/**
 * The Watch service: many watches on one stream. A watch of the present hangs on the hub; one
 * that starts in the past, or whose client reads too slowly, reads the history at its own pace,
 * so that a slow reader costs a bounded queue and nobody else's time.
 */
import { StoreError, type Watcher } from "../../store/mod.ts";
import { type EtcdContext, headerOf, REQUEST_OVERHEAD_BYTES } from "./context.ts";
import { type CallListener, type Method, type ServerCall, streaming } from "./grpc/method.ts";
import { type WatchCreateRequest, WatchRequest, WatchResponse } from "./messages.ts";
import {
  EventGroup,
  type HubSubscriber,
  SharedEvent,
  type WatchHub,
  WatchRange,
} from "./watch_hub.ts";
import { fragments, WatchEncoder } from "./watch_encoder.ts";

/** etcd's id of "no watch". */
const NO_WATCH = -1n;
const FILTER_NO_PUT = 0;
const FILTER_NO_DELETE = 1;
/** How soon a progress request that found a watch behind looks again. */
const PROGRESS_RETRY_MS = 20;

export function watchMethod(context: EtcdContext, hub: WatchHub): Method {
  return streaming(
    "/etcdserverpb.Watch/Watch",
    WatchRequest,
    WatchResponse,
    (call) => new WatchStream(context, hub, call),
  );
}

/** Exported for the JSON gateway, which speaks the same stream. */
export class WatchStream implements CallListener<WatchRequest> {
  readonly #context: EtcdContext;
  readonly #hub: WatchHub;
  readonly #call: ServerCall<WatchResponse>;
  readonly #encoder: WatchEncoder;
  readonly #watches = new Map<bigint, Watch>();
  #nextId = 0n;
  #progressTimer: ReturnType<typeof setInterval> | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #drained: (() => void)[] = [];
  #closed = false;

  constructor(context: EtcdContext, hub: WatchHub, call: ServerCall<WatchResponse>) {
    this.#context = context;
    this.#hub = hub;
    this.#call = call;
    this.#encoder = new WatchEncoder(context.identity);
  }

  onMessage(request: WatchRequest): void {
    if (request.createRequest !== undefined) this.#create(request.createRequest);
    else if (request.cancelRequest !== undefined) this.#cancel(request.cancelRequest.watchId);
    else if (request.progressRequest !== undefined) this.#progressAll();
  }

  /** As in etcd, a client that sends no more may still listen. */
  onEnd(): void {}

  onDrain(): void {
    const waiting = this.#drained;
    this.#drained = [];
    for (const wake of waiting) wake();
  }

  onClose(): void {
    this.#closed = true;
    clearInterval(this.#progressTimer);
    clearTimeout(this.#retryTimer);
    for (const watch of this.#watches.values()) watch.stop();
    this.#watches.clear();
    this.onDrain();
  }

  #create(request: WatchCreateRequest): void {
    const key = request.key.length === 0 ? new Uint8Array(1) : request.key;
    const range = new WatchRange(key, request.rangeEnd);
    if (request.startRevision < 0) {
      return this.#refuse("etcdserver: mvcc: required revision has been compacted");
    }
    if (range.empty) return this.#refuse("mvcc: watcher range is empty");
    const id = request.watchId === 0n ? this.#drawId() : request.watchId;
    if (this.#watches.has(id)) {
      return this.#refuse("mvcc: duplicate watch ID provided on the WatchStream");
    }
    const revision = this.#context.store.revision("etcd");
    const watch = new Watch(id, range, request, this.#hub, {
      send: (w, group) => this.#send(w, group),
      slow: () => this.#call.bufferedBytes > this.#context.limits.watchBufferBytes,
      drained: () => this.#waitForDrain(),
      watch: (w, from) =>
        this.#context.store.watch("etcd", {
          ...w.range.request,
          startRevision: from,
          prevKv: w.request.prevKv,
        }),
      newest: () => this.#context.store.revision("etcd"),
      failed: (w, error) => this.#failed(w, error),
    });
    this.#watches.set(id, watch);
    this.#call.send(WatchResponse.of({
      header: headerOf(this.#context, revision),
      watchId: id,
      created: true,
    }));
    if (request.progressNotify) this.#startProgress();
    watch.start(revision);
  }

  #drawId(): bigint {
    while (this.#watches.has(this.#nextId)) this.#nextId++;
    return this.#nextId++;
  }

  #refuse(reason: string): void {
    this.#call.send(WatchResponse.of({
      header: headerOf(this.#context),
      watchId: NO_WATCH,
      created: true,
      canceled: true,
      cancelReason: reason,
    }));
  }

  #cancel(id: bigint): void {
    const watch = this.#watches.get(id);
    if (watch === undefined) return;
    watch.stop();
    this.#watches.delete(id);
    this.#call.send(WatchResponse.of({
      header: headerOf(this.#context),
      watchId: id,
      canceled: true,
    }));
  }

  #failed(watch: Watch, error: unknown): void {
    if (this.#closed || this.#watches.get(watch.id) !== watch) return;
    if (!(error instanceof StoreError) || error.code !== "compacted") {
      this.#call.fail(error);
      return;
    }
    this.#watches.delete(watch.id);
    this.#call.send(WatchResponse.of({
      header: headerOf(this.#context),
      watchId: watch.id,
      canceled: true,
      compactRevision: this.#context.store.compactedRevision("etcd"),
    }));
  }

  #send(watch: Watch, group: EventGroup): void {
    const { prevKv, fragment } = watch.request;
    if (!fragment) return this.#sendGroup(watch, group, false);
    const maxBytes = this.#context.limits.maxRequestBytes + REQUEST_OVERHEAD_BYTES;
    const parts = fragments(group.events, prevKv, maxBytes);
    if (parts.length === 1) return this.#sendGroup(watch, group, false);
    for (const [i, events] of parts.entries()) {
      this.#sendGroup(watch, new EventGroup(group.revision, events), i < parts.length - 1);
    }
  }

  #sendGroup(watch: Watch, group: EventGroup, fragment: boolean): void {
    const { prevKv } = watch.request;
    this.#call.sendAs(
      () => this.#encoder.framed(watch.encodedId, group, prevKv, fragment),
      () =>
        WatchResponse.of({
          header: headerOf(this.#context, group.revision),
          watchId: watch.id,
          fragment,
          events: group.events.map((event) => event.message(prevKv)),
        }),
    );
  }

  #waitForDrain(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => this.#drained.push(resolve));
  }

  // ---- progress

  /** As etcd: nothing is said while a watch is behind; clients ask again. We look again for them. */
  #progressAll(): void {
    if (this.#closed || this.#watches.size === 0) return;
    const revision = this.#context.store.revision("etcd");
    for (const watch of this.#watches.values()) {
      if (watch.request.startRevision > revision) return;
      if (watch.position < revision) {
        this.#retryTimer ??= setTimeout(() => {
          this.#retryTimer = undefined;
          this.#progressAll();
        }, PROGRESS_RETRY_MS);
        return;
      }
    }
    this.#call.send(WatchResponse.of({
      header: headerOf(this.#context, revision),
      watchId: NO_WATCH,
    }));
  }

  #startProgress(): void {
    this.#progressTimer ??= setInterval(
      () => this.#notifyProgress(),
      this.#context.limits.progressNotifyIntervalMs,
    );
  }

  #notifyProgress(): void {
    const revision = this.#context.store.revision("etcd");
    for (const watch of this.#watches.values()) {
      if (!watch.request.progressNotify) continue;
      const quiet = watch.takeQuiet();
      if (!quiet || watch.position < revision || watch.request.startRevision > revision) continue;
      this.#call.send(WatchResponse.of({
        header: headerOf(this.#context, revision),
        watchId: watch.id,
      }));
    }
  }
}

/** What a watch needs of its stream. */
interface WatchPort {
  send(watch: Watch, group: EventGroup): void;
  /** The client has too much waiting for it. */
  slow(): boolean;
  drained(): Promise<void>;
  /** Opens the history. */
  watch(watch: Watch, from: number): Watcher;
  newest(): number;
  failed(watch: Watch, error: unknown): void;
}

class Watch implements HubSubscriber {
  readonly id: bigint;
  readonly encodedId: Uint8Array<ArrayBuffer>;
  readonly range: WatchRange;
  readonly request: WatchCreateRequest;
  readonly #hub: WatchHub;
  readonly #port: WatchPort;
  readonly #noPut: boolean;
  readonly #noDelete: boolean;
  /** The first revision that is still to be sent. */
  #next = 0;
  #history: Watcher | undefined;
  #onHub = false;
  #stopped = false;
  #quiet = true;

  constructor(
    id: bigint,
    range: WatchRange,
    request: WatchCreateRequest,
    hub: WatchHub,
    port: WatchPort,
  ) {
    this.id = id;
    this.encodedId = WatchEncoder.encodeId(id);
    this.range = range;
    this.request = request;
    this.#hub = hub;
    this.#port = port;
    this.#noPut = request.filters.includes(FILTER_NO_PUT);
    this.#noDelete = request.filters.includes(FILTER_NO_DELETE);
  }

  /** Every event up to this revision has been sent. */
  get position(): number {
    return this.#onHub ? this.#hub.position : this.#history?.deliveredRevision ?? 0;
  }

  /** Whether nothing was sent since the last call. */
  takeQuiet(): boolean {
    const quiet = this.#quiet;
    this.#quiet = true;
    return quiet;
  }

  start(newest: number): void {
    const from = this.request.startRevision;
    this.#next = from === 0 ? newest + 1 : from;
    if (this.#next > newest) this.#joinHub();
    else this.#readHistory();
  }

  stop(): void {
    this.#stopped = true;
    this.#leaveHub();
    this.#history?.close();
  }

  onEvents(group: EventGroup): void {
    if (this.#stopped || group.revision < this.#next) return;
    if (this.#port.slow()) {
      // The history has this revision too: read it there when the client has caught up.
      this.#leaveHub();
      this.#readHistory();
      return;
    }
    this.#deliver(group);
  }

  onFailure(error: unknown): void {
    this.stop();
    this.#port.failed(this, error);
  }

  #deliver(group: EventGroup): void {
    const { revision, events } = group;
    this.#next = revision + 1;
    if (!this.#noPut && !this.#noDelete) {
      this.#quiet = false;
      return this.#port.send(this, group);
    }
    const wanted = events.filter(({ event }) =>
      !(event.type === "put" ? this.#noPut : this.#noDelete)
    );
    if (wanted.length === 0) return;
    this.#quiet = false;
    this.#port.send(this, new EventGroup(revision, wanted));
  }

  #joinHub(): void {
    this.#onHub = true;
    this.#hub.subscribe(this);
  }

  #leaveHub(): void {
    if (!this.#onHub) return;
    this.#onHub = false;
    this.#hub.unsubscribe(this);
  }

  #readHistory(): void {
    this.#follow().catch((error: unknown) => {
      if (this.#stopped) return;
      this.stop();
      this.#port.failed(this, error);
    });
  }

  async #follow(): Promise<void> {
    while (!this.#stopped && this.#port.slow()) await this.#port.drained();
    if (this.#stopped) return;
    const history = this.#port.watch(this, this.#next);
    this.#history = history;
    for await (const { revision, events } of history) {
      if (this.#stopped) return;
      this.#deliver(new EventGroup(revision, events.map((event) => new SharedEvent(event))));
      while (!this.#stopped && this.#port.slow()) await this.#port.drained();
      if (this.#stopped || revision !== this.#port.newest()) continue;
      // Caught up: what comes now comes over the hub. Leaving the loop takes a moment, so join first.
      this.#history = undefined;
      this.#joinHub();
      break;
    }
  }
}
