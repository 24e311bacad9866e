/**
 * Workers: admission by Seal token, sessions, heartbeats, and who has gone silent. The records live
 * in the `system` keyspace and move no revision that anybody watches; memory holds the same, read
 * at opening, changed only after the store said that a change is durable.
 */
import type { Operation } from "../store/mod.ts";
import type { SealTokenClaims } from "../sui/seal_token.ts";
import { prefixRange } from "./k8s/keys.ts";
import { createTokenBucket } from "./middleware/token_bucket.ts";
import { ApiProblem } from "./problem.ts";
import { admit } from "./admission.ts";
import { busy, changeState, type Entry, putWorker, unchanged, view } from "./worker_entry.ts";
import type { HeartbeatRequest, RegisterWorkerRequest } from "./schemas.ts";
import { looksLikeSessionToken } from "./session_tokens.ts";
import type {
  Registration,
  SweepResult,
  WorkerChange,
  Workers,
  WorkersOptions,
  WorkerView,
} from "./worker_types.ts";
import {
  decodeHeartbeat,
  decodeWorker,
  encodeRecord,
  HEARTBEAT_PREFIX,
  heartbeatKey,
  type HeartbeatRecord,
  WORKER_PREFIX,
  type WorkerRecord,
  type WorkerState,
} from "./worker_records.ts";

export type {
  Registration,
  SweepResult,
  WorkerChange,
  Workers,
  WorkersOptions,
  WorkerView,
} from "./worker_types.ts";

/** Heartbeats of one session; a worker beats every 30 s. */
const HEARTBEAT_RATE = { perSecond: 2, burst: 20 } as const;

const MAX_ATTEMPTS = 8;
/** Tokens asked about in one sweep; the rest are due the next time. */
const MAX_REVALIDATIONS = 64;

/** Reads the workers of the store. */
export async function openWorkers(options: WorkersOptions): Promise<Workers> {
  const workers = new WorkerService(options);
  await workers.load();
  return workers;
}

class WorkerService implements Workers {
  readonly #options: WorkersOptions;
  readonly #entries = new Map<string, Entry>();
  /** Session hash → node id. */
  readonly #bySession = new Map<string, string>();

  readonly #openedAtMs: number;

  constructor(options: WorkersOptions) {
    this.#options = options;
    this.#openedAtMs = options.clock();
  }

  async load(): Promise<void> {
    const { store } = this.#options;
    const records = await store.range("system", prefixRange(WORKER_PREFIX));
    for (const kv of records.kvs) {
      this.#remember(decodeWorker(kv.value), kv.modRevision);
    }
    const decoder = new TextDecoder();
    const heartbeats = await store.range("system", prefixRange(HEARTBEAT_PREFIX));
    for (const kv of heartbeats.kvs) {
      const entry = this.#entries.get(decoder.decode(kv.key).slice(HEARTBEAT_PREFIX.length));
      if (entry !== undefined) entry.heartbeat = decodeHeartbeat(kv.value);
    }
  }

  async register(request: RegisterWorkerRequest): Promise<Registration> {
    const { sessions, validator, clock, sessionTtlMs, heartbeatTimeoutMs } = this.#options;
    const nodeId = request.node_id;
    const claims = await admit(validator, { token: request.seal_token, nodeId }, clock());
    const tokenHash = sessions.hash(request.seal_token);
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const now = clock();
      const existing = this.#entries.get(nodeId);
      const known = existing?.record.token_hash === tokenHash;
      if (existing !== undefined && !known && this.#isLive(existing.record, now)) {
        throw new ApiProblem(
          409,
          "node_taken",
          `node "${nodeId}" is registered with another Seal token and is still heard of`,
          { field: "node_id", hint: "choose another node id, or stop the other worker first" },
        );
      }
      const { token, hash } = sessions.issue();
      const expiresAtMs = Math.min(now + sessionTtlMs, claims.expiresAtMs);
      const state = known && existing.record.state === "active" ? "active" : "ready";
      const record: WorkerRecord = {
        v: 1,
        node_id: nodeId,
        state,
        token_hash: tokenHash,
        owner: claims.owner,
        stake_status: claims.stakeStatus,
        stake_amount: claims.stakeMist.toString(),
        permissions: [...claims.permissions],
        token_expires_at_ms: claims.expiresAtMs,
        registered_at_ms: known ? existing.record.registered_at_ms : now,
        state_changed_at_ms: existing?.record.state === state
          ? existing.record.state_changed_at_ms
          : now,
        session: { hash, expires_at_ms: expiresAtMs },
      };
      if (!await this.#write(existing, record)) continue;
      this.#validated(nodeId, request.seal_token, now);
      return {
        nodeId,
        created: existing === undefined,
        state,
        sessionToken: token,
        sessionExpiresAtMs: expiresAtMs,
        heartbeatTimeoutMs,
      };
    }
    throw busy(nodeId);
  }

