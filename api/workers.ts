/**
 * Workers: admission by Seal token, sessions, heartbeats, and who has gone silent. The records live
 * in the `system` keyspace and move no revision that anybody watches; memory holds the same, read
 * at opening, changed only after the store said that a change is durable.
 */
import type { SealTokenClaims } from "../sui/seal_token.ts";
import { prefixRange } from "./k8s/keys.ts";
import { createTokenBucket } from "./middleware/token_bucket.ts";
import { ApiProblem } from "./problem.ts";
import { admit, admitProven } from "./admission.ts";
import type { SignedBeat } from "./beat_signature.ts";
import {
  acceptBeat,
  busy,
  changeState,
  type Entry,
  putWorker,
  unchanged,
  view,
} from "./worker_entry.ts";
import { createRevocationLog } from "./revocation_log.ts";
import type { HeartbeatRequest, RegisterWorkerRequest } from "./schemas.ts";
import { createSessionIndex, type SessionIndex, sessionsOf } from "./session_index.ts";
import type {
  Acknowledgement,
  ProvenEntrant,
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
  type WorkerSession,
  type WorkerState,
} from "./worker_records.ts";

export type {
  Acknowledgement,
  ProvenEntrant,
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
  readonly #index: SessionIndex;
  readonly #revocations = createRevocationLog();

  readonly #openedAtMs: number;

  constructor(options: WorkersOptions) {
    this.#options = options;
    const { sessions, proof, clock } = options;
    this.#index = createSessionIndex(sessions, proof?.signed, clock);
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
    const { validator, clock } = this.#options;
    const { node_id: nodeId, seal_token: token } = request;
    const claims = () => admit(validator, { token, nodeId }, clock());
    const registration = await this.#enter({ nodeId, token, claims, again: claims });
    this.#validated(nodeId, token);
    return registration;
  }

  async admit(entrant: ProvenEntrant): Promise<Registration> {
    const { nodeId, tokenId, claims } = entrant;
    const { proof } = this.#options;
    if (proof === undefined) throw new TypeError("nobody can be admitted by proof here");
    const registration = await this.#enter({
      nodeId,
      token: `seal_${tokenId}`,
      claims,
      again: () => admitProven(() => proof.readToken(tokenId, nodeId)),
      proven: {
        id: proof.random(16).toHex(),
        token_id: tokenId,
        node_key: entrant.nodeKey.toBase64(),
      },
    });
    this.#validated(nodeId, undefined);
    return registration;
  }

  /** Asks for the claims and makes a session of them, unless the chain takes them back meanwhile. */
  async #enter(entrant: Entrant): Promise<Registration> {
    const { sessions, clock, sessionTtlMs, heartbeatTimeoutMs } = this.#options;
    const { nodeId, proven } = entrant;
    const mark = this.#revocations.mark();
    const claims = await entrant.claims();
    const tokenHash = sessions.hash(entrant.token);
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
      const endsAtMs = Math.min(now + sessionTtlMs, claims.expiresAtMs);
      const { token, session } = this.#issue(nodeId, now, endsAtMs, proven, claims.nodeKeyHash);
      const state = known && existing.record.state === "active" ? "active" : "ready";
      const record: WorkerRecord = {
        v: 1,
        node_id: nodeId,
        state,
        token_hash: tokenHash,
        ...standing(claims),
        registered_at_ms: known ? existing.record.registered_at_ms : now,
        state_changed_at_ms: existing?.record.state === state
          ? existing.record.state_changed_at_ms
          : now,
        ...(proven === undefined ? {} : { admission: proven }),
        session,
      };
      if (!await this.#write(existing, record)) continue;
      if (this.#revocations.since(nodeId, mark)) await this.#confirm(entrant, session.hash);
      return {
        nodeId,
        created: existing === undefined,
        state,
        sessionToken: token,
        sessionExpiresAtMs: session.expires_at_ms,
        heartbeatTimeoutMs,
      };
    }
    throw busy(nodeId);
  }

  /** The chain spoke of the node while it entered: what it says now decides. */
  async #confirm(entrant: Entrant, hash: string): Promise<void> {
    try {
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        const mark = this.#revocations.mark();
        await entrant.again();
        if (!this.#revocations.since(entrant.nodeId, mark)) return;
      }
      throw busy(entrant.nodeId);
    } catch (error) {
      for (;;) {
        const entry = this.#entries.get(entrant.nodeId);
        if (entry?.record.session?.hash !== hash) break; // gone already
        const reason = error instanceof ApiProblem ? error.message : "the chain could not be asked";
        if (await this.#write(entry, this.#refuse(entry.record, reason))) break;
      }
      throw error;
    }
  }

  #issue(
    nodeId: string,
    nowMs: number,
    endsAtMs: number,
    admission: WorkerRecord["admission"],
    nodeKeyHash: string,
  ): { readonly token: string; readonly session: WorkerSession } {
    const { sessions, proof } = this.#options;
    if (admission === undefined) {
      const { token, hash } = sessions.issue();
      return { token, session: { hash, expires_at_ms: endsAtMs } };
    }
    if (proof === undefined) throw new TypeError("there is no key to sign sessions with");
    const exp = Math.floor(endsAtMs / 1000);
    const iat = Math.floor(nowMs / 1000);
    const token = proof.signed.issue({ sub: nodeId, sid: admission.id, nodeKeyHash, iat, exp });
    return { token, session: { hash: sessions.hash(token), expires_at_ms: exp * 1000 } };
  }

  async heartbeat(
    sessionToken: string,
    request: HeartbeatRequest,
    beat?: SignedBeat,
  ): Promise<Acknowledgement> {
    const { store, clock } = this.#options;
    const nodeId = request.node_id;
    this.#acceptBeat(sessionToken, nodeId, beat);
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const now = clock();
      const { entry, session } = this.#session(sessionToken, now);
      const activated = entry.record.state === "active"
        ? undefined
        : changeState(entry.record, "active", now);
      // Counts only while the record, and the session in it, stands as it was checked.
      const change = activated === undefined
        ? { compare: [unchanged(nodeId, entry.revision)], operations: [] }
        : await this.#changeTo(activated, entry.revision);
      const heartbeat = heartbeatRecord(request, now, entry);
      const response = await store.txn({
        compare: change.compare,
        success: [{
          type: "put",
          keyspace: "system",
          key: heartbeatKey(nodeId),
          value: encodeRecord(heartbeat),
        }, ...change.operations],
        failure: [],
      });
      if (!response.succeeded) continue;
      if (activated !== undefined) this.#remember(activated, response.revisions.system);
      entry.heartbeat = heartbeat;
      const isDue = session.expires_at_ms - now < this.#options.sessionTtlMs / 2;
      return { receivedAtMs: now, renewed: isDue ? await this.#renew(entry, session) : undefined };
    }
    throw busy(nodeId);
  }

  async leave(sessionToken: string, nodeId: string, beat?: SignedBeat): Promise<void> {
    this.#acceptBeat(sessionToken, nodeId, beat);
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const now = this.#options.clock();
      const { entry } = this.#session(sessionToken, now);
      const { session: _, ...rest } = entry.record;
      const record = { ...changeState(rest, "lost", now), refusal: "the worker left" };
      if (await this.#write(entry, record)) return;
    }
    throw busy(nodeId);
  }

  onSessionEnd(nodeId: string, ended: () => void): () => void {
    const entry = this.#entries.get(nodeId);
    if (entry?.record.session === undefined) ended();
    return this.#index.onEnd(nodeId, ended);
  }

  /** Once for each request: rate, node, signature, sequence. @throws {ApiProblem} */
  #acceptBeat(sessionToken: string, nodeId: string, beat: SignedBeat | undefined): void {
    const { entry } = this.#session(sessionToken, this.#options.clock());
    const wait = entry.beats.take();
    if (wait !== undefined) {
      throw new ApiProblem(429, "too_many_heartbeats", "this session beats too often", {
        retryAfterSeconds: wait,
      });
    }
    if (entry.record.node_id !== nodeId) {
      throw new ApiProblem(403, "wrong_node", "the session belongs to another node", {
        field: "node_id",
      });
    }
    acceptBeat(entry, beat);
  }

  /**
   * A new session, once the chain was read again. A chain that cannot be asked renews nothing and
   * ends nothing: the session has its own end.
   *
   * @throws {ApiProblem} the refusal, where the chain took the permission back
   */
  async #renew(entry: Entry, used: WorkerSession): Promise<Acknowledgement["renewed"]> {
    const { proof, clock, sessionTtlMs } = this.#options;
    const { admission, node_id: nodeId } = entry.record;
    if (admission === undefined || proof === undefined || entry.renewing) return undefined;
    entry.renewing = true;
    try {
      const claims = await admitProven(() => proof.readToken(admission.token_id, nodeId));
      const { record } = entry;
      // Whatever happened to the worker while the chain was asked stands.
      if (record.admission?.id !== admission.id || record.session === undefined) return undefined;
      const now = clock();
      const endsAtMs = Math.min(now + sessionTtlMs, claims.expiresAtMs);
      const { hash, expires_at_ms } = used;
      if (endsAtMs - expires_at_ms < 1_000) return undefined;
      const { token, session } = this.#issue(
        nodeId,
        now,
        endsAtMs,
        admission,
        claims.nodeKeyHash,
      );
      const renewed: WorkerRecord = {
        ...record,
        ...standing(claims),
        session: { ...session, previous: { hash, expires_at_ms } },
      };
      if (!await this.#write(entry, renewed)) return undefined; // the next beat tries again
      entry.validatedAtMs = now;
      return { sessionToken: token, expiresAtMs: session.expires_at_ms };
    } catch (error) {
      if (!(error instanceof ApiProblem)) throw error;
      if (error.status >= 500) return undefined;
      if (entry.record.admission?.id === admission.id && entry.record.session !== undefined) {
        await this.#write(entry, this.#refuse(entry.record, error.message));
      }
      throw error;
    } finally {
      entry.renewing = false;
    }
  }

  authenticate(sessionToken: string): string | undefined {
    const found = this.#find(sessionToken);
    return found !== undefined && this.#options.clock() < found.session.expires_at_ms
      ? found.entry.record.node_id
      : undefined;
  }

  async sweep(): Promise<SweepResult> {
    const { clock } = this.#options;
    const now = clock();
    const lost: string[] = [];
    for (const [nodeId, entry] of this.#entries) {
      if (!sessionsOf(entry.record).some((session) => now < session.expires_at_ms)) {
        this.#index.end(nodeId);
      }
      if (entry.record.state !== "ready" && entry.record.state !== "active") continue;
      if (!this.#isSilent(entry, now)) continue;
      const record = changeState(entry.record, "lost", now);
      if (await this.#write(entry, record)) lost.push(nodeId);
    }
    const { refused, unreachable } = await this.#revalidate(now);
    return { lost, refused, unreachable };
  }

  async planStatusChange(nodeId: string, status: string): Promise<WorkerChange | undefined> {
    if (status !== "active") this.#revocations.note(nodeId);
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
    this.#revocations.note(nodeId);
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

  #find(
    sessionToken: string,
  ): { readonly entry: Entry; readonly session: WorkerSession } | undefined {
    const found = this.#index.find(sessionToken);
    const entry = found === undefined ? undefined : this.#entries.get(found.nodeId);
    if (found === undefined || entry === undefined) return undefined;
    const session = sessionsOf(entry.record).find(({ hash }) => hash === found.hash);
    return session === undefined ? undefined : { entry, session };
  }

  /** @throws {ApiProblem} 401 with what is wrong about the session. */
  #session(
    sessionToken: string,
    now: number,
  ): { readonly entry: Entry; readonly session: WorkerSession } {
    const refusal = (code: string, detail: string) =>
      new ApiProblem(401, code, detail, {
        hint: "register again to get a session token",
        headers: { "WWW-Authenticate": "SealToken" },
      });
    const found = this.#find(sessionToken);
    if (found === undefined) {
      throw refusal("session_unknown", "X-Seal-Token is no session token of this master");
    }
    if (now >= found.session.expires_at_ms) {
      throw refusal("session_expired", "the session has ended");
    }
    return found;
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
    this.#index.replace(existing?.record, record);
    if (existing === undefined) {
      this.#entries.set(record.node_id, {
        record,
        revision,
        beats: createTokenBucket(HEARTBEAT_RATE, this.#options.clock),
        heartbeat: undefined,
        proven: undefined,
        renewing: false,
        token: undefined,
        validatedAtMs: 0,
      });
    } else {
      existing.record = record;
      existing.revision = revision;
      if (record.session === undefined) existing.token = undefined;
    }
  }

  #validated(nodeId: string, token: string | undefined): void {
    const entry = this.#entries.get(nodeId);
    if (entry === undefined) return;
    entry.token = token;
    entry.validatedAtMs = this.#options.clock();
  }

  /** How the chain is asked again about a worker; undefined where its session or token is not known. */
  #again({ record, token }: Entry, now: number): (() => Promise<SealTokenClaims>) | undefined {
    const { validator, proof } = this.#options;
    const { node_id: nodeId, admission, session } = record;
    if (admission !== undefined && proof !== undefined && session !== undefined) {
      return () => admitProven(() => proof.readToken(admission.token_id, nodeId));
    }
    return token === undefined ? undefined : () => admit(validator, { token, nodeId }, now);
  }

  async #revalidate(now: number): Promise<{ refused: string[]; unreachable: number }> {
    const { revalidateAfterMs } = this.#options;
    const refused: string[] = [];
    let unreachable = 0;
    const due = [...this.#entries.values()]
      .filter((entry) => now - entry.validatedAtMs >= revalidateAfterMs)
      .flatMap((entry) => {
        const ask = this.#again(entry, now);
        return ask === undefined ? [] : [{ entry, ask }];
      })
      .sort((a, b) => a.entry.validatedAtMs - b.entry.validatedAtMs)
      .slice(0, MAX_REVALIDATIONS);
    await Promise.all(due.map(async ({ entry, ask }) => {
      const { record: { session, owner, node_id: nodeId } } = entry;
      try {
        const claims = await ask();
        if (claims.owner === owner) entry.validatedAtMs = now;
      } catch (error) {
        if (!(error instanceof ApiProblem)) throw error;
        if (error.status >= 500) {
          unreachable++;
          return;
        }
        // The session may have been renewed while the chain was asked: then that answer counts.
        if (entry.record.session?.hash !== session?.hash) return;
        const next = this.#refuse(entry.record, error.message);
        if (await this.#write(entry, next)) refused.push(nodeId);
      }
    }));
    return { refused, unreachable };
  }
}

/** Who wants in, by which token, and how the chain is asked about it. */
interface Entrant {
  readonly nodeId: string;
  /** `seal_0x…`. */
  readonly token: string;
  claims(): Promise<SealTokenClaims>;
  again(): Promise<SealTokenClaims>;
  readonly proven?: NonNullable<WorkerRecord["admission"]>;
}

/** What the chain says of a worker, as the record keeps it. */
function standing(claims: SealTokenClaims) {
  return {
    owner: claims.owner,
    stake_status: claims.stakeStatus,
    stake_amount: claims.stakeMist.toString(),
    permissions: [...claims.permissions],
    token_expires_at_ms: claims.expiresAtMs,
  };
}

function heartbeatRecord(request: HeartbeatRequest, now: number, entry: Entry): HeartbeatRecord {
  const { proven } = entry;
  return {
    v: 1,
    // The highest that was let through, not this one's: beats may come to be written out of order.
    ...(proven === undefined ? {} : { admission: proven.id, sequence: proven.sequence }),
    received_at_ms: now,
    reported_at: request.timestamp,
    stake_status: request.stake_status,
    stake_amount: String(request.stake_amount),
    running_pods: request.running_pods,
    resource_usage: request.resource_usage,
  };
}
