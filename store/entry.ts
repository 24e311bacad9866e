/**
 * The plaintext of an entry record: one version of one key. Pure bytes.
 *
 * ```
 * layout u8 = 1 · keyspace u8 · flags u8 (1 deleted, 2 leased)
 * then as LEB128: sub (order within the revision) · revision · create revision · version
 * then, where leased, the lease as i64 · key length as LEB128 · key · value
 * ```
 */
import type { Bytes } from "../backends/mod.ts";
import { StoreError } from "./errors.ts";
import { recordName } from "./record.ts";
import type { KeyspaceName } from "./types.ts";
import { ByteReader } from "./varint.ts";

/** The longest that stands before the key. */
const MAX_HEADER_BYTES = 3 + 5 + 8 + 8 + 8 + 8 + 5;
const LAYOUT = 1;
const FLAG_DELETED = 1;
const FLAG_LEASED = 2;

export const KEYSPACES: readonly KeyspaceName[] = ["system", "k8s", "etcd"];
export const KEYSPACE_COUNT = 3;

export function keyspaceNumber(name: KeyspaceName): number {
  return name === "system" ? 0 : name === "k8s" ? 1 : 2;
}

/** What an entry says besides key and value. `version` 0 and `deleted` go together. */
export interface EntryMeta {
  /** Index into KEYSPACES. */
  readonly keyspace: number;
  readonly deleted: boolean;
  readonly sub: number;
  readonly modRevision: number;
  readonly createRevision: number;
  readonly version: number;
  readonly lease: bigint;
}

export interface Entry extends EntryMeta {
  readonly key: Bytes;
  readonly value: Bytes;
}

/** The value is the last `value.length` bytes. */
export function encodeEntry(meta: EntryMeta, key: Uint8Array, value: Uint8Array): Bytes {
  const out = new Uint8Array(MAX_HEADER_BYTES + key.length + value.length);
  let at = 0;
  const varint = (number: number) => {
    let rest = number;
    while (rest >= 0x80) {
      out[at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    out[at++] = rest;
  };
  const leased = meta.lease !== 0n;
  out[at++] = LAYOUT;
  out[at++] = meta.keyspace;
  out[at++] = (meta.deleted ? FLAG_DELETED : 0) | (leased ? FLAG_LEASED : 0);
  varint(meta.sub);
  varint(meta.modRevision);
  varint(meta.createRevision);
  varint(meta.version);
  if (leased) {
    new DataView(out.buffer).setBigInt64(at, meta.lease);
    at += 8;
  }
  varint(key.length);
  out.set(key, at);
  out.set(value, at + key.length);
  return out.subarray(0, at + key.length + value.length);
}

/**
 * `key` and `value` are views of `plaintext`. It was authenticated, so a refusal means a program
 * of another version wrote it.
 * @throws {StoreError} `format`
 */
export function decodeEntry(plaintext: Bytes, position: number): Entry {
  const bad = (what: string) => new StoreError("format", `${recordName(position)}: ${what}`);
  const reader = new ByteReader(plaintext, position);
  const layout = reader.byte();
  if (layout !== LAYOUT) throw bad(`entry layout ${layout}, known is ${LAYOUT}`);
  const keyspace = reader.byte();
  if (keyspace >= KEYSPACE_COUNT) throw bad(`keyspace ${keyspace} is unknown`);
  const flags = reader.byte();
  if (flags > (FLAG_DELETED | FLAG_LEASED)) throw bad(`entry flags ${flags} are unknown`);
  const sub = reader.varint();
  const modRevision = reader.varint();
  const createRevision = reader.varint();
  const version = reader.varint();
  const leased = (flags & FLAG_LEASED) !== 0;
  const lease = leased ? readLease(reader.raw(8)) : 0n;
  const key = reader.raw(reader.varint());
  return {
    keyspace,
    deleted: (flags & FLAG_DELETED) !== 0,
    sub,
    modRevision,
    createRevision,
    version,
    lease,
    key,
    value: reader.raw(reader.left),
  };
}

function readLease(bytes: Bytes): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigInt64(0);
}
