/**
 * Results that wait to be written on chain, in the `system` keyspace: put there in the transaction
 * that applies the event, taken away once the chain has them. A transaction is kept here before it
 * leaves, so that after a crash the very same one is handed in again.
 */
import * as v from "valibot";
import type { Bytes } from "../backends/mod.ts";
import { type Operation, type Store, StoreError } from "../store/mod.ts";
import type { ChainDelivery } from "../sui/events.ts";
import type { RecordableResult, SignedTransaction } from "../sui/result_signer.ts";
import {
  ANSWERED_NOTE,
  type EventIdentity,
  eventName,
  type EventResult,
  OUTBOX_PREFIX,
  UNWRITTEN_PREFIX,
} from "./chain_results.ts";
import { prefixRange } from "./k8s/keys.ts";

const SIGNER_KEY = new TextEncoder().encode("/chain/signer");
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

const Entry = v.strictObject({
  v: v.literal(1),
  request_id: v.string(),
  success: v.boolean(),
  output: v.string(),
  error: v.string(),
  execution_time_ms: v.number(),
  queued_at_ms: v.number(),
  /** Executed, failed, and paid for. */
  failures: v.number(),
  signed: v.nullable(v.strictObject({ transaction: v.string(), signature: v.string() })),
});
type Entry = v.InferOutput<typeof Entry>;

/** One result on its way to the chain. */
export interface OutboxEntry {
  readonly key: Bytes;
  /** Of the request's event. */
  readonly checkpoint: bigint;
  readonly result: RecordableResult;
  readonly queuedAtMs: number;
  readonly failures: number;
  readonly signed: SignedTransaction | undefined;
}

/**
 * What puts a result into the outbox, in the transaction of its event. On chain goes what everybody
 * may see: whether it was done, the status code where not, and a digest.
 */
export function putOutbox(
  delivery: ChainDelivery,
  result: EventResult,
  executionTimeMs: number,
  nowMs: number,
): Operation[] {
  if (result.kind !== "k8s_request" || result.requestId === undefined) return [];
  return [put(keyOf(delivery), {
    v: 1,
    request_id: result.requestId,
    success: result.success,
    output: result.digest === undefined ? "" : `sha256:${result.digest}`,
    error: result.success ? "" : String(result.code),
    execution_time_ms: executionTimeMs,
    queued_at_ms: nowMs,
    failures: 0,
    signed: null,
  })];
}

/** The oldest entry, and how many there are. */
export async function oldest(
  store: Store,
): Promise<{ readonly entry: OutboxEntry | undefined; readonly count: number }> {
  const { kvs: [kv], count } = await store.range("system", {
    ...prefixRange(OUTBOX_PREFIX),
    limit: 1,
  });
  if (kv === undefined) return { entry: undefined, count };
  const entry = decode(kv.value);
  return {
    count,
    entry: {
      key: kv.key,
      checkpoint: BigInt(nameOf(kv.key).split("/", 1)[0] ?? ""),
      result: {
        requestId: entry.request_id,
        success: entry.success,
        output: entry.output,
        error: entry.error,
        executionTimeMs: entry.execution_time_ms,
      },
      queuedAtMs: entry.queued_at_ms,
      failures: entry.failures,
      signed: entry.signed ?? undefined,
    },
  };
}

/** Keeps what was signed, or that it came to nothing. Durable when it resolves. */
export async function keep(
  store: Store,
  { key, result, queuedAtMs }: OutboxEntry,
  signed: SignedTransaction | undefined,
  failures: number,
): Promise<void> {
  const operation = put(key, {
    v: 1,
    request_id: result.requestId,
    success: result.success,
    output: result.output,
    error: result.error,
    execution_time_ms: result.executionTimeMs,
    queued_at_ms: queuedAtMs,
    failures,
    signed: signed ?? null,
  });
  await store.txn({ compare: [], success: [operation], failure: [] });
}

export async function remove(store: Store, { key }: OutboxEntry): Promise<void> {
  const operation: Operation = { type: "delete", keyspace: "system", key };
  await store.txn({ compare: [], success: [operation], failure: [] });
}

/** Takes the entry away and notes that the chain will not have it, or has another's in its place. */
export async function abandon(
  store: Store,
  { key }: OutboxEntry,
  why: "given_up" | "answered",
): Promise<void> {
  const note = encoder.encode(UNWRITTEN_PREFIX + nameOf(key));
  const value = encoder.encode(why === "answered" ? ANSWERED_NOTE : "");
  await store.txn({
    compare: [],
    success: [
      { type: "delete", keyspace: "system", key },
      { type: "put", keyspace: "system", key: note, value },
    ],
    failure: [],
  });
}

/**
 * Seed of the signer's Ed25519 key: made here once, never outside the sealed store.
 *
 * @param random at least 32 bytes of it are asked for
 */
export async function signerSeed(
  store: Store,
  random: (length: number) => Bytes,
): Promise<Bytes> {
  await store.txn({
    compare: [{
      keyspace: "system",
      key: SIGNER_KEY,
      target: "create",
      result: "equal",
      operand: 0,
    }],
    success: [{ type: "put", keyspace: "system", key: SIGNER_KEY, value: random(32) }],
    failure: [],
  });
  const seed = await readSignerSeed(store);
  if (seed === undefined) throw new StoreError("format", "the signer's seed is not there");
  return seed;
}

/** The seed that there is, without making one. */
export async function readSignerSeed(store: Pick<Store, "range">): Promise<Bytes | undefined> {
  const [kv] = (await store.range("system", { key: SIGNER_KEY })).kvs;
  if (kv !== undefined && kv.value.length !== 32) {
    throw new StoreError("format", "the signer's seed is not 32 bytes");
  }
  return kv?.value;
}

/** How many results wait. */
export async function countWaiting(store: Pick<Store, "range">): Promise<number> {
  const range = { ...prefixRange(OUTBOX_PREFIX), countOnly: true };
  return (await store.range("system", range)).count;
}

function keyOf(event: EventIdentity): Bytes {
  return encoder.encode(OUTBOX_PREFIX + eventName(event));
}

/** As `eventName`. */
function nameOf(key: Bytes): string {
  return decoder.decode(key).slice(OUTBOX_PREFIX.length);
}

function put(key: Bytes, entry: Entry): Operation {
  return {
    type: "put",
    keyspace: "system",
    key,
    value: encoder.encode(JSON.stringify(entry)),
  };
}

function decode(value: Bytes): Entry {
  try {
    return v.parse(Entry, JSON.parse(decoder.decode(value)));
  } catch (cause) {
    throw new StoreError("format", "a result in the outbox cannot be read by this version", {
      cause,
    });
  }
}
