/**
 * A backup: the records of a store as they stand in its log, once more sealed. Pure bytes and AEAD.
 *
 * ```
 *  0  "NAUTILUS-BACKUP/1\n"   18 bytes
 * 18  store id                16
 * 34  salt                    32, random
 * 66  key ring                u32 length, then its bytes: the wraps of the KEK to the recovery keys
 *     chunks: u32 length of what is sealed with its tag, u8 last (0 or 1),
 *             in the last one u64 sequence, u64 records, u64 time (milliseconds since the epoch),
 *             then AES-256-GCM ciphertext and tag
 * ```
 * The stream key is HKDF-SHA-256 of the KEK (salt: store id; info: "backup", salt of the stream). As
 * in STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015) a nonce is three zero bytes, the chunk's number
 * as u64 and its `last` byte: what is cut, joined, moved or repeated does not open. Associated data:
 * SHA-256 of the header, in the last chunk followed by its three numbers.
 *
 * A chunk holds: u32 count, positions (u64 each) that went since they were told; twice u32 count,
 * then position u64 and length u32 each, then their bytes: records that were replaced since they were
 * told, new records; in the last one the head and the key ring, each behind its u32 length.
 *
 * Behind the last chunk the stream may end, or go on as etcd's clients want it: zeros up to a multiple
 * of 512 bytes, then the SHA-256 of all before.
 */
import { createHash, type Hash } from "node:crypto";
import type { Bytes } from "../backends/mod.ts";
import { AeadError, type AeadKey, type AeadProvider } from "./aead.ts";
import { concatBytes, utf8 } from "./bytes.ts";
import { StoreError } from "./errors.ts";
import { deriveKey } from "./kdf.ts";
import { decodeKeyring } from "./keyring_format.ts";
import type { LogCopyPart, LogPage } from "./log.ts";
import { ID_BYTES, NONCE_BYTES, readU53, TAG_BYTES, writeU53 } from "./record.ts";

const MAGIC = utf8("NAUTILUS-BACKUP/1\n");
const SALT_BYTES = 32;
const FIXED_BYTES = MAGIC.length + ID_BYTES + SALT_BYTES + 4;
const MAX_KEYRING_BYTES = 4 << 20;
/** Two pages of records, each with one of the largest at its end. */
const MAX_CHUNK_BYTES = 160 << 20;
const CHUNK_HEAD_BYTES = 5;
const TRAILER_BYTES = 24;
const BLOCK_BYTES = 512;
const DIGEST_BYTES = 32;

export interface BackupHeader {
  readonly storeId: Bytes;
  readonly salt: Bytes;
  /** As it was when the backup began. */
  readonly keyring: Bytes;
}

/** What a backup says in the clear about where it stands; authenticated with its last chunk. */
export interface BackupTrailer {
  readonly sequence: number;
  readonly records: number;
  /** Milliseconds since the epoch, by the master's clock. */
  readonly timeMs: number;
}

export function encodeBackupHeader({ storeId, salt, keyring }: BackupHeader): Bytes {
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, keyring.length);
  return concatBytes(MAGIC, storeId, salt, length, keyring);
}

/** Seals and opens the chunks of one stream, in their order. */
export class BackupCipher implements Disposable {
  readonly #key: AeadKey;
  readonly #aad: Bytes;
  #number = 0;

  private constructor(key: AeadKey, aad: Bytes) {
    this.#key = key;
    this.#aad = aad;
  }

  /** @param kek 32 bytes */
  static async of(aead: AeadProvider, kek: Bytes, header: BackupHeader): Promise<BackupCipher> {
    const raw = deriveKey(kek, header.storeId, "backup", 32, header.salt);
    const key = await aead.importKey(raw);
    raw.fill(0);
    const digest = createHash("sha256").update(encodeBackupHeader(header)).digest();
    return new BackupCipher(key, new Uint8Array(digest));
  }

  /** The chunk as it stands in the stream. */
  async seal(plaintext: Bytes, trailer: BackupTrailer | undefined): Promise<Bytes> {
    const clear = trailer === undefined ? new Uint8Array(0) : encodeTrailer(trailer);
    const at = CHUNK_HEAD_BYTES + clear.length;
    const out = new Uint8Array(at + plaintext.length + TAG_BYTES);
    new DataView(out.buffer).setUint32(0, out.length - at);
    out[4] = trailer === undefined ? 0 : 1;
    out.set(clear, CHUNK_HEAD_BYTES);
    const { nonce, aad } = this.#next(clear);
    await this.#key.sealInto(plaintext, nonce, aad, out.subarray(at));
    return out;
  }

