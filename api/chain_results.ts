/**
 * Results of chain events in the `system` keyspace: written with the event's effect, read by request
 * id, and forgotten after a while. A result also tells that its event was applied; what makes that
 * happen once for good is the cursor, so results may go.
 */
import { hash } from "node:crypto";
import type { Bytes } from "../backends/mod.ts";
import type { Operation, Store } from "../store/mod.ts";
import type { ChainEvent } from "../sui/chain_event.ts";
import type { ChainDelivery } from "../sui/events.ts";
import { prefixRange } from "./k8s/keys.ts";

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

/**
 * Whether the chain has a result: `off` where nothing writes back, or did when it came to be;
 * `answered`: it has one that this master did not see itself write.
 */
export type WriteBackOutcome = "off" | "waiting" | "written" | "answered" | "given_up";

/** A result with where and when it came to be. */
export interface StoredResult {
  /** `<transaction digest>/<event index>`. */
  readonly event: string;
  /** Decimal. */
  readonly checkpoint: string;
  readonly appliedAtMs: number;
  readonly writeBack: WriteBackOutcome;
  readonly result: EventResult;
}

/** An event as the chain knows it. */
export type EventIdentity = Pick<ChainDelivery, "checkpoint" | "dedupeKey">;

/** Our own bytes, authenticated by the store. */
interface Stored {
  readonly v: 1;
  readonly applied_at_ms: number;
  /** It was to be written back on chain. */
  readonly queued: boolean;
  readonly result: EventResult;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** `<checkpoint, 20 digits>/<transaction digest>/<event index>` after it: oldest first. */
const EVENT_PREFIX = "/chain/events/";
/** `<SHA-256 of the request id>/` and what names the event after it, empty value. */
const REQUEST_PREFIX = "/chain/requests/";
/** As under EVENT_PREFIX: results that wait to be written back on chain (result_outbox.ts). */
export const OUTBOX_PREFIX = "/chain/outbox/";
/** As under EVENT_PREFIX: results that will not be. Empty value: given up. */
export const UNWRITTEN_PREFIX = "/chain/unwritten/";
/** Value under UNWRITTEN_PREFIX: the chain has a result of the request already. */
export const ANSWERED_NOTE = "answered";
/** Of one request id; requesters can use an id as often as they pay for. */
const MAX_RESULTS = 100;
/** Results looked at in one round of forgetting. */
const ROUND = 500;

/** What names the event in our keys. Checkpoints are u64: 20 digits keep their order. */
export function eventName({ checkpoint, dedupeKey }: EventIdentity): string {
  return `${checkpoint.toString().padStart(20, "0")}/${dedupeKey}`;
}

/** Key of the event's result in `system`. */
export function resultKey(event: EventIdentity): Bytes {
  return encoder.encode(EVENT_PREFIX + eventName(event));
}

/** The result, findable by the id that the requester gave it. */
export function putResult(
  delivery: ChainDelivery,
  result: EventResult,
  nowMs: number,
  isQueued: boolean,
): Operation[] {
  const stored: Stored = { v: 1, applied_at_ms: nowMs, queued: isQueued, result };
  const value = encoder.encode(JSON.stringify(stored));
  const { event } = delivery;
  const requestId = event.kind === "k8s_request" ? event.request.requestId : undefined;
  return [
    { type: "put", keyspace: "system", key: resultKey(delivery), value },
    ...(requestId === undefined ? [] : [{
      type: "put" as const,
      keyspace: "system" as const,
      key: indexKey(requestId, eventName(delivery)),
      value: new Uint8Array(0),
    }]),
  ];
}

/** The result of one event; undefined where it was not applied, or long ago. */
export async function readResult(
  store: Store,
  event: EventIdentity,
): Promise<EventResult | undefined> {
  const [kv] = (await store.range("system", { key: resultKey(event) })).kvs;
  return kv === undefined ? undefined : decodeResult(kv.value).result;
}

/** Results of the events that carried a request id, oldest first, 100 at most. */
export async function readResults(
  store: Store,
  requestId: string,
): Promise<readonly StoredResult[]> {
  const prefix = requestPrefix(requestId);
  const { kvs } = await store.range("system", {
    ...prefixRange(prefix),
    limit: MAX_RESULTS,
    keysOnly: true,
  });
  const outcomeOf = async (name: string): Promise<WriteBackOutcome> => {
    const at = async (prefix: string) =>
      (await store.range("system", { key: encoder.encode(prefix + name) })).kvs[0];
    if (await at(OUTBOX_PREFIX) !== undefined) return "waiting";
    const note = await at(UNWRITTEN_PREFIX);
    if (note === undefined) return "written";
    return decoder.decode(note.value) === ANSWERED_NOTE ? "answered" : "given_up";
  };
  const found = await Promise.all(kvs.map(async ({ key }) => {
    const name = decoder.decode(key).slice(prefix.length);
    const [kv] = (await store.range("system", { key: encoder.encode(EVENT_PREFIX + name) })).kvs;
    if (kv === undefined) return [];
    const { applied_at_ms: appliedAtMs, queued, result } = decodeResult(kv.value);
    const slash = name.indexOf("/");
    const stored: StoredResult = {
      event: name.slice(slash + 1),
      checkpoint: BigInt(name.slice(0, slash)).toString(),
      appliedAtMs,
      writeBack: queued ? await outcomeOf(name) : "off",
      result,
    };
    return [{ revision: kv.modRevision, stored }];
  }));
  return found.flat().sort((a, b) => a.revision - b.revision).map(({ stored }) => stored);
}

export interface ResultRetention {
  /** By the clock at the time of applying. */
  readonly maxAgeMs: number;
  readonly maxResults: number;
}

/** A week, and no more than 100,000 results (some 50 MB). */
export const RESULT_RETENTION: ResultRetention = Object.freeze({
  maxAgeMs: 7 * 24 * 3_600_000,
  maxResults: 100_000,
});

/**
 * Forgets results that are too old or too many, oldest first.
 *
 * @returns how many were forgotten
 */
export async function forgetResults(
  store: Store,
  { maxAgeMs, maxResults }: ResultRetention,
  nowMs: number,
): Promise<number> {
  let forgotten = 0;
  while (true) {
    const { kvs, count } = await store.range("system", {
      ...prefixRange(EVENT_PREFIX),
      limit: ROUND,
    });
    const old: Operation[] = [];
    let results = 0;
    for (const { key, value } of kvs) {
      const name = decoder.decode(key).slice(EVENT_PREFIX.length);
      const { applied_at_ms: appliedAtMs, result } = decodeResult(value);
      if (count - results <= maxResults && nowMs - appliedAtMs <= maxAgeMs) break;
      results++;
      old.push({ type: "delete", keyspace: "system", key });
      const unwritten = encoder.encode(UNWRITTEN_PREFIX + name);
      old.push({ type: "delete", keyspace: "system", key: unwritten });
      if (result.requestId !== undefined) {
        old.push({ type: "delete", keyspace: "system", key: indexKey(result.requestId, name) });
      }
    }
    if (results === 0) return forgotten;
    await store.txn({ compare: [], success: old, failure: [] });
    forgotten += results;
  }
}

function indexKey(requestId: string, name: string): Bytes {
  return encoder.encode(requestPrefix(requestId) + name);
}

/** Hashed: an id may be any text of any length. */
function requestPrefix(requestId: string): string {
  return `${REQUEST_PREFIX}${hash("sha256", requestId, "hex")}/`;
}

function decodeResult(value: Bytes): Stored {
  const stored: Stored = JSON.parse(decoder.decode(value));
  return stored;
}
