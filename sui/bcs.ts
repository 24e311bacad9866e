/**
 * BCS layouts of the on-chain package (module `k8s_gateway`) and the only place where its bytes
 * become values. Reading is strict: the bytes must be the canonical encoding of the value, so
 * trailing bytes, overlong lengths and broken UTF-8 are refused.
 */
import {
  Address,
  Bool,
  ByteVector,
  list,
  type StrictType,
  struct,
  Text,
  U64,
  U8,
} from "./bcs_strict.ts";

export { BcsDecodeError, decodeStrict, MAX_CONTENTS_BYTES } from "./bcs_strict.ts";

/** `SealToken has key`: owned by `owner`, never transferable (no `store`). */
export interface SealTokenFields {
  readonly id: string;
  /** 16 bytes. */
  readonly cluster_id: Uint8Array;
  readonly owner: string;
  readonly node_id: string;
  /** 32 bytes, SHA-256 of the node key's SPKI. */
  readonly node_key_hash: Uint8Array;
  readonly permissions: readonly string[];
  readonly issued_at_ms: bigint;
  readonly expires_at_ms: bigint;
}

export const SealToken: StrictType<SealTokenFields> = struct("SealToken", {
  id: Address,
  cluster_id: ByteVector,
  owner: Address,
  node_id: Text,
  node_key_hash: ByteVector,
  permissions: list(Text),
  issued_at_ms: U64,
  expires_at_ms: U64,
});

/** `WorkerRegistry has key`, shared. `entries` is a `Table<ID, WorkerEntry>`: its UID and size. */
export interface WorkerRegistryFields {
  readonly id: string;
  /** 16 bytes. */
  readonly cluster_id: Uint8Array;
  readonly entries: { readonly id: string; readonly size: bigint };
}

export const WorkerRegistry: StrictType<WorkerRegistryFields> = struct(
  "WorkerRegistry",
  {
    id: Address,
    cluster_id: ByteVector,
    entries: struct("Table", { id: Address, size: U64 }),
  },
);

/** `status` of a WorkerEntry, by its number on chain. */
export const WORKER_STATUSES = ["pending", "active", "suspended", "slashed", "withdrawn"] as const;
export type WorkerStatus = typeof WORKER_STATUSES[number];

export interface WorkerEntryFields {
  readonly owner: string;
  readonly node_id: string;
  /** MIST. */
  readonly stake_amount: bigint;
  /** Index into `WORKER_STATUSES`. */
  readonly status: number;
  readonly revoked: boolean;
  readonly updated_at_ms: bigint;
}

export const WorkerEntry: StrictType<WorkerEntryFields> = struct(
  "WorkerEntry",
  {
    owner: Address,
    node_id: Text,
    stake_amount: U64,
    status: U8,
    revoked: Bool,
    updated_at_ms: U64,
  },
);

/** `0x2::dynamic_field::Field<ID, WorkerEntry>`: what a table holds per key. */
export interface WorkerEntryFieldFields {
  readonly id: string;
  /** The key: the Seal token's object id. */
  readonly name: string;
  readonly value: WorkerEntryFields;
}

export const WorkerEntryField: StrictType<WorkerEntryFieldFields> = struct(
  "Field<ID,WorkerEntry>",
  { id: Address, name: Address, value: WorkerEntry },
);

/** `MasterCap has key, store`: whoever owns it records results. */
export const MasterCap: StrictType<{ readonly id: string; readonly registry: string }> = struct(
  "MasterCap",
  { id: Address, registry: Address },
);

/** A request until it is forgotten. */
export interface RequestFields {
  readonly requester: string;
  readonly assigned_worker: string;
  readonly priority: number;
  readonly scheduled_at_ms: bigint;
  readonly answered: boolean;
}

/** `Field<RequestKey, Request>`, a dynamic field of the registry. */
export const RequestField: StrictType<
  { readonly id: string; readonly name: string; readonly value: RequestFields }
> = struct("Field<RequestKey, Request>", {
  id: Address,
  name: Text,
  value: struct("Request", {
    requester: Address,
    assigned_worker: Text,
    priority: U8,
    scheduled_at_ms: U64,
    answered: Bool,
  }),
});

/** The name of a request's field: `RequestKey(String)` is its string. */
export function requestKeyBytes(requestId: string): Uint8Array<ArrayBuffer> {
  return Text.serialize(requestId).toBytes();
}

/** `0x2::coin::Coin<T>`. */
export const Coin: StrictType<{ readonly id: string; readonly balance: bigint }> = struct("Coin", {
  id: Address,
  balance: U64,
});
