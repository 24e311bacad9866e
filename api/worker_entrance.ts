/** The door: a session for whom the chain vouches, unless it takes that back meanwhile. */
import type { SealTokenClaims } from "../sui/seal_token.ts";
import { admit, admitAgain } from "./admission.ts";
import { ApiProblem } from "./problem.ts";
import type { RevocationLog } from "./revocation_log.ts";
import type { RegisterWorkerRequest } from "./schemas.ts";
import { busy } from "./worker_entry.ts";
import {
  evidenceEndMs,
  evidenceMissing,
  type ProvenClaims,
  sessionEndMs,
} from "./worker_evidence.ts";
import type { WorkerRecord } from "./worker_records.ts";
import type { WorkerRoster } from "./worker_roster.ts";
import { issueSession, MAX_ATTEMPTS, standing } from "./worker_session_issue.ts";
import type { ProvenEntrant, Registration } from "./worker_types.ts";

export interface WorkerEntrance {
  register(request: RegisterWorkerRequest): Promise<Registration>;
  admit(entrant: ProvenEntrant): Promise<Registration>;
}

/** Who wants in, by which token, and how the chain is asked about it. */
interface Entrant {
  readonly nodeId: string;
  /** `seal_0x…`. */
  readonly token: string;
  claims(): Promise<ProvenClaims>;
  /** @param owner as the chain had it the first time */
  again(owner: string): Promise<SealTokenClaims>;
  readonly proven?: NonNullable<WorkerRecord["admission"]>;
}

export function createWorkerEntrance(
  roster: WorkerRoster,
  revocations: RevocationLog,
): WorkerEntrance {
  const { options } = roster;

  /** Asks for the claims and makes a session of them. */
  async function enter(entrant: Entrant): Promise<Registration> {
    const { sessions, clock, sessionTtlMs, heartbeatTimeoutMs } = options;
    const { nodeId } = entrant;
    const mark = revocations.mark();
    const claims = await entrant.claims();
    const { evidence } = claims;
    // Whoever comes by another way than the proof has shown none.
    if (options.appraiser !== undefined && evidence === undefined) throw evidenceMissing();
    const proven = entrant.proven === undefined || evidence === undefined
      ? entrant.proven
      : { ...entrant.proven, evidence };
    const tokenHash = sessions.hash(entrant.token);
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const now = clock();
      const existing = roster.get(nodeId);
      const known = existing?.record.token_hash === tokenHash;
      if (existing !== undefined && !known && isLive(existing.record, now)) throw taken(nodeId);
      const evidenceEndsAtMs = evidenceEndMs(evidence, options.appraiser);
      const endsAtMs = sessionEndMs(now, sessionTtlMs, claims.expiresAtMs, evidenceEndsAtMs);
      const { token, session } = issueSession(options, {
        nodeId,
        nowMs: now,
        endsAtMs,
        admission: proven,
        nodeKeyHash: claims.nodeKeyHash,
      });
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
      if (!await roster.write(existing, record)) continue;
      if (revocations.since(nodeId, mark)) await confirm(entrant, claims.owner, session.hash);
      return {
        nodeId,
        created: existing === undefined,
        state,
        sessionToken: token,
        sessionExpiresAtMs: session.expires_at_ms,
        heartbeatTimeoutMs,
        admission: proven?.id,
        evidence,
      };
    }
    throw busy(nodeId);
  }

  /** The chain spoke of the node while it entered: what it says now decides. */
  async function confirm(entrant: Entrant, owner: string, hash: string): Promise<void> {
    try {
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        const mark = revocations.mark();
        await entrant.again(owner);
        if (revocations.since(entrant.nodeId, mark)) continue;
        // The chain gave back what it took; what it took with it stays gone.
        if (roster.get(entrant.nodeId)?.record.session?.hash === hash) return;
        break;
      }
      throw busy(entrant.nodeId);
    } catch (error) {
      for (;;) {
        const entry = roster.get(entrant.nodeId);
        if (entry?.record.session?.hash !== hash) break; // gone already
        const reason = error instanceof ApiProblem ? error.message : "the chain could not be asked";
        if (await roster.write(entry, roster.refuse(entry.record, reason))) break;
      }
      throw error;
    }
  }

  return {
    async register(request) {
      const { validator, clock } = options;
      const { node_id: nodeId, seal_token: token } = request;
      if (options.appraiser !== undefined) throw evidenceMissing();
      const claims = () => admit(validator, { token, nodeId }, clock());
      const registration = await enter({ nodeId, token, claims, again: claims });
      roster.validated(nodeId, token);
      return registration;
    },
    async admit({ nodeId, tokenId, nodeKey, claims }) {
      const { proof } = options;
      if (proof === undefined) throw new TypeError("nobody can be admitted by proof here");
      const proven = {
        id: proof.random(16).toHex(),
        token_id: tokenId,
        node_key: nodeKey.toBase64(),
      };
      const registration = await enter({
        nodeId,
        token: `seal_${tokenId}`,
        claims,
        again: (owner) =>
          admitAgain(() => proof.readToken(tokenId, nodeId), { owner, nodeKey: proven.node_key }),
        proven,
      });
      roster.validated(nodeId, undefined);
      return registration;
    },
  };
}

/** Still holds its name: registered and not silent, and its token is good. */
function isLive(record: WorkerRecord, now: number): boolean {
  return (record.state === "ready" || record.state === "active") &&
    now < record.token_expires_at_ms;
}

function taken(nodeId: string): ApiProblem {
  return new ApiProblem(
    409,
    "node_taken",
    `node "${nodeId}" is registered with another Seal token and is still heard of`,
    { field: "node_id", hint: "choose another node id, or stop the other worker first" },
  );
}
