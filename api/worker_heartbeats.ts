/** Heartbeats and leaving: what a worker does under its session, and how a session is renewed. */
import { admitAgain } from "./admission.ts";
import type { SignedBeat } from "./beat_signature.ts";
import { directVerifier } from "./node_key_verifier.ts";
import { ApiProblem } from "./problem.ts";
import type { HeartbeatRequest } from "./schemas.ts";
import { evidenceEndMs, sessionEndMs } from "./worker_evidence.ts";
import { acceptBeat, busy, changeState, type Entry, unchanged } from "./worker_entry.ts";
import {
  encodeRecord,
  heartbeatKey,
  type HeartbeatRecord,
  type WorkerRecord,
  type WorkerSession,
} from "./worker_records.ts";
import type { FoundSession, WorkerRoster } from "./worker_roster.ts";
import { issueSession, MAX_ATTEMPTS, standing } from "./worker_session_issue.ts";
import { shownBy, type WorkerStatusWriter } from "./worker_status.ts";
import type { Acknowledgement } from "./worker_types.ts";

export interface WorkerHeartbeats {
  heartbeat(
    sessionToken: string,
    request: HeartbeatRequest,
    beat?: SignedBeat,
  ): Promise<Acknowledgement>;
  leave(sessionToken: string, nodeId: string, beat?: SignedBeat): Promise<void>;
}

export function createWorkerHeartbeats(
  roster: WorkerRoster,
  status: WorkerStatusWriter,
): WorkerHeartbeats {
  const { options } = roster;
  const { store, clock, sessionTtlMs } = options;

  /** Once for each request: rate, node, signature, sequence. @throws {ApiProblem} */
  async function accept(
    sessionToken: string,
    nodeId: string,
    beat: SignedBeat | undefined,
  ): Promise<FoundSession> {
    const found = roster.session(sessionToken, clock());
    const { entry, digest } = found;
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
    await acceptBeat(
      entry,
      beat === undefined ? undefined : { ...beat, tokenDigest: digest },
      options.verifier ?? directVerifier,
    );
    return found;
  }

  /**
   * A new session, once the chain was read again. A chain that cannot be asked renews nothing and
   * ends nothing: the session has its own end.
   *
   * @throws {ApiProblem} the refusal, where the chain took the permission back
   */
  async function renew(entry: Entry, used: WorkerSession): Promise<Acknowledgement["renewed"]> {
    const { proof } = options;
    const { admission, node_id: nodeId } = entry.record;
    if (admission === undefined || proof === undefined || entry.renewing) return undefined;
    // What the evidence relies on ends first: nothing that the chain says makes it longer.
    const evidenceEndsAtMs = evidenceEndMs(admission.evidence, options.appraiser);
    const latest = sessionEndMs(clock(), sessionTtlMs, Infinity, evidenceEndsAtMs);
    if (latest - used.expires_at_ms < 1_000) return undefined;
    entry.renewing = true;
    try {
      const held = { owner: entry.record.owner, nodeKey: admission.node_key };
      const claims = await admitAgain(() => proof.readToken(admission.token_id, nodeId), held);
      const { record } = entry;
      // Whatever happened to the worker while the chain was asked stands.
      if (record.admission?.id !== admission.id || record.session === undefined) return undefined;
      const now = clock();
      const endsAtMs = sessionEndMs(now, sessionTtlMs, claims.expiresAtMs, evidenceEndsAtMs);
      const { hash, expires_at_ms } = used;
      if (endsAtMs - expires_at_ms < 1_000) return undefined;
      const { token, session } = issueSession(options, {
        nodeId,
        nowMs: now,
        endsAtMs,
        admission,
        nodeKeyHash: claims.nodeKeyHash,
      });
      const renewed: WorkerRecord = {
        ...record,
        ...standing(claims),
        session: { ...session, previous: { hash, expires_at_ms } },
      };
      if (!await roster.write(entry, renewed)) return undefined; // the next beat tries again
      entry.validatedAtMs = now;
      return { sessionToken: token, expiresAtMs: session.expires_at_ms };
    } catch (error) {
      if (!(error instanceof ApiProblem)) throw error;
      if (error.status >= 500) return undefined;
      if (entry.record.admission?.id === admission.id && entry.record.session !== undefined) {
        await roster.write(entry, roster.refuse(entry.record, error.message));
      }
      throw error;
    } finally {
      entry.renewing = false;
    }
  }

  return {
    async heartbeat(sessionToken, request, beat) {
      const nodeId = request.node_id;
      const accepted = await accept(sessionToken, nodeId, beat);
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        const now = clock();
        const { entry, session } = roster.again(accepted, now);
        const activated = entry.record.state === "active"
          ? undefined
          : changeState(entry.record, "active", now);
        // Counts only while the record, and the session in it, stands as it was checked.
        const heartbeat = heartbeatRecord(request, now, entry);
        const change = activated === undefined
          ? { compare: [unchanged(nodeId, entry.revision)], operations: [] }
          : await roster.changeTo(activated, entry.revision, heartbeat);
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
        if (activated !== undefined) {
          roster.remember(activated, response.revisions.system);
          // The Node was just written; its Lease is due.
          entry.shown = { ...shownBy(heartbeat, entry.shown, now), leaseAtMs: 0 };
        }
        entry.heartbeat = heartbeat;
        status.note(entry);
        const isDue = session.expires_at_ms - now < sessionTtlMs / 2;
        return { receivedAtMs: now, renewed: isDue ? await renew(entry, session) : undefined };
      }
      throw busy(nodeId);
    },

    async leave(sessionToken, nodeId, beat) {
      const accepted = await accept(sessionToken, nodeId, beat);
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        const now = clock();
        const { entry } = roster.again(accepted, now);
        const { session: _, ...rest } = entry.record;
        const record = { ...changeState(rest, "lost", now), refusal: "the worker left" };
        if (await roster.write(entry, record)) return;
      }
      throw busy(nodeId);
    },
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
    ...(request.capacity === undefined ? {} : { capacity: request.capacity }),
  };
}
