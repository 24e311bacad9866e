/** What the store's callers see: requests, answers, events. */
import type { LogSize } from "./log.ts";
import type { Bytes } from "../backends/mod.ts";
import type { FreshnessStatus } from "./anchor.ts";
import type { StoreError } from "./errors.ts";

/**
 * Keyspaces with revisions of their own: `system` (workers, sessions, cursors: no outside API, no
 * history), `k8s` (the embedded resource API), `etcd` (what a kube-apiserver sees).
 */
export type KeyspaceName = "system" | "k8s" | "etcd";

/** As etcd's mvccpb.KeyValue. Revisions are integers below 2^53; 0 means "never". */
export interface KeyValue {
  readonly key: Bytes;
  readonly value: Bytes;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  /** Lease id, 0n for none. */
  readonly lease: bigint;
}

/** Half-open [key, rangeEnd); no rangeEnd: the one key; rangeEnd [0]: every key from `key` on (as etcd). */
export interface KeyRange {
  readonly key: Bytes;
  readonly rangeEnd?: Bytes;
}

export interface RangeRequest extends KeyRange {
  /** Read at this revision; absent or 0: the newest. */
  readonly revision?: number;
  /** 0 or absent: no limit. */
  readonly limit?: number;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
}

export interface RangeResponse {
  readonly kvs: readonly KeyValue[];
  /** More keys lie in the range beyond `limit`. */
  readonly more: boolean;
  /** All keys in the range, whatever the limit. */
  readonly count: number;
  /** The keyspace's revision when the range was read. */
  readonly revision: number;
}

export type CompareResult = "equal" | "not_equal" | "greater" | "less";

/** One guard of a transaction, as etcdserverpb.Compare. A missing key has version and revisions 0. */
export type Compare =
  & KeyRange
  & { readonly keyspace: KeyspaceName; readonly result: CompareResult }
  & (
    | { readonly target: "version" | "create" | "mod"; readonly operand: number }
    | { readonly target: "value"; readonly operand: Bytes }
    | { readonly target: "lease"; readonly operand: bigint }
  );

export type Operation =
  | {
    readonly type: "put";
    readonly keyspace: KeyspaceName;
    readonly key: Bytes;
    readonly value: Bytes;
    /** Must have been granted (store/lease.ts), or the transaction is refused with `lease_not_found`. */
    readonly lease?: bigint;
    readonly prevKv?: boolean;
    /** Keeps the value that is there; a missing key is refused with `key_not_found`. */
    readonly ignoreValue?: boolean;
    /** Keeps the lease that is there; a missing key is refused with `key_not_found`. */
    readonly ignoreLease?: boolean;
  }
  | (
    & { readonly type: "delete"; readonly keyspace: KeyspaceName; readonly prevKv?: boolean }
    & KeyRange
  )
  /** Deletes every key that is attached to the lease when the transaction runs, in key order. */
  | { readonly type: "delete_leased"; readonly lease: bigint }
  | ({ readonly type: "range"; readonly keyspace: KeyspaceName } & RangeRequest)
  | { readonly type: "txn"; readonly txn: TxnRequest };

export type OperationResponse =
  | { readonly type: "put"; readonly prevKv?: KeyValue }
  | { readonly type: "delete"; readonly deleted: number; readonly prevKvs: readonly KeyValue[] }
  | ({ readonly type: "range" } & RangeResponse)
  | { readonly type: "txn"; readonly response: TxnResponse };

/**
 * Compare, then one of two branches, atomically and over several keyspaces: every keyspace that is
 * changed gets one new revision, and all of them stand in one atomic append to the log.
 */
export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly Operation[];
  readonly failure: readonly Operation[];
}

export interface TxnResponse {
  readonly succeeded: boolean;
  readonly responses: readonly OperationResponse[];
  /** Revisions after the transaction. */
  readonly revisions: Readonly<Record<KeyspaceName, number>>;
}

export interface WatchEvent {
  readonly type: "put" | "delete";
  /** For a delete: key and modRevision, empty value. */
  readonly kv: KeyValue;
  readonly prevKv?: KeyValue;
}

/** All events of one revision that fall into the watched range; never split. */
export interface WatchBatch {
  readonly revision: number;
  readonly events: readonly WatchEvent[];
}

export interface WatchRequest extends KeyRange {
  /** First revision wanted; absent or 0: from the next change on. A compacted one throws `compacted`. */
  readonly startRevision?: number;
  readonly prevKv?: boolean;
}

/** Iterating yields batches in revision order. A reader too slow for its bounded buffer gets `watch_overflow`. */
export interface Watcher extends AsyncIterable<WatchBatch>, Disposable {
  /** Every event up to this revision has been yielded. */
  readonly deliveredRevision: number;
  close(): void;
}

/** Where the store stands: what the attestation signs and anchors hold. */
export interface StoreHead {
  readonly sequence: bigint;
  /** 64 bytes: the keyed multiset hash over the live records. */
  readonly digest: Bytes;
}

/** Keys derived from the KEK by HKDF, one info string each; see docs/KEYS.md. 32 bytes each. */
export type SecretPurpose =
  | "identity"
  | "tls"
  | "etcd-ca"
  | "session-token"
  | "admin-token"
  | "audit"
  | "sui-signer";

