/**
 * What chain events do here. The event's identity, the cursor, the result and whatever the event
 * changed stand in one transaction over all keyspaces: it happened exactly once, or not yet.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import type { Logger } from "@logtape/logtape";
import type { Bytes } from "../backends/mod.ts";
import type { Compare, Operation, Store } from "../store/mod.ts";
import { StoreError } from "../store/mod.ts";
import type { ChainEvent, K8sRequestFromChain } from "../sui/chain_event.ts";
import type { ChainDelivery, CursorStore } from "../sui/events.ts";
import type { Clock } from "./deps.ts";
import { requestFromChain } from "./k8s/chain_request.ts";
import { prefixRange } from "./k8s/keys.ts";
import type { K8sOutcome, Planned } from "./k8s/request.ts";
import type { K8sService } from "./k8s/service.ts";
import { StatusError } from "./k8s/status.ts";
import { ApiProblem } from "./problem.ts";
import type { WorkerChange, Workers } from "./workers.ts";

export interface ChainExecutorOptions {
  readonly store: Store;
  readonly k8s: K8sService;
  readonly workers: Workers;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What became of an event. A refused request is a result, not a failure: it is never retried. */
export interface EventResult {
  readonly kind: ChainEvent["kind"];
  readonly requestId?: string;
  readonly requester?: string;
  readonly success: boolean;
  /** HTTP status the same request would have had. */
  readonly code: number;
  /** Why it was refused; never holds what was read or written. */
  readonly reason?: string;
  /** SHA-256, hex, of the object's JSON or of the list's. */
  readonly digest?: string;
  readonly change?: { readonly status: string; readonly key: string };
}

/** A result with where and when it came to be. */
export interface StoredResult {
  /** `<transaction digest>/<event index>`. */
  readonly event: string;
  /** Decimal. */
  readonly checkpoint: string;
  readonly appliedAtMs: number;
  readonly result: EventResult;
}

export type ApplyOutcome =
  | { readonly kind: "applied"; readonly result: EventResult }
  /** The store had it already: nothing was changed. */
  | { readonly kind: "duplicate" };

