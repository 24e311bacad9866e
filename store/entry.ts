/**
 * The plaintext of an entry record: one version of one key. Pure bytes.
 *
 * ```
 *  0  layout    u8 = 1          7  revision         u64     31  lease       u64
 *  1  keyspace  u8             15  create revision  u64     39  key length  u32
 *  2  flags     u8, 1 deleted  23  version          u64     43  key, then value
 *  3  sub       u32: order within the revision
 * ```
 */
import type { Bytes } from "../backends/mod.ts";
import { StoreError } from "./errors.ts";
import { readU53, writeU53 } from "./record.ts";
import type { KeyspaceName } from "./types.ts";

export const ENTRY_HEADER_BYTES = 43;
const LAYOUT = 1;
const FLAG_DELETED = 1;

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

export function entryLength(key: Uint8Array, value: Uint8Array): number {
  return ENTRY_HEADER_BYTES + key.length + value.length;
}

export function encodeEntry(meta: EntryMeta, key: Uint8Array, value: Uint8Array): Bytes {
  const out = new Uint8Array(entryLength(key, value));
  const view = new DataView(out.buffer);
  out[0] = LAYOUT;
  out[1] = meta.keyspace;
  out[2] = meta.deleted ? FLAG_DELETED : 0;
  view.setUint32(3, meta.sub);
  writeU53(view, 7, meta.modRevision);
  writeU53(view, 15, meta.createRevision);
  writeU53(view, 23, meta.version);
  view.setBigInt64(31, meta.lease);
  view.setUint32(39, key.length);
  out.set(key, ENTRY_HEADER_BYTES);
  out.set(value, ENTRY_HEADER_BYTES + key.length);
  return out;
}

/**
 * `key` and `value` are views of `plaintext`. It was authenticated, so a refusal means a program
 * of another version wrote it.
 * @throws {StoreError} `format`
 */
export function decodeEntry(plaintext: Bytes, where: string): Entry {
  const bad = (what: string) => new StoreError("format", `${where}: ${what}`);
  if (plaintext.length < ENTRY_HEADER_BYTES) throw bad("entry too short");
  const view = new DataView(plaintext.buffer, plaintext.byteOffset, plaintext.byteLength);
  if (plaintext[0] !== LAYOUT) throw bad(`entry layout ${plaintext[0]}, known is ${LAYOUT}`);
  const keyspace = plaintext[1]!;
  if (keyspace >= KEYSPACE_COUNT) throw bad(`keyspace ${keyspace} is unknown`);
  const flags = plaintext[2]!;
  if (flags > FLAG_DELETED) throw bad(`entry flags ${flags} are unknown`);
  const modRevision = readU53(view, 7);
  const createRevision = readU53(view, 15);
  const version = readU53(view, 23);
  if (modRevision === undefined || createRevision === undefined || version === undefined) {
    throw bad("revision beyond 2^53");
  }
  const valueAt = ENTRY_HEADER_BYTES + view.getUint32(39);
  if (valueAt > plaintext.length) throw bad("key longer than the entry");
  return {
    keyspace,
    deleted: flags === FLAG_DELETED,
    sub: view.getUint32(3),
    modRevision,
    createRevision,
    version,
    lease: view.getBigInt64(31),
    key: plaintext.subarray(ENTRY_HEADER_BYTES, valueAt),
    value: plaintext.subarray(valueAt),
  };
}
