/**
 * Who is known here: records and sessions in memory as they stand in the store, changed only after
 * the store said that a change is durable.
 */
import { decodeKey, prefixRange } from "./k8s/keys.ts";
import { createTokenBucket } from "./middleware/token_bucket.ts";
import { ApiProblem } from "./problem.ts";
import { createSessionIndex, type SessionIndex, sessionsOf } from "./session_index.ts";
import { evidenceEndMs, isAppraised } from "./worker_evidence.ts";
import { type Entry, factsOf, putWorker, unchanged } from "./worker_entry.ts";
import {
  decodeHeartbeat,
  decodeWorker,
  HEARTBEAT_PREFIX,
  heartbeatKey,
  WORKER_PREFIX,
  workerKey,
  type WorkerRecord,
  type WorkerSession,
} from "./worker_records.ts";
import type { WorkerChange, WorkersOptions } from "./worker_types.ts";

/** Heartbeats of one session; a worker beats every 30 s. */
const HEARTBEAT_RATE = { perSecond: 2, burst: 20 } as const;

/** A session token's worker, and which of its sessions it is. */
export interface FoundSession {
  readonly entry: Entry;
  readonly session: WorkerSession;
  /** SHA-256 of the token, hex. */
  readonly digest: string;
}

/** Made by `openRoster`; shared by the parts of the worker service. */
export class WorkerRoster {
  readonly options: WorkersOptions;
  readonly index: SessionIndex;
  readonly #entries = new Map<string, Entry>();

  constructor(options: WorkersOptions) {
    this.options = options;
    this.index = createSessionIndex(options.sessions, options.proof?.signed, options.clock);
  }

  /** Reads the workers of the store. */
  async load(): Promise<void> {
    const { store } = this.options;
    const records = await store.range("system", prefixRange(WORKER_PREFIX));
    for (const kv of records.kvs) {
      const { session, ...rest } = decodeWorker(kv.value);
      // What was let in before the operator demanded evidence, by another policy, or on evidence that
      // is too old by now, asks again.
      const { appraiser, clock } = this.options;
      const stands = session !== undefined && isAppraised(rest, appraiser, clock());
      const endsAtMs = evidenceEndMs(rest.admission?.evidence, appraiser);
      const record = stands ? { ...rest, session: endingBy(session, endsAtMs) } : rest;
      this.remember(record, kv.modRevision);
    }
    const heartbeats = await store.range("system", prefixRange(HEARTBEAT_PREFIX));
    for (const kv of heartbeats.kvs) {
      const entry = this.#entries.get(decodeKey(kv.key).slice(HEARTBEAT_PREFIX.length));
      if (entry !== undefined) entry.heartbeat = decodeHeartbeat(kv.value);
    }
  }

  get(nodeId: string): Entry | undefined {
    return this.#entries.get(nodeId);
  }

  entries(): Iterable<Entry> {
    return this.#entries.values();
  }

  /** The worker and the session of a token, ended or not. */
  find(sessionToken: string): FoundSession | undefined {
    const found = this.index.find(sessionToken);
    const entry = found === undefined ? undefined : this.#entries.get(found.nodeId);
    if (found === undefined || entry === undefined) return undefined;
    const session = sessionsOf(entry.record).find(({ hash }) => hash === found.hash);
    return session === undefined ? undefined : { entry, session, digest: found.digest };
  }

  /** @throws {ApiProblem} 401 with what is wrong about the session. */
  session(sessionToken: string, now: number): FoundSession {
    return this.#live(this.find(sessionToken), now);
  }

  /** The same session as it stands now. @throws {ApiProblem} as `session` */
  again({ entry, session, digest }: FoundSession, now: number): FoundSession {
    const current = this.#entries.get(entry.record.node_id);
    const still = current === undefined
      ? undefined
      : sessionsOf(current.record).find(({ hash }) => hash === session.hash);
    const found = current === undefined || still === undefined
      ? undefined
      : { entry: current, session: still, digest };
    return this.#live(found, now);
  }

