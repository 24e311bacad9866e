/**
 * Seals and opens records. Holds the record keys, one per (data key, incarnation), and counts the
 * uses of the current one: random 96-bit nonces are safe below 2^32 messages a key
 * (NIST SP 800-38D, 8.3); a new incarnation is due before 2^31.
 */
import type { Bytes } from "../backends/mod.ts";
import { AeadError, type AeadKey, type AeadProvider } from "./aead.ts";
import { equalBytes } from "./bytes.ts";
import { StoreError } from "./errors.ts";
import { deriveKey } from "./kdf.ts";
import {
  HEAD_POSITION,
  HEADER_BYTES,
  NONCE_BYTES,
  readHeader,
  RECORD_OVERHEAD,
  type RecordHeader,
  recordName,
  RESTORE_HINT,
  TAG_BYTES,
  writeHeader,
} from "./record.ts";

const NONCE_POOL_BYTES = 4096 * NONCE_BYTES;

/** Who sealed a record: a data key in an incarnation. Numbered, so that a version needs 4 bytes for it. */
export interface Origin {
  readonly number: number;
  readonly keyId: number;
  readonly incarnation: Bytes;
}

export class RecordSealer {
  readonly storeId: Bytes;
  readonly #aead: AeadProvider;
  readonly #deks: Map<number, Bytes>;
  readonly #random: (length: number) => Bytes;
  readonly #origins: Origin[] = [];
  readonly #byName = new Map<string, Origin>();
  readonly #keys = new Map<number, AeadKey>();
  #last: Origin | undefined;
  #current: { origin: Origin; key: AeadKey } | undefined;
  #uses = 0;
  #nonces = new Uint8Array(0);
  #nonceAt = 0;

  constructor(options: {
    readonly storeId: Bytes;
    readonly aead: AeadProvider;
    readonly deks: ReadonlyMap<number, Bytes>;
    readonly random: (length: number) => Bytes;
  }) {
    this.storeId = options.storeId;
    this.#aead = options.aead;
    this.#deks = new Map(options.deks);
    this.#random = options.random;
  }

  /** Records sealed under the current record key. */
  get uses(): number {
    return this.#uses;
  }