/** What the listener of sui/events.ts is given: where the cursor rests, and what applies an event. */
export interface ChainExecutor {
  readonly cursorStore: CursorStore;
  /**
   * Resolves when the event's effect is durable. Throws only what a retry may heal.
   * @param skip a request is noted as passed over instead: it may have been executed before
   */
  apply(delivery: ChainDelivery, skip?: boolean): Promise<ApplyOutcome>;
  /** The stored result of an event; undefined where there is none. */
  result(dedupeKey: string): Promise<EventResult | undefined>;
  /**
   * What became of the events that carried a request id, oldest revision first; an id is the
   * requester's to choose, so there may be several.
   */
  results(requestId: string): Promise<readonly StoredResult[]>;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const CURSOR_KEY = encoder.encode("/chain/cursor");

/** Key of an event's result in the `system` keyspace; `<transaction digest>/<event index>` after it. */
const EVENT_PREFIX = "/chain/events/";
/** `<SHA-256 of the request id>/<transaction digest>/<event index>` after it, empty value. */
const REQUEST_PREFIX = "/chain/requests/";
/** Of one request id; requesters can use an id as often as they pay for. */
const MAX_RESULTS = 100;

/** What an event wants done, with what it comes to once it is. */
interface Effect {
  readonly compare: readonly Compare[];
  readonly operations: readonly Operation[];
  result(k8sRevision: number): EventResult;
  applied?(systemRevision: number): void;
}

const MAX_ATTEMPTS = 32;

/** Executes events as `sui:<address>` through the same service as HTTP requests. */
export function createChainExecutor(options: ChainExecutorOptions): ChainExecutor {
  const { store, k8s, workers, clock, log } = options;

  async function effectOf(decoded: ChainEvent): Promise<Effect> {
    switch (decoded.kind) {
      case "k8s_request":
        return await requestEffect(k8s, decoded.request);
      case "worker_status_changed": {
        const change = await workers.planStatusChange(decoded.nodeId, decoded.newStatus);
        return workerEffect(decoded.kind, change);
      }
      case "seal_token_revoked": {
        const change = await workers.planTokenRevoked(decoded.nodeId, `seal_${decoded.tokenId}`);
        return workerEffect(decoded.kind, change);
      }
      case "undecodable":
        return nothing({
          kind: decoded.kind,
          success: false,
          code: 400,
          reason: decoded.reason,
        });
      case "k8s_result":
      case "worker_registered":
      case "unknown":
        // Nothing to do: a registration counts when the worker presents its token.
        return nothing({ kind: decoded.kind, success: true, code: 200 });
    }
  }

  /** Commits the effect with the event's identity, result and cursor, or says why it could not. */
  async function commit(
    delivery: ChainDelivery,
    effect: Effect,
  ): Promise<"lost" | "duplicate" | { revision: number; result: EventResult }> {
    const key = encoder.encode(EVENT_PREFIX + delivery.dedupeKey);
    // Written before the revision is known; nothing in it needs the real one.
    const result = effect.result(store.revision("k8s") + 1);
    const response = await store.txn({
      compare: [
        { keyspace: "system", key, target: "create", result: "equal", operand: 0 },
        cursorIs(delivery.previousCursor),
        ...effect.compare,
      ],
      success: [
        ...effect.operations,
        { type: "put", keyspace: "system", key, value: encodeResult(delivery, result, clock()) },
        ...indexRequest(delivery),
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
    async result(dedupeKey) {
      const key = encoder.encode(EVENT_PREFIX + dedupeKey);
      const [kv] = (await store.range("system", { key })).kvs;
      if (kv === undefined) return undefined;
      // Our own bytes, authenticated by the store.
      return decodeResult(dedupeKey, kv.value).result;
    },
    async results(requestId) {
      const prefix = requestPrefix(requestId);
      const { kvs } = await store.range("system", {
        ...prefixRange(prefix),
        limit: MAX_RESULTS,
        keysOnly: true,
      });
      const found = await Promise.all(kvs.map(async ({ key }) => {
        const event = decoder.decode(key).slice(prefix.length);
        const [kv] = (await store.range("system", { key: encoder.encode(EVENT_PREFIX + event) }))
          .kvs;
        return kv === undefined ? [] : [{ revision: kv.modRevision, event, value: kv.value }];
      }));
      return found.flat().sort((a, b) => a.revision - b.revision)
        .map(({ event, value }) => decodeResult(event, value));
    },
    async apply(delivery, skip = false) {
      const { event } = delivery;
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        let effect = skip && event.kind === "k8s_request"
          ? skippedEffect(event.request)
          : await effectOf(event);
        let done: Awaited<ReturnType<typeof commit>>;
        try {
          done = await commit(delivery, effect);
        } catch (error) {
          // What the store will never take must not come back forever.
          if (!(error instanceof StoreError) || error.code !== "too_large") throw error;
          effect = nothing({
            ...effect.result(0),
            success: false,
            code: 413,
            reason: "the object is larger than the store takes",
          });
          done = await commit(delivery, effect);
        }
        if (done === "duplicate") {
          await passOver(delivery);
          return { kind: "duplicate" };
        }
        if (done === "lost") {
          if (await readCursor() !== delivery.previousCursor) throw cursorMoved();
          continue;
        }
        effect.applied?.(done.revision);
        const { result } = done;
        log.info("chain event {kind} applied: {code}", {
          kind: event.kind,
          code: result.code,
          event: delivery.dedupeKey,
          ...(result.reason === undefined ? {} : { reason: result.reason }),
        });
        return { kind: "applied", result };
      }
      throw new Error(
        `event ${delivery.dedupeKey} lost against other writers ${MAX_ATTEMPTS} times`,
      );
    },
  };
}

function cursorMoved(): Error {
  return new Error(
    "the stored cursor is not where the listener left it: something else follows too",
  );
}

function requestBase(
  request: K8sRequestFromChain,
): Pick<EventResult, "kind" | "requester" | "requestId"> {
  return {
    kind: "k8s_request",
    requester: request.requester,
    ...(request.requestId === undefined ? {} : { requestId: request.requestId }),
  };
}

function skippedEffect(request: K8sRequestFromChain): Effect {
  return nothing({
    ...requestBase(request),
    success: false,
    code: 409,
    reason: "passed over after a restore: it may have been executed before; look, and ask again",
  });
}

async function requestEffect(k8s: K8sService, request: K8sRequestFromChain): Promise<Effect> {
  const base = requestBase(request);
  let planned: Planned;
  try {
    planned = await k8s.plan(requestFromChain(request, await k8s.kinds.current()));
  } catch (error) {
    if (error instanceof StatusError && error.code < 500) {
      return nothing({ ...base, success: false, code: error.code, reason: error.message });
    }
    if (error instanceof ApiProblem && error.status < 500) {
      return nothing({ ...base, success: false, code: error.status, reason: error.message });
    }
    throw error;
  }
  const result = (outcome: K8sOutcome): EventResult => ({
    ...base,
    success: true,
    code: outcome.code,
    digest: digestOf(outcome),
    ...("change" in outcome && outcome.change !== undefined ? { change: outcome.change } : {}),
  });
  if (planned.kind === "done") return nothing(result(planned.outcome));
  return {
    compare: planned.compare,
    operations: planned.operations,
    result: (revision) => result(planned.outcome(revision)),
  };
}

/** Over the bytes as stored, so without the resource version: the chain learns no more than that. */
function digestOf(outcome: K8sOutcome): string {
  switch (outcome.kind) {
    case "object":
      return sha256(outcome.object.stored).toHex();
    case "document":
      return sha256(encoder.encode(JSON.stringify(outcome.document))).toHex();
    case "status":
      return sha256(encoder.encode(JSON.stringify(outcome.status))).toHex();
    case "list": {
      const hash = sha256.create();
      for (const item of outcome.items) hash.update(sha256(item.stored));
      return hash.digest().toHex();
    }
  }
}

function nothing(result: EventResult): Effect {
  return { compare: [], operations: [], result: () => result };
}

function workerEffect(kind: ChainEvent["kind"], change: WorkerChange | undefined): Effect {
  const result: EventResult = change === undefined
    ? { kind, success: true, code: 200, reason: "no such worker is registered here" }
    : { kind, success: true, code: 200 };
  if (change === undefined) return nothing(result);
  return {
    compare: change.compare,
    operations: change.operations,
    result: () => result,
    applied: (revision) => change.applied(revision),
  };
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

/** Makes the result findable by the id that the requester gave it. */
function indexRequest({ event, dedupeKey }: ChainDelivery): Operation[] {
  if (event.kind !== "k8s_request" || event.request.requestId === undefined) return [];
  const key = encoder.encode(requestPrefix(event.request.requestId) + dedupeKey);
  return [{ type: "put", keyspace: "system", key, value: new Uint8Array(0) }];
}

/** Hashed: an id may be any text of any length. */
function requestPrefix(requestId: string): string {
  return `${REQUEST_PREFIX}${sha256(encoder.encode(requestId)).toHex()}/`;
}

function decodeResult(event: string, value: Bytes): StoredResult {
  // Our own bytes, authenticated by the store.
  const stored: {
    readonly checkpoint: string;
    readonly applied_at_ms: number;
    readonly result: EventResult;
  } = JSON.parse(decoder.decode(value));
  const { checkpoint, applied_at_ms: appliedAtMs, result } = stored;
  return { event, checkpoint, appliedAtMs, result };
}

function encodeResult(delivery: ChainDelivery, result: EventResult, now: number): Bytes {
  return encoder.encode(JSON.stringify({
    v: 1,
    checkpoint: delivery.checkpoint.toString(),
    applied_at_ms: now,
    result,
  }));
}