  async heartbeat(
    sessionToken: string,
    request: HeartbeatRequest,
  ): Promise<{ receivedAtMs: number }> {
    const { store, clock } = this.#options;
    const nodeId = request.node_id;
    const wait = this.#session(sessionToken, clock()).beats.take();
    if (wait !== undefined) {
      throw new ApiProblem(429, "too_many_heartbeats", "this session beats too often", {
        retryAfterSeconds: wait,
      });
    }
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const now = clock();
      const entry = this.#session(sessionToken, now);
      if (entry.record.node_id !== nodeId) {
        throw new ApiProblem(403, "wrong_node", "the session belongs to another node", {
          field: "node_id",
        });
      }
      const heartbeat: HeartbeatRecord = {
        v: 1,
        received_at_ms: now,
        reported_at: request.timestamp,
        stake_status: request.stake_status,
        stake_amount: String(request.stake_amount),
        running_pods: request.running_pods,
        resource_usage: request.resource_usage,
      };
      const heartbeatPut: Operation = {
        type: "put",
        keyspace: "system",
        key: heartbeatKey(nodeId),
        value: encodeRecord(heartbeat),
      };
      const record = entry.record.state === "active"
        ? undefined
        : changeState(entry.record, "active", now);
      // Counts only while the record, and the session in it, stands as it was checked.
      const change = record === undefined
        ? { compare: [unchanged(nodeId, entry.revision)], operations: [] }
        : await this.#changeTo(record, entry.revision);
      const response = await store.txn({
        compare: change.compare,
        success: [heartbeatPut, ...change.operations],
        failure: [],
      });
      if (!response.succeeded) continue;
      if (record !== undefined) this.#remember(record, response.revisions.system);
      entry.heartbeat = heartbeat;
      return { receivedAtMs: now };
    }
    throw busy(nodeId);
  }

  authenticate(sessionToken: string): string | undefined {
    if (!looksLikeSessionToken(sessionToken)) return undefined;
    const nodeId = this.#bySession.get(this.#options.sessions.hash(sessionToken));
    if (nodeId === undefined) return undefined;
    const session = this.#entries.get(nodeId)?.record.session;
    return session !== undefined && this.#options.clock() < session.expires_at_ms
      ? nodeId
      : undefined;
  }

  async sweep(): Promise<SweepResult> {
    const { clock } = this.#options;
    const now = clock();
    const lost: string[] = [];
    for (const [nodeId, entry] of this.#entries) {
      if (entry.record.state !== "ready" && entry.record.state !== "active") continue;
      if (!this.#isSilent(entry, now)) continue;
      const record = changeState(entry.record, "lost", now);
      if (await this.#write(entry, record)) lost.push(nodeId);
    }
    const { refused, unreachable } = await this.#revalidate(now);
    return { lost, refused, unreachable };
  }

  async planStatusChange(nodeId: string, status: string): Promise<WorkerChange | undefined> {
    const entry = this.#entries.get(nodeId);
    if (entry === undefined) return undefined;
    if (status === "active") {
      // Good standing again opens no door by itself: the worker registers anew.
      return await this.#change(entry, { ...entry.record, stake_status: status });
    }
    return await this.#change(entry, {
      ...this.#refuse(entry.record, `the chain says ${status}`),
      stake_status: status,
    });
  }

  async planTokenRevoked(nodeId: string, token: string): Promise<WorkerChange | undefined> {
    const entry = this.#entries.get(nodeId);
    if (entry?.record.token_hash !== this.#options.sessions.hash(token)) return undefined;
    return await this.#change(entry, this.#refuse(entry.record, "the Seal token was revoked"));
  }

  list(): readonly WorkerView[] {
    return Array.from(this.#entries.values(), view);
  }

  get(nodeId: string): WorkerView | undefined {
    const entry = this.#entries.get(nodeId);
    return entry === undefined ? undefined : view(entry);
  }

  counts(): Readonly<Record<WorkerState, number>> {
    const counts = { ready: 0, active: 0, lost: 0, refused: 0 };
    for (const { record } of this.#entries.values()) counts[record.state]++;
    return counts;
  }

  /** @throws {ApiProblem} 401 with what is wrong about the session. */
  #session(sessionToken: string, now: number): Entry {
    const refusal = (code: string, detail: string) =>
      new ApiProblem(401, code, detail, {
        hint: "register again to get a session token",
        headers: { "WWW-Authenticate": "SealToken" },
      });
    const nodeId = looksLikeSessionToken(sessionToken)
      ? this.#bySession.get(this.#options.sessions.hash(sessionToken))
      : undefined;
    const entry = nodeId === undefined ? undefined : this.#entries.get(nodeId);
    if (entry?.record.session === undefined) {
      throw refusal("session_unknown", "X-Seal-Token is no session token of this master");
    }
    if (now >= entry.record.session.expires_at_ms) {
      throw refusal("session_expired", "the session has ended");
    }
    return entry;
  }

  /** Still holds its name: registered and not silent, and its token is good. */
  #isLive(record: WorkerRecord, now: number): boolean {
    return (record.state === "ready" || record.state === "active") &&
      now < record.token_expires_at_ms;
  }

  #isSilent({ record, heartbeat }: Entry, now: number): boolean {
    // Nobody is lost for what could not be heard while the master was down.
    const heard = Math.max(
      record.state_changed_at_ms,
      heartbeat?.received_at_ms ?? 0,
      this.#openedAtMs,
    );
    return now - heard > this.#options.heartbeatTimeoutMs;
  }

  /** Without its session, and with the reason. */
  #refuse(record: WorkerRecord, refusal: string): WorkerRecord {
    const { session: _, ...rest } = record;
    return { ...rest, state: "refused", refusal, state_changed_at_ms: this.#options.clock() };
  }

  async #change(entry: Entry, record: WorkerRecord): Promise<WorkerChange> {
    return {
      ...await this.#changeTo(record, entry.revision),
      applied: (revision) => this.#remember(record, revision),
    };
  }

  /** The record, guarded by the revision it was made from, and the worker's Node with it. */
  async #changeTo(
    record: WorkerRecord,
    revision: number,
  ): Promise<Pick<WorkerChange, "compare" | "operations">> {
    const node = await this.#options.nodes.plan({
      nodeId: record.node_id,
      state: record.state,
      owner: record.owner,
      stakeStatus: record.stake_status,
      reason: record.refusal,
    });
    return {
      compare: [unchanged(record.node_id, revision), ...node.compare],
      operations: [putWorker(record), ...node.operations],
    };
  }

  /** @returns whether it was written; false: somebody else was faster. */
  async #write(existing: Entry | undefined, record: WorkerRecord): Promise<boolean> {
    const { compare, operations } = await this.#changeTo(record, existing?.revision ?? 0);
    const response = await this.#options.store.txn({ compare, success: operations, failure: [] });
    if (response.succeeded) this.#remember(record, response.revisions.system);
    return response.succeeded;
  }

  #remember(record: WorkerRecord, revision: number): void {
    const existing = this.#entries.get(record.node_id);
    // Two commits may report back in the other order; the newer one stands.
    if (existing !== undefined && existing.revision > revision) return;
    const old = existing?.record.session?.hash;
    if (old !== undefined && old !== record.session?.hash) this.#bySession.delete(old);
    if (record.session !== undefined) this.#bySession.set(record.session.hash, record.node_id);
    if (existing === undefined) {
      this.#entries.set(record.node_id, {
        record,
        revision,
        beats: createTokenBucket(HEARTBEAT_RATE, this.#options.clock),
        heartbeat: undefined,
        token: undefined,
        validatedAtMs: 0,
      });
    } else {
      existing.record = record;
      existing.revision = revision;
      if (record.session === undefined) existing.token = undefined;
    }
  }

  #validated(nodeId: string, token: string, now: number): void {
    const entry = this.#entries.get(nodeId);
    if (entry === undefined) return;
    entry.token = token;
    entry.validatedAtMs = now;
  }

  async #revalidate(now: number): Promise<{ refused: string[]; unreachable: number }> {
    const { validator, revalidateAfterMs } = this.#options;
    const refused: string[] = [];
    let unreachable = 0;
    if (validator === undefined) return { refused, unreachable };
    const due = [...this.#entries.values()]
      .filter((entry) =>
        entry.token !== undefined && now - entry.validatedAtMs >= revalidateAfterMs
      )
      .sort((a, b) => a.validatedAtMs - b.validatedAtMs)
      .slice(0, MAX_REVALIDATIONS);
    await Promise.all(due.map(async (entry) => {
      const { token, record } = entry;
      if (token === undefined) return;
      let claims: SealTokenClaims;
      try {
        claims = await admit(validator, { token, nodeId: record.node_id }, now);
      } catch (error) {
        if (!(error instanceof ApiProblem)) throw error;
        if (error.status >= 500) {
          unreachable++;
          return;
        }
        // The session may have been renewed while the chain was asked: then that answer counts.
        if (entry.token !== token) return;
        const next = this.#refuse(entry.record, error.message);
        if (await this.#write(entry, next)) refused.push(record.node_id);
        return;
      }
      if (entry.token === token && claims.owner === entry.record.owner) entry.validatedAtMs = now;
    }));
    return { refused, unreachable };
  }
}