  /** @throws {StoreError} `backup_altered` */
  async open({ sealed, trailer }: BackupChunk): Promise<Bytes> {
    const number = this.#number;
    const { nonce, aad } = this.#next(
      trailer === undefined ? new Uint8Array(0) : encodeTrailer(trailer),
    );
    try {
      return await this.#key.open(sealed, nonce, aad);
    } catch (cause) {
      if (!(cause instanceof AeadError) || cause.code !== "authentication") throw cause;
      throw altered(
        number === 0
          ? "its first chunk does not open with this store's key: altered, or another store's"
          : `chunk ${number} does not open: altered, moved, or from another backup`,
        cause,
      );
    }
  }

  [Symbol.dispose](): void {
    this.#key[Symbol.dispose]();
  }

  #next(trailer: Bytes): { readonly nonce: Bytes; readonly aad: Bytes } {
    const nonce = new Uint8Array(NONCE_BYTES);
    writeU53(new DataView(nonce.buffer), 3, this.#number++);
    nonce[NONCE_BYTES - 1] = trailer.length === 0 ? 0 : 1;
    return { nonce, aad: concatBytes(this.#aad, trailer) };
  }
}

/** A chunk as it stands in the stream, still sealed. */
export interface BackupChunk {
  readonly sealed: Bytes;
  /** In the last one. */
  readonly trailer: BackupTrailer | undefined;
}

/** Where the bytes of a backup come from: a file, a connection. */
export interface BackupSource {
  /** Resolves with how many bytes were put into it; null at the end. */
  read(into: Uint8Array): Promise<number | null>;
}

/** Takes a stream apart, without any key. */
export class BackupReader {
  readonly #source: BackupSource;
  readonly #digest: Hash = createHash("sha256");
  #at = 0;

  constructor(source: BackupSource) {
    this.#source = source;
  }

  /** Bytes read so far. */
  get bytes(): number {
    return this.#at;
  }

  /** @throws {StoreError} `backup_altered` where it is no backup, or cut off */
  async header(): Promise<BackupHeader> {
    const fixed = await this.#take(FIXED_BYTES, "its header");
    if (MAGIC.some((byte, i) => fixed[i] !== byte)) {
      throw new StoreError("backup_altered", "this is no backup of a store", {
        hint: "name a file that `nautilus store backup` or `etcdctl snapshot save` wrote",
      });
    }
    const length = new DataView(fixed.buffer).getUint32(FIXED_BYTES - 4);
    if (length > MAX_KEYRING_BYTES) throw altered(`its key ring has ${length} bytes`);
    const idAt = MAGIC.length;
    const storeId = fixed.slice(idAt, idAt + ID_BYTES);
    const keyring = await this.#take(length, "its key ring");
    requireKeyring(keyring, storeId);
    return { storeId, salt: fixed.slice(idAt + ID_BYTES, idAt + ID_BYTES + SALT_BYTES), keyring };
  }

  /** @throws {StoreError} `backup_altered` where it is cut off */
  async chunk(): Promise<BackupChunk> {
    const head = await this.#take(CHUNK_HEAD_BYTES, "a chunk");
    const length = new DataView(head.buffer).getUint32(0);
    const last = head[4];
    if (length < TAG_BYTES || length > MAX_CHUNK_BYTES || (last !== 0 && last !== 1)) {
      throw altered(`at byte ${this.#at - CHUNK_HEAD_BYTES} stands no chunk`);
    }
    const trailer = last === 0
      ? undefined
      : decodeTrailer(await this.#take(TRAILER_BYTES, "its end"));
    return { sealed: await this.#take(length, "a chunk"), trailer };
  }

  /** What may stand behind the last chunk. @throws {StoreError} `backup_altered` */
  async end(): Promise<void> {
    const padding = (BLOCK_BYTES - this.#at % BLOCK_BYTES) % BLOCK_BYTES;
    const rest = await this.#read(padding + DIGEST_BYTES + 1, false);
    if (rest.length === 0) return;
    this.#digest.update(rest.subarray(0, padding));
    const fits = rest.length === padding + DIGEST_BYTES &&
      rest.subarray(0, padding).every((byte) => byte === 0) &&
      this.#digest.digest("hex") === rest.subarray(padding).toHex();
    if (!fits) throw altered("behind its last chunk stands something else");
  }

  async #take(length: number, what: string): Promise<Bytes> {
    const bytes = await this.#read(length, true);
    if (bytes.length < length) {
      throw new StoreError("backup_altered", `the backup is cut off in ${what}`, {
        hint: "it was not written to its end, or shortened since: take another one",
      });
    }
    return bytes;
  }

  /** Fewer only at the end. */
  async #read(length: number, digested: boolean): Promise<Bytes> {
    const bytes = new Uint8Array(length);
    let got = 0;
    while (got < length) {
      const count = await this.#source.read(bytes.subarray(got));
      if (count === null || count === 0) break;
      got += count;
    }
    const read = bytes.subarray(0, got);
    if (digested) this.#digest.update(read);
    this.#at += got;
    return read;
  }
}

/** What can be told of a key ring without a key: that it is one, and this store's. */
function requireKeyring(bytes: Bytes, storeId: Bytes): void {
  let named: string;
  try {
    named = decodeKeyring(bytes).body.store_id;
  } catch (cause) {
    if (!(cause instanceof StoreError)) throw cause;
    throw altered(`its key ring is damaged: ${cause.message}`);
  }
  if (named !== storeId.toHex()) {
    throw altered(`its key ring is of the store ${named}, its header of ${storeId.toHex()}`);
  }
}

/**
 * Reads a backup to its end without opening anything: whether it is whole, and what it says of itself.
 * @throws {StoreError} `backup_altered` where it is cut off, or no backup
 */
export async function scanBackup(
  source: BackupSource,
): Promise<
  { readonly header: BackupHeader; readonly trailer: BackupTrailer; readonly bytes: number }
> {
  const reader = new BackupReader(source);
  const header = await reader.header();
  for (;;) {
    const { trailer } = await reader.chunk();
    if (trailer === undefined) continue;
    await reader.end();
    return { header, trailer, bytes: reader.bytes };
  }
}

/** What etcd's clients want behind the stream: see above. */
export class EtcdFraming {
  readonly #digest = createHash("sha256");
  #length = 0;

  /** Called with all of the stream, in order. */
  add(bytes: Bytes): void {
    this.#digest.update(bytes);
    this.#length += bytes.length;
  }

  end(): Bytes {
    const padding = new Uint8Array((BLOCK_BYTES - this.#length % BLOCK_BYTES) % BLOCK_BYTES);
    const digest = new Uint8Array(this.#digest.update(padding).digest());
    return concatBytes(padding, digest);
  }
}

export function encodePart(part: LogCopyPart): Bytes {
  const { page, changed, removals, end } = part;
  const head = end?.head ?? new Uint8Array(0);
  const keyring = end?.keyring ?? new Uint8Array(0);
  const length = 4 + removals.length * 8 + pageBytes(changed) + pageBytes(page) +
    (end === undefined ? 0 : 8 + head.length + keyring.length);
  const out = new Uint8Array(length);
  const view = new DataView(out.buffer);
  let at = 4;
  view.setUint32(0, removals.length);
  for (const position of removals) {
    writeU53(view, at, position);
    at += 8;
  }
  for (const { positions, lengths, bytes } of [changed, page]) {
    view.setUint32(at, positions.length);
    at += 4;
    for (let i = 0; i < positions.length; i++) {
      writeU53(view, at, positions[i]!);
      view.setUint32(at + 8, lengths[i]!);
      at += 12;
    }
    out.set(bytes, at);
    at += bytes.length;
  }
  if (end === undefined) return out;
  for (const bytes of [head, keyring]) {
    view.setUint32(at, bytes.length);
    out.set(bytes, at + 4);
    at += 4 + bytes.length;
  }
  return out;
}

function pageBytes({ positions, bytes }: LogPage): number {
  return 4 + positions.length * 12 + bytes.length;
}

/**
 * It was authenticated, so a refusal means that a program of another version wrote it.
 * @throws {StoreError} `format`
 */
export function decodePart(plaintext: Bytes, last: boolean): LogCopyPart {
  const view = new DataView(plaintext.buffer, plaintext.byteOffset, plaintext.byteLength);
  let at = 0;
  const skip = (length: number): number => {
    if (at + length > plaintext.length) throw unreadable();
    at += length;
    return at - length;
  };
  const u32 = () => view.getUint32(skip(4));
  const u53 = () => {
    const value = readU53(view, skip(8));
    if (value === undefined) throw unreadable();
    return value;
  };
  const take = (length: number) => {
    const from = skip(length);
    return plaintext.subarray(from, from + length);
  };
  const page = (): LogPage => {
    const count = u32();
    if (count > plaintext.length / 12) throw unreadable();
    const positions = new Float64Array(count);
    const lengths = new Uint32Array(count);
    let size = 0;
    for (let i = 0; i < count; i++) {
      positions[i] = u53();
      lengths[i] = u32();
      size += lengths[i]!;
    }
    return { positions, lengths, bytes: take(size) };
  };
  const count = u32();
  if (count > plaintext.length / 8) throw unreadable();
  const removals = new Float64Array(count).map(u53);
  const changed = page();
  const fresh = page();
  const end = last ? { head: take(u32()), keyring: take(u32()) } : undefined;
  if (at !== plaintext.length) throw unreadable();
  return { page: fresh, changed, removals, end };
}

function encodeTrailer({ sequence, records, timeMs }: BackupTrailer): Bytes {
  const out = new Uint8Array(TRAILER_BYTES);
  const view = new DataView(out.buffer);
  [sequence, records, timeMs].forEach((value, i) => writeU53(view, i * 8, value));
  return out;
}

function decodeTrailer(bytes: Bytes): BackupTrailer {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const [sequence, records, timeMs] = [0, 8, 16].map((at) => readU53(view, at));
  if (sequence === undefined || records === undefined || timeMs === undefined) {
    throw altered("its end is not what was written");
  }
  return { sequence, records, timeMs };
}

function altered(what: string, cause?: unknown): StoreError {
  return new StoreError("backup_altered", `the backup is not what was written: ${what}`, {
    cause,
    hint: "take another backup",
  });
}

function unreadable(): StoreError {
  return new StoreError("format", "the backup holds what this program cannot read", {
    hint: "restore it with the release that wrote it, or a newer one",
  });
}
