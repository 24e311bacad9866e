/** A worker as it stands in memory, and what changes of it come to in the store. */
import type { Compare, Operation } from "../store/mod.ts";
import type { TokenBucket } from "./middleware/token_bucket.ts";
import { ApiProblem } from "./problem.ts";
import {
  encodeRecord,
  type HeartbeatRecord,
  workerKey,
  type WorkerRecord,
  type WorkerState,
} from "./worker_records.ts";
import type { WorkerView } from "./worker_types.ts";

export interface Entry {
  readonly beats: TokenBucket;
  record: WorkerRecord;
  /** Revision of the `system` keyspace that last changed the record. */
  revision: number;
  heartbeat: HeartbeatRecord | undefined;
  /** In memory only: after a restart the chain is asked when the worker registers again. */
  token: string | undefined;
  validatedAtMs: number;
}

export function unchanged(nodeId: string, revision: number): Compare {
  return {
    keyspace: "system",
    key: workerKey(nodeId),
    target: "mod",
    result: "equal",
    operand: revision,
  };
}

export function putWorker(record: WorkerRecord): Operation {
  return {
    type: "put",
    keyspace: "system",
    key: workerKey(record.node_id),
    value: encodeRecord(record),
  };
}

export function changeState(record: WorkerRecord, state: WorkerState, now: number): WorkerRecord {
  return { ...record, state, state_changed_at_ms: now };
}

export function busy(nodeId: string): ApiProblem {
  return new ApiProblem(503, "busy", `node "${nodeId}" is being changed by others; try again`, {
    retryAfterSeconds: 1,
  });
}

export function view({ record, heartbeat }: Entry): WorkerView {
  return {
    nodeId: record.node_id,
    state: record.state,
    owner: record.owner,
    stakeStatus: record.stake_status,
    stakeAmountMist: record.stake_amount,
    registeredAtMs: record.registered_at_ms,
    stateChangedAtMs: record.state_changed_at_ms,
    lastHeartbeat: heartbeat,
  };
}
