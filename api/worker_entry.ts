/** A worker as it stands in memory, and what changes of it come to in the store. */
import type { Compare, Operation } from "../store/mod.ts";
import { beatSignatureInput, type SignedBeat } from "./beat_signature.ts";
import type { TokenBucket } from "./middleware/token_bucket.ts";
import type { NodeKeyVerifier } from "./node_key_verifier.ts";
import { ApiProblem } from "./problem.ts";
import {
  encodeRecord,
  type HeartbeatRecord,
  workerKey,
  type WorkerRecord,
  type WorkerState,
} from "./worker_records.ts";
import type { NodeFacts } from "./k8s/node_conditions.ts";
import type { WorkerView } from "./worker_types.ts";

export interface Entry {
  readonly beats: TokenBucket;
  record: WorkerRecord;
  /** Revision of the `system` keyspace that last changed the record. */
  revision: number;
  heartbeat: HeartbeatRecord | undefined;
  /** Of the admission in the record: the highest sequence number that was let through. */
  proven: { readonly id: string; sequence: number } | undefined;
  /** What Node and Lease were last written with; undefined: not known since the start. */
  shown: Shown | undefined;
  renewing: boolean;
  /** A bearer token, in memory only: after a restart the chain is asked when it is presented again. */
  token: string | undefined;
  validatedAtMs: number;
}

/** See worker_status.ts. */
export interface Shown {
  readonly leaseAtMs: number;
  readonly statusAtMs: number;
  readonly memoryPressure: boolean;
  readonly diskPressure: boolean;
  /** JSON; empty where the worker does not say. */
  readonly capacity: string;
}

/** What the worker's Node is to say. */
export function factsOf(record: WorkerRecord, heartbeat: HeartbeatRecord | undefined): NodeFacts {
  return {
    nodeId: record.node_id,
    state: record.state,
    owner: record.owner,
    stakeStatus: record.stake_status,
    reason: record.refusal,
    evidence: record.admission?.evidence,
    heartbeat: heartbeat === undefined ? undefined : {
      receivedAtMs: heartbeat.received_at_ms,
      memoryPercent: heartbeat.resource_usage.memory_percent,
      diskPercent: heartbeat.resource_usage.disk_percent,
      capacity: heartbeat.capacity,
    },
  };
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
    evidence: record.admission?.evidence,
    lastHeartbeat: heartbeat,
  };
}

/**
 * Lets a request of a worker that proved its node key through, once.
 *
 * @throws {ApiProblem} 401 without a good signature, 409 for a sequence number that was used
 */
export async function acceptBeat(
  entry: Entry,
  beat: SignedBeat | undefined,
  verifier: NodeKeyVerifier,
): Promise<void> {
  const { admission } = entry.record;
  if (admission === undefined) return; // a bearer session: there is no key to ask for
  if (beat === undefined) {
    throw new ApiProblem(401, "signature_missing", "this session's requests are signed", {
      hint: "X-Nautilus-Sequence and X-Nautilus-Signature, by the node key (docs/ADMISSION.md)",
      headers: { "WWW-Authenticate": "SealToken" },
    });
  }
  if (entry.proven?.id !== admission.id) {
    const kept = entry.heartbeat?.admission === admission.id ? entry.heartbeat.sequence : undefined;
    entry.proven = { id: admission.id, sequence: kept ?? 0 };
  }
  const { proven } = entry;
  const replayed = () =>
    new ApiProblem(409, "replayed", `sequence numbers go up; ${proven.sequence} was the last`, {
      field: "X-Nautilus-Sequence",
    });
  // Cheap first; again what counts, once the signature is known to be right.
  if (beat.sequence <= proven.sequence) throw replayed();
  const spki = Uint8Array.fromBase64(admission.node_key);
  if (!await verifier.verify(spki, beatSignatureInput(beat), beat.signature)) {
    throw new ApiProblem(401, "signature_invalid", "the node key did not sign this request", {
      headers: { "WWW-Authenticate": "SealToken" },
    });
  }
  if (beat.sequence <= proven.sequence) throw replayed();
  proven.sequence = beat.sequence;
}
