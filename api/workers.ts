/**
 * Workers: admission by Seal token, sessions, heartbeats, and who has gone silent. The records live
 * in the `system` keyspace and move no revision that anybody watches; memory holds the same, read
 * at opening, changed only after the store said that a change is durable.
 */
import { createRevocationLog } from "./revocation_log.ts";
import { createWorkerEntrance } from "./worker_entrance.ts";
import { view } from "./worker_entry.ts";
import { createWorkerHeartbeats } from "./worker_heartbeats.ts";
import { openRoster } from "./worker_roster.ts";
import { createWorkerStatusWriter } from "./worker_status.ts";
import { createWorkerSweep } from "./worker_sweep.ts";
import type { Workers, WorkersOptions } from "./worker_types.ts";

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

/** Reads the workers of the store. */
export async function openWorkers(options: WorkersOptions): Promise<Workers> {
  const roster = await openRoster(options);
  const revocations = createRevocationLog();
  const entrance = createWorkerEntrance(roster, revocations);
  const status = createWorkerStatusWriter(options);
  const heartbeats = createWorkerHeartbeats(roster, status);
  return {
    register: entrance.register,
    admit: entrance.admit,
    heartbeat: heartbeats.heartbeat,
    leave: heartbeats.leave,
    sweep: createWorkerSweep(roster, status),

    onSessionEnd(nodeId, ended) {
      const entry = roster.get(nodeId);
      if (entry?.record.session === undefined) ended();
      return roster.index.onEnd(nodeId, ended);
    },

    authenticate(sessionToken) {
      const found = roster.find(sessionToken);
      return found !== undefined && options.clock() < found.session.expires_at_ms
        ? found.entry.record.node_id
        : undefined;
    },

    liveAdmission(nodeId) {
      const { admission, session } = roster.get(nodeId)?.record ?? {};
      if (admission === undefined || session === undefined) return undefined;
      const { expires_at_ms: expiresAtMs } = session;
      return options.clock() < expiresAtMs ? { id: admission.id, expiresAtMs } : undefined;
    },

    async planStatusChange(nodeId, status) {
      if (status !== "active") revocations.note(nodeId);
      const entry = roster.get(nodeId);
      if (entry === undefined) return undefined;
      if (status === "active") {
        // Good standing again opens no door by itself: the worker registers anew.
        return await roster.change(entry, { ...entry.record, stake_status: status });
      }
      return await roster.change(entry, {
        ...roster.refuse(entry.record, `the chain says ${status}`),
        stake_status: status,
      });
    },

    async planTokenRevoked(nodeId, token) {
      revocations.note(nodeId);
      const entry = roster.get(nodeId);
      if (entry?.record.token_hash !== options.sessions.hash(token)) return undefined;
      return await roster.change(entry, roster.refuse(entry.record, "the Seal token was revoked"));
    },

    list: () => Array.from(roster.entries(), view),

    get(nodeId) {
      const entry = roster.get(nodeId);
      return entry === undefined ? undefined : view(entry);
    },

    counts() {
      const counts = { ready: 0, active: 0, lost: 0, refused: 0 };
      for (const { record } of roster.entries()) counts[record.state]++;
      return counts;
    },
  };
}
