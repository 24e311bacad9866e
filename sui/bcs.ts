/**
 * BCS layouts of the on-chain package (module `k8s_gateway`) and the only place where its bytes
 * become values. Reading is strict: the bytes must be the canonical encoding of the value, so
 * trailing bytes, overlong lengths and broken UTF-8 are refused.
 */
import { bcs, type BcsType } from "@mysten/bcs";
import { addressBytes, addressFromBytes } from "./address.ts";

/** Sui's own limit on one Move object or event (protocol config `max_move_object_size`). */
export const MAX_CONTENTS_BYTES = 256 * 1024;

/** Bytes from the chain that are not what their type says. */
export class BcsDecodeError extends Error {
  override readonly name = "BcsDecodeError";
  readonly code = "bcs_decode";
}

/**
 * Decodes `bytes` as exactly one canonical `T`.
 *
 * @throws {BcsDecodeError} naming the struct
 */
export function decodeStrict<T>(
  type: BcsType<T, T>,
  bytes: Uint8Array,
): T {
  if (bytes.length > MAX_CONTENTS_BYTES) {
    throw new BcsDecodeError(
      `${type.name}: ${bytes.length} bytes, more than ${MAX_CONTENTS_BYTES}`,
    );
  }
  // A copy: the reader of @mysten/bcs looks at the buffer below a view and would read past its end.
  const own = bytes.slice();
  let value: T;
  let again: Uint8Array;
  try {
    value = type.parse(own);
    again = type.serialize(value).toBytes();
  } catch (cause) {
    throw new BcsDecodeError(`${type.name}: malformed BCS (${own.length} bytes)`, { cause });
  }
  if (!sameBytes(own, again)) {
    throw new BcsDecodeError(
      `${type.name}: not the canonical encoding (${own.length} bytes given, ${again.length} expected)`,
    );
  }
  return value;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** 32 bytes as 0x + 64 hex. */
export const Address: BcsType<string, string> = bcs.bytes(32).transform({
  name: "address",
  input: (value: string) => addressBytes(value),
  output: (value) => addressFromBytes(Uint8Array.from(value)),
});

/** u64 as bigint. */
export const U64: BcsType<bigint, bigint> = bcs.u64().transform({
  name: "u64",
  input: (value: bigint) => value,
  output: (value) => BigInt(value),
});

/** `vector<u8>` as bytes. */
export const ByteVector: BcsType<Uint8Array, Uint8Array> = bcs.byteVector().transform({
  name: "vector<u8>",
  input: (value: Uint8Array) => value,
  output: (value) => Uint8Array.from(value),
});

const Text: BcsType<string, string> = bcs.string();

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

export const SealToken: BcsType<SealTokenFields, SealTokenFields> = bcs.struct("SealToken", {
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

export const WorkerRegistry: BcsType<WorkerRegistryFields, WorkerRegistryFields> = bcs.struct(
  "WorkerRegistry",
  {
    id: Address,
    cluster_id: ByteVector,
    entries: bcs.struct("Table", { id: Address, size: U64 }),
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

export const WorkerEntry: BcsType<WorkerEntryFields, WorkerEntryFields> = bcs.struct(
  "WorkerEntry",
  {
    owner: Address,
    node_id: Text,
    stake_amount: U64,
    status: bcs.u8(),
    revoked: bcs.bool(),
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

export const WorkerEntryField: BcsType<WorkerEntryFieldFields, WorkerEntryFieldFields> = bcs.struct(
  "Field<ID,WorkerEntry>",
  { id: Address, name: Address, value: WorkerEntry },
);

/** `vector<T>`. */
export function list<T>(of: BcsType<T, T>): BcsType<readonly T[], readonly T[]> {
  return bcs.vector(of).transform({
    name: `vector<${of.name}>`,
    input: (value: readonly T[]) => value,
    output: (value): readonly T[] => value,
  });
}

export { bcs, Text };

/** `MasterCap has key, store`: whoever owns it records results. */
export const MasterCap: BcsType<
  { readonly id: string; readonly registry: string },
  { readonly id: string; readonly registry: string }
> = bcs.struct("MasterCap", { id: Address, registry: Address });

/** A request until it is forgotten. */
export interface RequestFields {
  readonly requester: string;
  readonly assigned_worker: string;
  readonly priority: number;
  readonly scheduled_at_ms: bigint;
  readonly answered: boolean;
}

/** `Field<RequestKey, Request>`, a dynamic field of the registry. */
export const RequestField: BcsType<
  { readonly id: string; readonly name: string; readonly value: RequestFields },
  { readonly id: string; readonly name: string; readonly value: RequestFields }
> = bcs.struct("Field<RequestKey, Request>", {
  id: Address,
  name: Text,
  value: bcs.struct("Request", {
    requester: Address,
    assigned_worker: Text,
    priority: bcs.u8(),
    scheduled_at_ms: U64,
    answered: bcs.bool(),
  }),
});

/** The name of a request's field: `RequestKey(String)` is its string. */
export function requestKeyBytes(requestId: string): Uint8Array<ArrayBuffer> {
  return Text.serialize(requestId).toBytes();
}

/** `0x2::coin::Coin<T>`. */
export const Coin: BcsType<
  { readonly id: string; readonly balance: bigint },
  { readonly id: string; readonly balance: bigint }
> = bcs.struct("Coin", { id: Address, balance: U64 });