  #live(found: FoundSession | undefined, now: number): FoundSession {
    if (found === undefined) {
      throw sessionRefused(
        "session_unknown",
        "X-Seal-Token is no session token of this master",
      );
    }
    if (now >= found.session.expires_at_ms) {
      throw sessionRefused("session_expired", "the session has ended");
    }
    return found;
  }

  /** Without its session, and with the reason. */
  refuse(record: WorkerRecord, refusal: string): WorkerRecord {
    const { session: _, ...rest } = record;
    return { ...rest, state: "refused", refusal, state_changed_at_ms: this.options.clock() };
  }

  /** A change for a transaction that carries more. */
  async change(entry: Entry, record: WorkerRecord): Promise<WorkerChange> {
    return {
      ...await this.changeTo(record, entry.revision),
      applied: (revision) => this.remember(record, revision),
    };
  }

  /** The record, guarded by the revision it was made from, and the worker's Node with it. */
  async changeTo(
    record: WorkerRecord,
    revision: number,
    heartbeat = this.#entries.get(record.node_id)?.heartbeat,
  ): Promise<Pick<WorkerChange, "compare" | "operations">> {
    const node = await this.options.nodes.plan(factsOf(record, heartbeat));
    return {
      compare: [unchanged(record.node_id, revision), ...node.compare],
      operations: [putWorker(record), ...node.operations],
    };
  }

  /** @returns whether it was written; false: somebody else was faster. */
  async write(existing: Entry | undefined, record: WorkerRecord): Promise<boolean> {
    const { compare, operations } = await this.changeTo(record, existing?.revision ?? 0);
    const response = await this.options.store.txn({ compare, success: operations, failure: [] });
    if (response.succeeded) this.remember(record, response.revisions.system);
    return response.succeeded;
  }

  /** @param revision of the `system` keyspace, at which the record became durable */
  remember(record: WorkerRecord, revision: number): void {
    const existing = this.#entries.get(record.node_id);
    // Two commits may report back in the other order; the newer one stands.
    if (existing !== undefined && existing.revision > revision) return;
    this.index.replace(existing?.record, record);
    if (existing === undefined) {
      this.#entries.set(record.node_id, {
        record,
        revision,
        beats: createTokenBucket(HEARTBEAT_RATE, this.options.clock),
        heartbeat: undefined,
        proven: undefined,
        shown: undefined,
        renewing: false,
        token: undefined,
        validatedAtMs: 0,
      });
      return;
    }
    existing.record = record;
    existing.revision = revision;
    if (record.session === undefined) existing.token = undefined;
  }

  /** The worker is gone for good: record, heartbeat, Node and Lease, and with them its session. */
  async remove(entry: Entry): Promise<boolean> {
    const { record, revision } = entry;
    const { node_id: nodeId } = record;
    const node = await this.options.nodes.planRemoval(nodeId);
    const response = await this.options.store.txn({
      compare: [unchanged(nodeId, revision), ...node.compare],
      success: [
        { type: "delete", keyspace: "system", key: workerKey(nodeId) },
        { type: "delete", keyspace: "system", key: heartbeatKey(nodeId) },
        ...node.operations,
      ],
      failure: [],
    });
    // Somebody may have registered under the name the moment after.
    if (response.succeeded && this.#entries.get(nodeId) === entry && entry.revision === revision) {
      this.#entries.delete(nodeId);
      this.index.forget(record);
    }
    return response.succeeded;
  }

  /** The chain has just vouched for the worker. @param token a bearer's, to ask again with */
  validated(nodeId: string, token: string | undefined): void {
    const entry = this.#entries.get(nodeId);
    if (entry === undefined) return;
    entry.token = token;
    entry.validatedAtMs = this.options.clock();
  }
}

/** Reads the workers of the store. */
export async function openRoster(options: WorkersOptions): Promise<WorkerRoster> {
  const roster = new WorkerRoster(options);
  await roster.load();
  return roster;
}

/** The session, and the one before it, with this end at the latest. */
function endingBy(
  session: NonNullable<WorkerRecord["session"]>,
  endsAtMs: number,
): NonNullable<WorkerRecord["session"]> {
  const cap = <T extends WorkerSession>(one: T): T => ({
    ...one,
    expires_at_ms: Math.min(one.expires_at_ms, endsAtMs),
  });
  const { previous } = session;
  return { ...cap(session), ...(previous === undefined ? {} : { previous: cap(previous) }) };
}

function sessionRefused(code: string, detail: string): ApiProblem {
  return new ApiProblem(401, code, detail, {
    hint: "register again to get a session token",
    headers: { "WWW-Authenticate": "SealToken" },
  });
}
