/**
 * Snapshots: the `etcd` keyspace at one revision as a sealed stream, which only a store with the
 * same keys opens. It is framed as etcdctl expects (a multiple of 512 bytes, then the SHA-256 of
 * all before), but it is no bbolt file: `etcdctl snapshot restore` cannot read it.
 *
 * ```
 *  0  "NAUTILUS-ETCD-SNAPSHOT/1\n"        25 bytes
 * 25  store id                            16
 * 41  salt                                16
 * 57  revision                            u64
 * 65  chunks: length u32, AES-256-GCM of that many bytes (tag included), nonce = chunk number
 *     the last chunk's number has its first byte set: a stream cut short is refused
 *     length 0 ends the chunks; zeros up to a multiple of 512
 * ```
 * The key is HKDF-SHA-256 of the store's snapshot secret under the salt; bytes 0..64 are
 * associated data. A chunk is a row of KeyValue messages, each behind its length (u32).
 */
import type { Bytes } from "../../backends/mod.ts";
import type { KeyValue as StoredKeyValue, Store } from "../../store/mod.ts";
import { createHash } from "node:crypto";
import { liveKeys } from "./hash.ts";
import { KeyValue } from "./messages.ts";
import { Writer } from "./protobuf/wire.ts";

const MAGIC = "NAUTILUS-ETCD-SNAPSHOT/1\n";
const HEADER_BYTES = 65;
const CHUNK_BYTES = 256 * 1024;
const TAG_BYTES = 16;
const BLOCK_BYTES = 512;
const DIGEST_BYTES = 32;

export interface SnapshotPart {
  readonly remainingBytes: number;
  readonly blob: Bytes;
}

