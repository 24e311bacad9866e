/**
 * What chain events do here. The event's identity, the cursor, the result and whatever the event
 * changed stand in one transaction over all keyspaces: it happened exactly once, or not yet.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import type { Logger } from "@logtape/logtape";
import type { Bytes } from "../backends/mod.ts";
import type { Compare, Operation, Store } from "../store/mod.ts";
import type { ChainEvent, K8sRequestFromChain } from "../sui/chain_event.ts";
import type { LedgerEvent } from "../sui/ledger.ts";
import type { Clock } from "./deps.ts";
import { requestFromChain } from "./k8s/chain_request.ts";
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

export type ApplyOutcome =
  | { readonly kind: "applied"; readonly result: EventResult }
  /** The store had it already: nothing was changed. */
  | { readonly kind: "duplicate" };

/** The port through which the reader of the chain hands over events, oldest first. */
export interface ChainExecutor {
  /** Where the last transaction left off; undefined at the very beginning. */
  cursor(): Promise<string | undefined>;
  /** Resolves when the event's effect is durable. Throws only what a retry may heal. */
  apply(event: LedgerEvent, decoded: ChainEvent): Promise<ApplyOutcome>;
  /** Moves the cursor past events that do not concern us. */
  advance(cursor: string): Promise<void>;
  /** The stored result of an event; undefined where there is none. */
  result(transactionDigest: string, eventIndex: number): Promise<EventResult | undefined>;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const CURSOR_KEY = "/chain/cursor";

/** Key of an event's result in the `system` keyspace. */
export function eventKey(transactionDigest: string, eventIndex: number): string {
  return `/chain/events/${transactionDigest}/${eventIndex}`;
}

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

  function effectOf(decoded: ChainEvent): Promise<Effect> {
    switch (decoded.kind) {
      case "k8s_request":
        return requestEffect(k8s, decoded.request);
      case "worker_status_changed": {
        const change = workers.planStatusChange(decoded.nodeId, decoded.newStatus);
        return Promise.resolve(workerEffect(decoded.kind, change));
      }
      case "seal_token_revoked": {
        const change = workers.planTokenRevoked(decoded.nodeId, `seal_${decoded.tokenId}`);
        return Promise.resolve(workerEffect(decoded.kind, change));
      }
      case "undecodable":
        return Promise.resolve(
          nothing({ kind: decoded.kind, success: false, code: 400, reason: decoded.reason }),
        );
      case "k8s_result":
      case "worker_registered":
      case "unknown":
        // Nothing to do: a registration counts when the worker presents its token.
        return Promise.resolve(nothing({ kind: decoded.kind, success: true, code: 200 }));
    }
  }

  return {
    async cursor() {
      const { kvs } = await store.range("system", { key: encoder.encode(CURSOR_KEY) });
      const [kv] = kvs;
      return kv === undefined ? undefined : decoder.decode(kv.value);
    },
    async advance(cursor) {
      await store.txn({ compare: [], success: [putCursor(cursor)], failure: [] });
    },
    async result(transactionDigest, eventIndex) {
      const key = encoder.encode(eventKey(transactionDigest, eventIndex));
      const [kv] = (await store.range("system", { key })).kvs;
      if (kv === undefined) return undefined;
      // Our own bytes, authenticated by the store.
      const stored: { readonly result: EventResult } = JSON.parse(decoder.decode(kv.value));
      return stored.result;
    },
    async apply(event, decoded) {
      const key = encoder.encode(eventKey(event.transactionDigest, event.eventIndex));
      const isNew: Compare = {
        keyspace: "system",
        key,
        target: "create",
        result: "equal",
        operand: 0,
      };
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        const effect = await effectOf(decoded);
        // The record is written before the revision is known; it says nothing that needs it.
        const provisional = effect.result(store.revision("k8s") + 1);
        const response = await store.txn({
          compare: [isNew, ...effect.compare],
          success: [
            ...effect.operations,
            { type: "put", keyspace: "system", key, value: encodeResult(event, provisional, clock()) },
            putCursor(event.cursor),
          ],
          failure: [{ type: "range", keyspace: "system", key, keysOnly: true }],
        });
        if (response.succeeded) {
          effect.applied?.(response.revisions.system);
          log.info("chain event {kind} applied: {code}", {
            kind: decoded.kind,
            code: provisional.code,
            digest: event.transactionDigest,
            event_index: event.eventIndex,
            ...(provisional.reason === undefined ? {} : { reason: provisional.reason }),
          });
          return { kind: "applied", result: provisional };
        }
        const [seen] = response.responses;
        if (seen?.type === "range" && seen.kvs.length > 0) return { kind: "duplicate" };
      }
      throw new Error(
        `event ${event.transactionDigest}/${event.eventIndex} lost against other writers ${MAX_ATTEMPTS} times`,
      );
    },
  };
}

async function requestEffect(k8s: K8sService, request: K8sRequestFromChain): Promise<Effect> {
  const base = {
    kind: "k8s_request" as const,
    requester: request.requester,
    ...(request.requestId === undefined ? {} : { requestId: request.requestId }),
  };
  let planned: Planned;
  try {
    planned = await k8s.plan(requestFromChain(request, k8s.table));
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
  return {
    type: "put",
    keyspace: "system",
    key: encoder.encode(CURSOR_KEY),
    value: encoder.encode(cursor),
  };
}

function encodeResult(event: LedgerEvent, result: EventResult, now: number): Bytes {
  return encoder.encode(JSON.stringify({
    v: 1,
    checkpoint: event.checkpoint.toString(),
    applied_at_ms: now,
    result,
  }));
}
