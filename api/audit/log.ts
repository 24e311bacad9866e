/**
 * The audit log: two hash-chained chains in the sealed store. A record counts when it is durable;
 * whoever acts waits for it, and does not act without it.
 */
import { createHmac } from "node:crypto";
import * as v from "valibot";
import type { Bytes } from "../../backends/mod.ts";
import { type Operation, type Store, StoreError } from "../../store/mod.ts";
import type { Clock } from "../deps.ts";
import { createTokenBucket } from "../middleware/token_bucket.ts";
import {
  type AuditChain,
  type AuditEvent,
  auditHash,
  AuditRecord,
  NO_RECORD_HASH,
} from "./record.ts";

/** Of each chain; older records go when newer ones come. */
export const AUDIT_RETENTION: Readonly<Record<AuditChain, number>> = {
  acts: 100_000,
  refusals: 10_000,
};
/** Refusals that are written out; the rest are counted in the next one. */
const REFUSAL_RATE = { perSecond: 20, burst: 200 } as const;
/** Records in one transaction. */
const MAX_BATCH = 64;

export interface AuditPage {
  readonly records: readonly AuditRecord[];
  /** Sequence of the newest record; 0 where there is none. */
  readonly newest: number;
  /** Sequence of the oldest record that is still kept. */
  readonly oldest: number;
  /** Hash of the newest record: kept elsewhere, it proves later that nothing was changed. */
  readonly head: string;
}

export interface AuditLog {
  /** Resolves when the record is durable. @throws {StoreError} then nothing may be done */
  act(event: AuditEvent): Promise<void>;
  /** Takes note of a refusal; never throws, never waits. Above a rate it only counts. */
  refused(event: AuditEvent): void;
  /** Records after `after`, oldest first. */
  read(chain: AuditChain, after: number, limit: number): Promise<AuditPage>;
  /** HMAC of a secret, 16 bytes in hex: tells two apart, says nothing of either. */
  fingerprint(secret: string): string;
  /** Resolves when everything taken note of so far is written or has failed. */
  settled(): Promise<void>;
}

interface Waiting {
  readonly event: AuditEvent;
  readonly suppressed: number;
  readonly done: PromiseWithResolvers<void>;
}

/** @param secret the store's `audit` secret */
export async function openAuditLog(
  store: Store,
  secret: Bytes,
  clock: Clock,
  retention: Readonly<Record<AuditChain, number>> = AUDIT_RETENTION,
): Promise<AuditLog> {
  const key = secret.slice();
  const chains = {
    acts: await openChain(store, "acts", clock, retention.acts),
    refusals: await openChain(store, "refusals", clock, retention.refusals),
  };
  const budget = createTokenBucket(REFUSAL_RATE, clock);
  let suppressed = 0;
  return {
    act: (event) => chains.acts.append(event, 0),
    refused(event) {
      if (budget.take() !== undefined) {
        suppressed++;
        return;
      }
      const before = suppressed;
      suppressed = 0;
      // A store that cannot write has stopped the master already, and says so itself.
      chains.refusals.append(event, before).catch(() => {});
    },
    read: (chain, after, limit) => chains[chain].read(after, limit),
    fingerprint: (text) => createHmac("sha256", key).update(text).digest("hex").slice(0, 32),
    settled: async () => {
      await Promise.all([chains.acts.settled(), chains.refusals.settled()]);
    },
  };
}

async function openChain(store: Store, chain: AuditChain, clock: Clock, keep: number) {
  const prefix = `/nautilus/audit/${chain}/`;
  const keyOf = (sequence: number) =>
    new TextEncoder().encode(prefix + sequence.toString(16).padStart(14, "0"));
  const all = { key: keyOf(0), rangeEnd: new TextEncoder().encode(`/nautilus/audit/${chain}0`) };
  const [first] = (await store.range("system", { ...all, limit: 1 })).kvs;
  let oldest = first === undefined ? 1 : decode(first.value).sequence;
  const { count } = await store.range("system", { ...all, countOnly: true });
  let newest = oldest + count - 1;
  let head = NO_RECORD_HASH;
  if (count > 0) {
    const [last] = (await store.range("system", { key: keyOf(newest) })).kvs;
    if (last === undefined) {
      throw new StoreError("format", `the audit log (${chain}) has a gap before ${newest}`);
    }
    head = decode(last.value).hash;
  }
  const waiting: Waiting[] = [];
  let writing: Promise<void> | undefined;

  async function write(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.splice(0, MAX_BATCH);
      try {
        await commit(batch);
        for (const { done } of batch) done.resolve();
      } catch (error) {
        for (const { done } of batch) done.reject(error);
      }
    }
    writing = undefined;
  }

  async function commit(batch: readonly Waiting[]): Promise<void> {
    let [sequence, previous] = [newest, head];
    const success: Operation[] = batch.map(({ event, suppressed }) => {
      const record = {
        v: 1 as const,
        chain,
        sequence: ++sequence,
        at_ms: clock(),
        ...event,
        suppressed,
        previous,
      };
      const hash = auditHash(record);
      previous = hash;
      const value = new TextEncoder().encode(JSON.stringify({ ...record, hash }));
      return { type: "put", keyspace: "system", key: keyOf(sequence), value };
    });
    const keepFrom = Math.max(oldest, sequence - keep + 1);
    if (keepFrom > oldest) {
      success.push({
        type: "delete",
        keyspace: "system",
        key: keyOf(oldest),
        rangeEnd: keyOf(keepFrom),
      });
    }
    // A place that is taken would mean that two write one log: then nobody may.
    const compare = [{
      keyspace: "system",
      key: keyOf(newest + 1),
      target: "version",
      result: "equal",
      operand: 0,
    }] as const;
    const { succeeded } = await store.txn({ compare, success, failure: [] });
    if (!succeeded) {
      throw new StoreError("format", `the audit log (${chain}) was written by another`);
    }
    [newest, head, oldest] = [sequence, previous, keepFrom];
  }

  return {
    append(event: AuditEvent, suppressed: number): Promise<void> {
      const done = Promise.withResolvers<void>();
      waiting.push({ event, suppressed, done });
      writing ??= write();
      return done.promise;
    },
    async read(after: number, limit: number): Promise<AuditPage> {
      const page = { newest, oldest, head };
      const from = Math.max(after + 1, oldest);
      if (from > newest) return { records: [], ...page };
      const { kvs } = await store.range("system", {
        key: keyOf(from),
        rangeEnd: keyOf(Math.min(newest, from + limit - 1) + 1),
      });
      return { records: kvs.map(({ value }) => decode(value)), ...page };
    },
    settled: () => writing ?? Promise.resolve(),
  };
}

function decode(value: Uint8Array): AuditRecord {
  try {
    return v.parse(
      AuditRecord,
      JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(value)),
    );
  } catch (cause) {
    throw new StoreError("format", "an audit record cannot be read by this version", {
      cause,
      hint: "start the version of nautilus that wrote it",
    });
  }
}
