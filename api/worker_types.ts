/** What the worker service is asked, what it answers, and what it needs. */
import type { Compare, Operation, Store } from "../store/mod.ts";
import type { Bytes } from "../backends/mod.ts";
import type { TokenDecision, TokenValidator } from "../sui/seal_token.ts";
import type { SignedBeat } from "./beat_signature.ts";
import type { Clock, SessionTokens } from "./deps.ts";
import type { NodeKeyVerifier } from "./node_key_verifier.ts";
import type { NodeObjects } from "./k8s/node_objects.ts";
import type { HeartbeatRequest, RegisterWorkerRequest } from "./schemas.ts";
import type { SignedSessions } from "./signed_sessions.ts";
import type { ProvenClaims, WorkerAppraisal, WorkerAppraiser } from "./worker_evidence.ts";
import type { HeartbeatRecord, WorkerState } from "./worker_records.ts";

export interface WorkersOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly sessions: SessionTokens;
  /** Undefined where no contract or endpoint is configured: registration answers 503. */
  readonly validator: TokenValidator | undefined;
  /** What admission by proof needs; undefined where it is not possible. */
  readonly proof?: {
    readonly signed: SignedSessions;
    readonly random: (length: number) => Bytes;
    /** Reads the chain, whatever is remembered. Throws as the validator. */
    readToken(tokenId: string, nodeId: string): Promise<TokenDecision>;
  } | undefined;
  /** Where evidence of the worker's TEE is demanded: no session stands without its appraisal. */
  readonly appraiser?: WorkerAppraiser | undefined;
  /** Checks what node keys signed; absent: on this thread. */
  readonly verifier?: NodeKeyVerifier;
  /** Keeps a Kubernetes Node beside every worker. */
  readonly nodes: NodeObjects;
  /** A worker that was not heard of for this long is lost. */
  readonly heartbeatTimeoutMs: number;
  /** A worker that was lost or refused for this long is removed. */
  readonly removeAfterMs: number;
  /** A session ends after this long; the worker registers again. Never outlives the Seal token. */
  readonly sessionTtlMs: number;
  /** How often the chain is asked again about a token whose session lives. */
  readonly revalidateAfterMs: number;
}

/** Who proved to hold a Seal token and the node key that it names. */
export interface ProvenEntrant {
  readonly nodeId: string;
  /** 0x + 64 hex. */
  readonly tokenId: string;
  /** SPKI, Ed25519. */
  readonly nodeKey: Bytes;
  /** Decides; asks the chain. @throws {ApiProblem} the refusal */
  claims(): Promise<ProvenClaims>;
}

export interface Acknowledgement {
  readonly receivedAtMs: number;
  /** A new session in place of the one that was used, which is good until its own end. */
  readonly renewed?: { readonly sessionToken: string; readonly expiresAtMs: number } | undefined;
}

export interface Registration {
  readonly nodeId: string;
  readonly created: boolean;
  readonly state: WorkerState;
  readonly sessionToken: string;
  readonly sessionExpiresAtMs: number;
  readonly heartbeatTimeoutMs: number;
  /** Of one who proved to hold the token: what its sessions go back to, 32 hex. */
  readonly admission?: string | undefined;
  /** Undefined where none is demanded. */
  readonly evidence?: WorkerAppraisal | undefined;
}

/** What others may know of a worker: no hashes. */
export interface WorkerView {
  readonly nodeId: string;
  readonly state: WorkerState;
  readonly owner: string;
  readonly stakeStatus: string;
  readonly stakeAmountMist: string;
  readonly registeredAtMs: number;
  readonly stateChangedAtMs: number;
  /** Undefined where none was demanded. */
  readonly evidence: WorkerAppraisal | undefined;
  readonly lastHeartbeat: HeartbeatRecord | undefined;
}

export interface SweepResult {
  readonly lost: readonly string[];
  /** Gone with record, session, Node and Lease. */
  readonly removed: readonly string[];
  readonly refused: readonly string[];
  /** Tokens whose chain could not be asked this time; their sessions end at their own time. */
  readonly unreachable: number;
}

/** A change of workers for a transaction that carries more; `applied` runs once it is durable. */
export interface WorkerChange {
  readonly compare: readonly Compare[];
  readonly operations: readonly Operation[];
  /** @param revision of the `system` keyspace after the transaction. */
  applied(revision: number): void;
}

export interface Workers {
  /** @throws {ApiProblem} 401, 403, 409, 503 with code and reason. */
  register(request: RegisterWorkerRequest): Promise<Registration>;
  /** @throws {ApiProblem} 409, 503, and what `claims` throws. */
  admit(entrant: ProvenEntrant): Promise<Registration>;
  /**
   * @param beat who sent it, of a session that was proven; renews a session whose half is over
   * @throws {ApiProblem} 401 for a session that is none or ended, or a signature that is missing or
   * wrong; 403 for another node's; 409 for a replay.
   */
  heartbeat(
    sessionToken: string,
    request: HeartbeatRequest,
    beat?: SignedBeat,
  ): Promise<Acknowledgement>;
  /** The worker goes: ends its session. @throws {ApiProblem} as heartbeat */
  leave(sessionToken: string, nodeId: string, beat?: SignedBeat): Promise<void>;
  /** Calls back once when the node's sessions have ended, until the returned function is called. */
  onSessionEnd(nodeId: string, ended: () => void): () => void;
  /** The proven admission of a node that has a live session, and when its newest session ends. */
  liveAdmission(nodeId: string): { readonly id: string; readonly expiresAtMs: number } | undefined;
  /** The node that a live session token belongs to. */
  authenticate(sessionToken: string): string | undefined;
  /**
   * Marks the silent as lost, removes those lost long ago, shows what was heard, and asks the chain
   * again about those who are due. Called by a timer.
   */
  sweep(): Promise<SweepResult>;
  /** The chain changed its mind about a node: ends its session unless the status is `active`. */
  planStatusChange(nodeId: string, status: string): Promise<WorkerChange | undefined>;
  /** The chain revoked a token: ends the session that it opened. */
  planTokenRevoked(nodeId: string, token: string): Promise<WorkerChange | undefined>;
  list(): readonly WorkerView[];
  get(nodeId: string): WorkerView | undefined;
  counts(): Readonly<Record<WorkerState, number>>;
}