  get current(): Origin {
    if (this.#current === undefined) throw new StoreError("closed", "no incarnation was begun");
    return this.#current.origin;
  }

  /** From here on records are sealed in this incarnation. */
  async begin(keyId: number, incarnation: Bytes): Promise<void> {
    (await this.prepare(keyId, incarnation))();
  }

  /** Makes the record key of an incarnation; the answer, called, begins it. */
  async prepare(keyId: number, incarnation: Bytes): Promise<() => void> {
    const origin = this.origin(keyId, incarnation, HEAD_POSITION);
    const key = await this.#key(origin);
    return () => {
      this.#current = { origin, key };
      this.#uses = 0;
    };
  }

  /** @param dek 32 bytes; the keyring's, which wipes it */
  addDek(keyId: number, dek: Bytes): void {
    this.#deks.set(keyId, dek);
  }

  /** Nothing that was sealed under it opens from here on. */
  dropDek(keyId: number): void {
    this.#deks.delete(keyId);
    for (const { number, keyId: id } of this.#origins) {
      if (id !== keyId) continue;
      this.#keys.get(number)?.[Symbol.dispose]();
      this.#keys.delete(number);
    }
    for (const [name, origin] of this.#byName) {
      if (origin.keyId === keyId) this.#byName.delete(name);
    }
    this.#last = undefined;
  }

  /** @throws {StoreError} `foreign_record` where the keyring has no such key */
  origin(keyId: number, incarnation: Bytes, position: number): Origin {
    const last = this.#last;
    if (last?.keyId === keyId && equalBytes(last.incarnation, incarnation)) return last;
    const name = `${keyId}/${incarnation.toHex()}`;
    let origin = this.#byName.get(name);
    if (origin === undefined) {
      if (!this.#deks.has(keyId)) {
        throw new StoreError(
          "foreign_record",
          `${recordName(position)}: sealed with data key ${keyId}, which the keyring does not have`,
          { hint: RESTORE_HINT },
        );
      }
      origin = { number: this.#origins.length, keyId, incarnation: incarnation.slice() };
      this.#origins.push(origin);
      this.#byName.set(name, origin);
    }
    this.#last = origin;
    return origin;
  }

  /** Whether the data key of a record is (still) there. */
  opens(header: RecordHeader): boolean {
    return this.#deks.has(header.keyId);
  }

  originOf(number: number): Origin {
    return this.#origins[number]!;
  }

  /**
   * Writes the record to `out` (plaintext length + RECORD_OVERHEAD bytes); its tag is the last 16.
   * Answers at once or with a promise, as the AEAD provider does.
   */
  sealInto(header: RecordHeader, plaintext: Bytes, out: Bytes): void | Promise<void> {
    const current = this.#current;
    if (current === undefined) throw new StoreError("closed", "no incarnation was begun");
    this.#uses++;
    writeHeader(header, out);
    const nonce = this.#nonce();
    out.set(nonce, HEADER_BYTES);
    return current.key.sealInto(
      plaintext,
      nonce,
      out.subarray(0, HEADER_BYTES),
      out.subarray(HEADER_BYTES + NONCE_BYTES),
    );
  }

  /** Seals one record by itself. */
  async seal(header: RecordHeader, plaintext: Bytes): Promise<Bytes> {
    const out = new Uint8Array(plaintext.length + RECORD_OVERHEAD);
    await this.sealInto(header, plaintext, out);
    return out;
  }

  /** @throws {StoreError} `foreign_record`, `record_altered`, `format` */
  readHeader(record: Bytes, position: number): RecordHeader {
    const header = readHeader(record, position);
    if (!equalBytes(header.storeId, this.storeId)) {
      throw new StoreError(
        "foreign_record",
        `${
          recordName(position)
        } belongs to another store (${header.storeId.toHex()}, this is ${this.storeId.toHex()})`,
        { hint: RESTORE_HINT },
      );
    }
    return header;
  }

  /**
   * Authenticates and decrypts. Answers at once where key and provider allow.
   * @throws {StoreError} `record_altered`, `foreign_record`
   */
  open(record: Bytes, header: RecordHeader, position: number): Bytes | Promise<Bytes> {
    const origin = this.origin(header.keyId, header.incarnation, position);
    const key = this.#keys.get(origin.number);
    if (key === undefined) {
      return this.#key(origin).then((loaded) => openWith(loaded, record, header, position));
    }
    return openWith(key, record, header, position);
  }

  close(): void {
    for (const key of this.#keys.values()) key[Symbol.dispose]();
    this.#keys.clear();
    this.#current = undefined;
  }

  async #key(origin: Origin): Promise<AeadKey> {
    const known = this.#keys.get(origin.number);
    if (known !== undefined) return known;
    const dek = this.#deks.get(origin.keyId);
    if (dek === undefined) throw new StoreError("foreign_record", `no data key ${origin.keyId}`);
    const raw = deriveKey(dek, this.storeId, "record-key", 32, origin.incarnation);
    const key = await this.#aead.importKey(raw);
    raw.fill(0);
    const raced = this.#keys.get(origin.number);
    if (raced !== undefined) {
      key[Symbol.dispose]();
      return raced;
    }
    this.#keys.set(origin.number, key);
    return key;
  }

  #nonce(): Bytes {
    if (this.#nonceAt === this.#nonces.length) {
      this.#nonces = this.#random(NONCE_POOL_BYTES);
      this.#nonceAt = 0;
    }
    const at = this.#nonceAt;
    this.#nonceAt += NONCE_BYTES;
    return this.#nonces.subarray(at, this.#nonceAt);
  }
}

function openWith(
  key: AeadKey,
  record: Bytes,
  header: RecordHeader,
  position: number,
): Bytes | Promise<Bytes> {
  const refuse = (cause: unknown): never => {
    if (cause instanceof AeadError && cause.code === "authentication") {
      throw new StoreError(
        "record_altered",
        `${
          recordName(position, header)
        } does not authenticate: its bytes are not the ones that were written`,
        { hint: RESTORE_HINT },
      );
    }
    throw cause;
  };
  try {
    const opened = key.open(
      record.subarray(HEADER_BYTES + NONCE_BYTES),
      record.subarray(HEADER_BYTES, HEADER_BYTES + NONCE_BYTES),
      record.subarray(0, HEADER_BYTES),
    );
    return opened instanceof Promise ? opened.catch(refuse) : opened;
  } catch (cause) {
    return refuse(cause);
  }
}

/** The tag's place in a record. */
export function tagOffset(recordLength: number): number {
  return recordLength - TAG_BYTES;
}