export interface Store extends AsyncDisposable {
  /** 16 bytes, drawn once. */
  readonly storeId: Bytes;
  /** 16 bytes, drawn at every open. */
  readonly incarnation: Bytes;
  head(): StoreHead;
  revision(keyspace: KeyspaceName): number;
  /** Reads below it are refused; 0 where nothing was compacted yet. */
  compactedRevision(keyspace: KeyspaceName): number;
  range(keyspace: KeyspaceName, request: RangeRequest): Promise<RangeResponse>;
  /** Resolves after the log said that it is durable. */
  txn(request: TxnRequest): Promise<TxnResponse>;
  watch(keyspace: KeyspaceName, request: WatchRequest): Watcher;
  /** Keys attached to a lease, newest state, in key order. */
  leasedKeys(lease: bigint): readonly Bytes[];
  /** Forgets history below `revision`. */
  compact(keyspace: KeyspaceName, revision: number): Promise<void>;
  secret(purpose: SecretPurpose): Promise<Bytes>;
  /** Set when a write failed or the disk was caught lying: from then on every call throws this. */
  readonly failure: StoreError | undefined;
  stats(): StoreStats;
  /** The newest restore or recovery that the log still names (64 openings long at least). */
  restoration(): Restoration | undefined;
  /** Of the log on its medium. */
  size(): Promise<LogSize>;
  /** Gives the medium back what compaction and rotation freed. */
  reclaim(): Promise<void>;
  /** Wraps the KEK to one more recovery public key (32 bytes, X25519), durably. */
  addRecoveryKey(publicKey: Bytes): Promise<void>;
  /** Authenticates every record in the log; returns how many. A lie of the disk stops the store. */
  verify(): Promise<number>;
  /**
   * The whole store, sealed to its recovery keys (store/backup_format.ts), in pieces of some MiB;
   * consistent as of its end, which comes once it has caught up with the writers.
   * @param onEnd called once it is complete, before its last piece
   * @throws {StoreError} `no_recovery_key`; a lie of the disk stops the store
   */
  backup(onEnd: (summary: BackupSummary) => void): AsyncIterable<Bytes>;
  keyStatus(): KeyStatus;
  /**
   * Begins a new data key and, behind the open store, seals every older record anew under it; the
   * old key is destroyed at the end. One that is under way goes on. It outlives a restart. Resolves
   * when the new key is in use, durably.
   */
  rotateKeys(): Promise<RotationStatus>;
  /**
   * Lets one other program on this device open the store, by its measurement: for a planned upgrade.
   * Its first opening seals the store to itself and to this program no more. One at a time: another
   * one takes its place. Durable when it resolves.
   * @throws {StoreError} `successor_unsupported`, `invalid_request`; {BackendError} `malformed`
   */
  authorizeSuccessor(measurement: Bytes): Promise<void>;
  /** False where none was authorised. A copy of the directory made before still holds it. */
  withdrawSuccessor(): Promise<boolean>;
  /** Resolves when no rotation is under way. @throws {StoreError} where the store stopped */
  rotationFinished(): Promise<void>;
}

/** That the store came back from a backup, or on another TEE: what it knew last may be older than the world. */
export interface Restoration {
  readonly reason: "restore" | "recover";
  /** 16 bytes: the one that it began. */
  readonly incarnation: Bytes;
  /** Milliseconds since the epoch, by the clock of the machine it came back on. */
  readonly timeMs: number;
}

/** What a backup came to. */
export interface BackupSummary {
  /** It stands for the store as of this transaction. */
  readonly sequence: bigint;
  readonly revisions: Readonly<Record<KeyspaceName, number>>;
  readonly records: number;
  readonly bytes: number;
}

export interface StoreStats {
  readonly aeadProvider: string;
  readonly keys: Readonly<Record<KeyspaceName, number>>;
  readonly liveRecords: number;
  readonly recordKeyUses: number;
  /** How far a rollback would be told, and by what. */
  readonly freshness: FreshnessStatus;
  /** How long the disk has not answered the oldest append on its way; 0 without one. Milliseconds. */
  readonly waitingMs: number;
}

/** The key ring as it may be shown: ids, states, to whom the KEK is wrapped; no key. */
export interface KeyStatus {
  /** Rises with every change of the key ring. */
  readonly keyringVersion: number;
  readonly wraps: readonly (
    | { readonly type: "sealer"; readonly policy: "measurement" | "signer" }
    /** SHA-256 of the recovery public key, hex. */
    | { readonly type: "recovery"; readonly recipient: string }
    /** A program, by its measurement in hex, that may open the store next, and takes it over then. */
    | { readonly type: "successor"; readonly measurement: string }
  )[];
  readonly deks: readonly {
    readonly id: number;
    readonly state: "active" | "retired";
    /** Records sealed under it, at most: heads, and what rotation sealed anew, included. */
    readonly uses: number;
  }[];
  /** Uses of the active data key at which the next rotation begins by itself. */
  readonly dataKeyLimit: number;
  /** The key of the current incarnation: how often it was used, and when the next one begins. */
  readonly recordKey: { readonly uses: number; readonly limit: number };
  readonly rotation: RotationStatus;
}

/** How far the rotation of the data key got. */
export interface RotationStatus {
  /**
   * `records`: sealed anew in their places; `checkpoint`: the index checkpoint is; `finishing`: the
   * old keys' end.
   */
  readonly phase: "idle" | "starting" | "records" | "checkpoint" | "finishing";
  readonly activeKey: number;
  readonly recordsDone: number;
  readonly recordsTotal: number;
  /** Plaintext that was sealed anew since the rotation began or was resumed. */
  readonly bytesDone: number;
  readonly elapsedMs: number;
}
