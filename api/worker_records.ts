/** What the store keeps about a worker, as bytes in the `system` keyspace, and back. */
import * as v from "valibot";
import type { Bytes } from "../backends/mod.ts";

/**
 * `ready`: registered, not heard of yet; `active`: heartbeats arrive; `lost`: they stopped;
 * `refused`: the chain took the permission back, and the session with it.
 */
export type WorkerState = "ready" | "active" | "lost" | "refused";

const hash = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
const milliseconds = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const oneSession = { hash, expires_at_ms: milliseconds } as const;
/** Keyed hash of a session token, and when the session ends. */
export interface WorkerSession {
  readonly hash: string;
  readonly expires_at_ms: number;
}

const workerRecord = v.strictObject({
  v: v.literal(1),
  node_id: v.string(),
  state: v.picklist(["ready", "active", "lost", "refused"]),
  /** Why the state is `refused`, as the chain had it. */
  refusal: v.optional(v.string()),
  /** Keyed hash of the Seal token. */
  token_hash: hash,
  owner: v.string(),
  stake_status: v.string(),
  stake_amount: v.string(),
  permissions: v.array(v.string()),
  token_expires_at_ms: milliseconds,
  registered_at_ms: milliseconds,
  state_changed_at_ms: milliseconds,
  /** How a worker proved its token; absent where it only named it. */
  admission: v.optional(v.strictObject({
    /** 32 hex: the `sid` of its sessions. */
    id: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
    /** Object id of the Seal token, which is public: what a renewal asks the chain about. */
    token_id: v.string(),
    /** Base64 SPKI of the key that signs heartbeats. */
    node_key: v.string(),
    /** The appraisal of the worker's own TEE evidence, where one was demanded. */
    evidence: v.optional(v.strictObject({
      tee_type: v.picklist(["SGX", "SEV", "TrustZone", "TDX", "NITRO", "SIMULATION"]),
      /** Hex. */
      measurement: v.optional(v.string()),
      policy_id: v.string(),
      policy_digest: hash,
      evidence_digest: hash,
      appraised_at_ms: milliseconds,
      /** When the first thing runs out that the appraisal relied on. */
      expires_at_ms: v.optional(milliseconds),
    })),
  })),
  session: v.optional(v.strictObject({
    ...oneSession,
    /** What it was renewed from; good until its own end, should the answer have been lost. */
    previous: v.optional(v.strictObject(oneSession)),
  })),
});
/** Everything but the heartbeats, which have a key of their own. */
export type WorkerRecord = v.InferOutput<typeof workerRecord>;

const heartbeatRecord = v.strictObject({
  v: v.literal(1),
  /** The admission it came under, and the highest sequence number accepted in it. */
  admission: v.optional(v.string()),
  sequence: v.optional(milliseconds),
  received_at_ms: milliseconds,
  /** As the worker says. */
  reported_at: milliseconds,
  stake_status: v.string(),
  stake_amount: v.string(),
  running_pods: v.number(),
  resource_usage: v.strictObject({
    cpu_percent: v.number(),
    memory_percent: v.number(),
    disk_percent: v.number(),
  }),
  capacity: v.optional(v.strictObject({
    cpu_cores: v.number(),
    memory_bytes: v.number(),
    disk_bytes: v.number(),
    pods: v.optional(v.number()),
  })),
});
export type HeartbeatRecord = v.InferOutput<typeof heartbeatRecord>;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

export const WORKER_PREFIX = "/workers/";
export const HEARTBEAT_PREFIX = "/heartbeats/";

export function workerKey(nodeId: string): Bytes {
  return encoder.encode(WORKER_PREFIX + nodeId);
}

export function heartbeatKey(nodeId: string): Bytes {
  return encoder.encode(HEARTBEAT_PREFIX + nodeId);
}

export function encodeRecord(record: WorkerRecord | HeartbeatRecord): Bytes {
  return encoder.encode(JSON.stringify(record));
}

/** @throws {v.ValiError} for a record of a version this program does not know. */
export function decodeWorker(value: Uint8Array): WorkerRecord {
  return v.parse(workerRecord, JSON.parse(decoder.decode(value)));
}

/** @throws {v.ValiError} as decodeWorker. */
export function decodeHeartbeat(value: Uint8Array): HeartbeatRecord {
  return v.parse(heartbeatRecord, JSON.parse(decoder.decode(value)));
}
