/**
 * A chunk of the index checkpoint: what opening must know about some hundred records without
 * decrypting them. A fact (this position, this tag: this key, this revision) stays true for good; a
 * record that is sealed anew under the next data key has another tag, and is read until its chunk
 * was written anew. Which records are live is told by the log and the head alone.
 *
 * ```
 * layout u8 = 1 · from, to (positions, LEB128) · count · sum (64 bytes, multiset hash of the records)
 * origins: count, then each key id and incarnation (16 bytes)
 * facts in position order, LEB128: position - previous · sequence - previous · index · count · origin ·
 *   keyspace and flags u8 (bit 6 deleted, bit 7 leased) · sub · revision · create revision · version ·
 *   lease i64 where leased · value length · key length · key · tag (16 bytes)
 * ```
 */
import type { Bytes } from "../backends/mod.ts";
import { toBinaryString } from "./bytes.ts";
import { KEYSPACE_COUNT } from "./entry.ts";
import { StoreError } from "./errors.ts";
import { SUM_BYTES } from "./multiset.ts";
import { ID_BYTES, TAG_BYTES } from "./record.ts";
import type { Origin, RecordSealer } from "./record_sealer.ts";
import { ByteReader, ByteWriter } from "./varint.ts";
import type { Versions } from "./versions.ts";

const LAYOUT = 1;
const DELETED = 0x40;
const LEASED = 0x80;

/** Positions [from, to): the live entry records there, when the chunk was made, are its facts. */
export interface ChunkRange {
  readonly from: number;
  readonly to: number;
}

export function encodeChunk(
  range: ChunkRange,
  slots: readonly number[],
  versions: Versions,
  originOf: (number: number) => Origin,
  sum: Bytes,
): Bytes {
  const out = new ByteWriter(slots.length * 96 + 256);
  out.byte(LAYOUT);
  out.varint(range.from);
  out.varint(range.to);
  out.varint(slots.length);
  out.raw(sum);
  const origins = new Map<number, number>();
  for (const slot of slots) {
    const origin = versions.origin(slot);
    if (!origins.has(origin)) origins.set(origin, origins.size);
  }
  out.varint(origins.size);
  for (const number of origins.keys()) {
    const origin = originOf(number);
    out.varint(origin.keyId);
    out.raw(origin.incarnation);
  }
  let position = range.from;
  let sequence = 0;
  for (const slot of slots) {
    out.varint(versions.position(slot) - position);
    position = versions.position(slot);
    out.varint(versions.sequence(slot) - sequence);
    sequence = versions.sequence(slot);
    out.varint(versions.index(slot));
    out.varint(versions.count(slot));
    out.varint(origins.get(versions.origin(slot))!);
    const lease = versions.lease(slot);
    out.byte(
      versions.keyspace(slot) | (versions.deleted(slot) ? DELETED : 0) |
        (lease === 0n ? 0 : LEASED),
    );
    out.varint(versions.sub(slot));
    out.varint(versions.modRevision(slot));
    out.varint(versions.createRevision(slot));
    out.varint(versions.version(slot));
    if (lease !== 0n) {
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setBigInt64(0, lease);
      out.raw(bytes);
    }
    out.varint(versions.valueLength(slot));
    const key = versions.key(slot);
    out.varint(key.length);
    out.text(key);
    out.raw(versions.tag(slot));
  }
  return out.finish();
}

/** One fact, read in place: the reader fills the same object again and again. */
export interface Fact {
  position: number;
  sequence: number;
  index: number;
  count: number;
  /** The sealer's number of it. */
  origin: number;
  keyspace: number;
  deleted: boolean;
  sub: number;
  modRevision: number;
  createRevision: number;
  version: number;
  lease: bigint;
  valueLength: number;
  key: string;
  /** A view of the chunk, 16 bytes. */
  tag: Bytes;
}

export class ChunkReader {
  readonly range: ChunkRange;
  readonly count: number;
  readonly sum: Bytes;
  /** Data keys that its records were sealed under. */
  readonly keyIds: ReadonlySet<number>;
  readonly #reader: ByteReader;
  readonly #where: string;
  readonly #origins: number[] = [];
  #left: number;
  #fact: Fact | undefined;

  /** @throws {StoreError} `format`, `foreign_record` */
  constructor(plaintext: Bytes, sealer: RecordSealer, where: string) {
    const reader = new ByteReader(plaintext, where);
    const layout = reader.byte();
    if (layout !== LAYOUT) {
      throw new StoreError("format", `${where}: layout ${layout}, known is ${LAYOUT}`);
    }
    this.range = { from: reader.varint(), to: reader.varint() };
    this.count = reader.varint();
    this.sum = reader.raw(SUM_BYTES);
    const keyIds = new Set<number>();
    for (let origins = reader.varint(); origins > 0; origins--) {
      const keyId = reader.varint();
      keyIds.add(keyId);
      this.#origins.push(sealer.origin(keyId, reader.raw(ID_BYTES), this.range.from).number);
    }
    this.keyIds = keyIds;
    this.#reader = reader;
    this.#where = where;
    this.#left = this.count;
  }

  /** The next fact, in the same object as the last one; undefined at the end. */
  next(): Fact | undefined {
    if (this.#left === 0) return undefined;
    this.#left--;
    const reader = this.#reader;
    const position = (this.#fact?.position ?? this.range.from) + reader.varint();
    const sequence = (this.#fact?.sequence ?? 0) + reader.varint();
    const index = reader.varint();
    const count = reader.varint();
    const origin = this.#origins[reader.varint()];
    const flags = reader.byte();
    const keyspace = flags & ~(DELETED | LEASED);
    if (origin === undefined || keyspace >= KEYSPACE_COUNT) {
      throw new StoreError("format", `${this.#where}: a fact that this program cannot read`);
    }
    const fact: Fact = this.#fact ??= emptyFact();
    fact.position = position;
    fact.sequence = sequence;
    fact.index = index;
    fact.count = count;
    fact.origin = origin;
    fact.keyspace = keyspace;
    fact.deleted = (flags & DELETED) !== 0;
    fact.sub = reader.varint();
    fact.modRevision = reader.varint();
    fact.createRevision = reader.varint();
    fact.version = reader.varint();
    fact.lease = (flags & LEASED) === 0 ? 0n : readLease(reader.raw(8));
    fact.valueLength = reader.varint();
    fact.key = toBinaryString(reader.raw(reader.varint()));
    fact.tag = reader.raw(TAG_BYTES);
    return fact;
  }
}

function emptyFact(): Fact {
  return {
    position: 0,
    sequence: 0,
    index: 0,
    count: 0,
    origin: 0,
    keyspace: 0,
    deleted: false,
    sub: 0,
    modRevision: 0,
    createRevision: 0,
    version: 0,
    lease: 0n,
    valueLength: 0,
    key: "",
    tag: new Uint8Array(TAG_BYTES),
  };
}

function readLease(bytes: Bytes): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigInt64(0);
}
