/** Where a lease stands in the `system` keyspace, and what is written there. */
import type { Bytes } from "../backends/mod.ts";
import { toBinaryString } from "./bytes.ts";
import { StoreError } from "./errors.ts";

export const LEASE_PREFIX = "etcd/lease/";
const LAYOUT = 1;
/** Layout u8, granted TTL in seconds u64, remaining milliseconds u64. */
const RECORD_BYTES = 17;

/** `etcd/lease/` and the id as 16 hex digits: a binary string, as the index names keys. */
export function leaseRecordName(id: bigint): string {
  return LEASE_PREFIX + BigInt.asUintN(64, id).toString(16).padStart(16, "0");
}

export function leaseRecordKey(id: bigint): Bytes {
  return new TextEncoder().encode(leaseRecordName(id));
}

/** @throws {StoreError} `format` */
export function leaseIdOf(key: Bytes): bigint {
  const name = toBinaryString(key);
  const hex = name.slice(LEASE_PREFIX.length);
  if (!name.startsWith(LEASE_PREFIX) || !/^[0-9a-f]{16}$/.test(hex)) {
    throw new StoreError("format", `${JSON.stringify(name)} is no lease`);
  }
  return BigInt.asIntN(64, BigInt(`0x${hex}`));
}

export interface LeaseRecord {
  readonly ttlSeconds: number;
  /** As of the last checkpoint. */
  readonly remainingMs: number;
}

export function encodeLease(record: LeaseRecord): Bytes {
  const out = new Uint8Array(RECORD_BYTES);
  const view = new DataView(out.buffer);
  out[0] = LAYOUT;
  view.setBigUint64(1, BigInt(record.ttlSeconds));
  view.setBigUint64(9, BigInt(Math.max(0, Math.round(record.remainingMs))));
  return out;
}

/** @throws {StoreError} `format` */
export function decodeLease(bytes: Bytes): LeaseRecord {
  if (bytes.length !== RECORD_BYTES || bytes[0] !== LAYOUT) {
    throw new StoreError("format", `lease record of ${bytes.length} bytes, layout ${bytes[0]}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { ttlSeconds: Number(view.getBigUint64(1)), remainingMs: Number(view.getBigUint64(9)) };
}