export class SnapshotError extends Error {
  override readonly name = "SnapshotError";
  readonly code: "malformed" | "digest" | "foreign" | "authentication";
  constructor(code: SnapshotError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The parts in order; together, without the last 32 bytes, a multiple of 512. */
export async function* snapshotStream(
  store: Store,
  random: (length: number) => Bytes,
): AsyncIterable<SnapshotPart> {
  const revision = store.revision("etcd");
  const header = makeHeader(store.storeId, random(16), revision);
  const key = await snapshotKey(store, header);
  const digest = createHash("sha256");
  let sent = 0;
  const part = (blob: Bytes): SnapshotPart => {
    digest.update(blob);
    sent += blob.length;
    // The whole length is not known before the end; clients only show it.
    return { remainingBytes: 0, blob };
  };
  yield part(header);
  let number = 0;
  // One chunk is held back, because the last one is marked.
  let held: Bytes | undefined;
  for await (const plaintext of chunks(store, revision)) {
    if (held !== undefined) yield part(await sealChunk(key, header, held, number++, false));
    held = plaintext;
  }
  yield part(await sealChunk(key, header, held ?? new Uint8Array(0), number, true));
  yield part(new Uint8Array(4 + padding(sent + 4)));
  yield { remainingBytes: 0, blob: Uint8Array.from(digest.digest()) };
}

/**
 * Reads a snapshot of this store back.
 * @throws {SnapshotError}
 */
export async function readSnapshot(
  store: Store,
  snapshot: Bytes,
): Promise<{ readonly revision: number; readonly kvs: readonly StoredKeyValue[] }> {
  if (snapshot.length % BLOCK_BYTES !== DIGEST_BYTES || snapshot.length < BLOCK_BYTES) {
    throw new SnapshotError("malformed", `${snapshot.length} bytes are no snapshot`);
  }
  const body = snapshot.subarray(0, snapshot.length - DIGEST_BYTES);
  const digest = createHash("sha256").update(body).digest("hex");
  if (digest !== snapshot.subarray(body.length).toHex()) {
    throw new SnapshotError("digest", "the SHA-256 at the end is not that of the snapshot");
  }
  if (new TextDecoder().decode(body.subarray(0, MAGIC.length)) !== MAGIC) {
    throw new SnapshotError("malformed", "the snapshot does not begin as one");
  }
  const header = body.slice(0, HEADER_BYTES);
  if (header.subarray(25, 41).toHex() !== store.storeId.toHex()) {
    throw new SnapshotError("foreign", "the snapshot is of another store");
  }
  const key = await snapshotKey(store, header);
  const kvs: StoredKeyValue[] = [];
  let at = HEADER_BYTES;
  for (let number = 0;; number++) {
    const length = u32(body, at);
    at += 4;
    const sealed = body.slice(at, at + length);
    if (length < TAG_BYTES || sealed.length !== length) {
      throw new SnapshotError("malformed", `chunk ${number} is cut off`);
    }
    at += length;
    const last = u32(body, at) === 0;
    readChunk(await openChunk(key, header, sealed, number, last), kvs);
    if (last) break;
  }
  const revision = Number(new DataView(header.buffer).getBigUint64(57));
  return { revision, kvs };
}

function makeHeader(storeId: Bytes, salt: Bytes, revision: number): Bytes {
  const header = new Uint8Array(HEADER_BYTES);
  header.set(new TextEncoder().encode(MAGIC));
  header.set(storeId, 25);
  header.set(salt, 41);
  new DataView(header.buffer).setBigUint64(57, BigInt(revision));
  return header;
}

async function snapshotKey(store: Store, header: Bytes): Promise<CryptoKey> {
  const secret = await store.secret("etcd-snapshot");
  const base = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveKey"]);
  return await crypto.subtle.deriveKey(
    {
      name: "HKDF",
      hash: "SHA-256",
      salt: header.slice(41, 57),
      info: new TextEncoder().encode("nautilus-tee/etcd-snapshot/v1"),
    },
    base,
    { name: "AES-GCM", length: 256 },
    false,
    ["encrypt", "decrypt"],
  );
}

function aes(header: Bytes, number: number, last: boolean): AesGcmParams {
  const iv = new Uint8Array(12);
  iv[0] = last ? 1 : 0;
  new DataView(iv.buffer).setUint32(8, number);
  return { name: "AES-GCM", iv, additionalData: header };
}

async function sealChunk(
  key: CryptoKey,
  header: Bytes,
  plaintext: Bytes,
  number: number,
  last: boolean,
): Promise<Bytes> {
  const sealed = await crypto.subtle.encrypt(aes(header, number, last), key, plaintext);
  const out = new Uint8Array(4 + sealed.byteLength);
  new DataView(out.buffer).setUint32(0, sealed.byteLength);
  out.set(new Uint8Array(sealed), 4);
  return out;
}

async function openChunk(
  key: CryptoKey,
  header: Bytes,
  sealed: Bytes,
  number: number,
  last: boolean,
): Promise<Bytes> {
  try {
    return new Uint8Array(await crypto.subtle.decrypt(aes(header, number, last), key, sealed));
  } catch (cause) {
    throw new SnapshotError("authentication", `chunk ${number} is not what was sealed`, { cause });
  }
}

async function* chunks(store: Store, revision: number): AsyncIterable<Bytes> {
  const writer = new Writer();
  let parts: Bytes[] = [];
  let size = 0;
  for await (const kv of liveKeys(store, revision)) {
    writer.reset();
    KeyValue.write({ ...kv }, writer);
    const message = writer.finish();
    const part = new Uint8Array(4 + message.length);
    new DataView(part.buffer).setUint32(0, message.length);
    part.set(message, 4);
    parts.push(part);
    size += part.length;
    if (size < CHUNK_BYTES) continue;
    yield join(parts, size);
    parts = [];
    size = 0;
  }
  if (size > 0) yield join(parts, size);
}

function join(parts: readonly Bytes[], size: number): Bytes {
  const out = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function readChunk(plaintext: Bytes, kvs: StoredKeyValue[]): void {
  let at = 0;
  while (at < plaintext.length) {
    const end = at + 4 + u32(plaintext, at);
    if (end > plaintext.length) throw new SnapshotError("malformed", "a key-value is cut off");
    kvs.push(KeyValue.decode(plaintext.subarray(at + 4, end)));
    at = end;
  }
}

function u32(bytes: Bytes, at: number): number {
  if (at + 4 > bytes.length) throw new SnapshotError("malformed", "the snapshot is cut off");
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
}

function padding(length: number): number {
  return (BLOCK_BYTES - length % BLOCK_BYTES) % BLOCK_BYTES;
}
