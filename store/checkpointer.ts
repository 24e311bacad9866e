/**
 * Keeps the index checkpoint: chunks of facts over position ranges that do not overlap, in chunk
 * order. A new one is made for every 512 records that stayed, an old one is made anew (and
 * joined with its neighbour) once half of its records are gone.
 */
import { type ChunkRange, encodeChunk } from "./checkpoint_format.ts";
import type { Index } from "./index.ts";
import type { CheckpointChange } from "./log.ts";
import type { MultisetHash } from "./multiset.ts";
import { HEADER_BYTES, RECORD_KIND, type RecordHeader, writeHeader } from "./record.ts";
import type { RecordSealer } from "./record_sealer.ts";
import { NO_SLOT } from "./versions.ts";

/** Facts in a full chunk. */
export const CHUNK_FACTS = 512;

export interface Chunk {
  readonly id: number;
  readonly from: number;
  readonly to: number;
  /** NO_SLOT for a fact whose record was gone when the log was opened. */
  readonly slots: Uint32Array;
  /** Facts whose record is still in the log. */
  live: number;
  /** Data keys that it needs to be read: its own, and those of its records when it was written. */
  readonly keyIds: ReadonlySet<number>;
  /** Some of its records were sealed anew since it was written. */
  stale: boolean;
}

export class Checkpointer {
  readonly #index: Index;
  readonly #sealer: RecordSealer;
  readonly #multiset: MultisetHash;
  readonly #headerOf: (slot: number) => RecordHeader;
  #chunks: Chunk[];
  /** Durable records behind the last chunk, in position order; some may be gone. */
  #tailSlots: number[] = [];
  #tailPositions: number[] = [];
  #tailFrom: number;
  readonly #chunkFacts: number;
  readonly #worn = new Set<Chunk>();
  /** Stale ones, oldest first. They wait until all of their records were sealed anew. */
  readonly #stale = new Set<Chunk>();
  #ready: CheckpointChange[] = [];
  #busy = false;

  constructor(options: {
    readonly index: Index;
    readonly sealer: RecordSealer;
    readonly multiset: MultisetHash;
    readonly headerOf: (slot: number) => RecordHeader;
    /** As loaded. */
    readonly chunks: readonly Chunk[];
    readonly tail: readonly number[];
    readonly chunkFacts: number;
  }) {
    this.#chunkFacts = options.chunkFacts;
    this.#index = options.index;
    this.#sealer = options.sealer;
    this.#multiset = options.multiset;
    this.#headerOf = options.headerOf;
    this.#chunks = [...options.chunks];
    this.#tailFrom = options.chunks.at(-1)?.to ?? 0;
    for (const slot of options.tail) this.added(slot);
    for (const chunk of this.#chunks) {
      this.#noteWear(chunk);
      if (chunk.stale) this.#stale.add(chunk);
    }
  }

  /** A record became durable. Called in position order. */
  added(slot: number): void {
    this.#tailSlots.push(slot);
    this.#tailPositions.push(this.#index.versions.position(slot));
  }

  /** A record is gone from the log. */
  removed(position: number): void {
    const chunk = this.#chunkOf(position);
    if (chunk === undefined) return;
    chunk.live--;
    this.#noteWear(chunk);
  }

  /** A record was sealed anew in its place. */
  resealed(position: number): void {
    const chunk = this.#chunkOf(position);
    if (chunk === undefined || chunk.stale) return;
    chunk.stale = true;
    this.#stale.add(chunk);
  }

  /**
   * Chunks that need another data key than this one. Once no record does, each is written anew by a
   * step; at 0 none needs another after the next append.
   */
  behind(keyId: number): number {
    if (this.#busy) return 1;
    let behind = 0;
    for (const chunk of this.#chunks) {
      if (!chunk.stale && chunk.keyIds.size === 1 && chunk.keyIds.has(keyId)) continue;
      behind++;
      this.#stale.add(chunk);
    }
    return behind;
  }

  /** Changes for the next append. */
  take(): CheckpointChange[] {
    const ready = this.#ready;
    this.#ready = [];
    return ready;
  }

  /** Makes at most one chunk. Costs a few milliseconds where one is due. */
  async step(sequence: number): Promise<void> {
    if (this.#busy || this.#ready.length > 0) return;
    this.#busy = true;
    try {
      // As many newer ones stay behind: what is overwritten soon never gets into a chunk.
      if (this.#tailSlots.length >= this.#chunkFacts * 2) await this.#addChunk(sequence);
      else await this.#renewChunk(sequence, this.#dueChunk());
    } finally {
      this.#busy = false;
    }
  }

  async #addChunk(sequence: number): Promise<void> {
    const { versions } = this.#index;
    const positions = this.#tailPositions.splice(0, this.#chunkFacts);
    const slots = this.#tailSlots.splice(0, this.#chunkFacts)
      .filter((slot, i) => versions.position(slot) === positions[i]);
    const range = { from: this.#tailFrom, to: this.#tailPositions[0]! };
    this.#tailFrom = range.to;
    if (slots.length === 0) return;
    const id = (this.#chunks.at(-1)?.id ?? 0) + 1;
    const chunk = this.#chunk(id, range, slots);
    this.#chunks.push(chunk);
    await this.#write(chunk, sequence);
  }

  /** A worn chunk, or a stale one whose records were all sealed anew (or are gone). */
  #dueChunk(): Chunk | undefined {
    const [worn] = this.#worn;
    if (worn !== undefined) return worn;
    const [stale] = this.#stale;
    if (stale === undefined) return undefined;
    const { keyId } = this.#sealer.current;
    const isReady = this.#liveSlots(stale).every((slot) => this.#keyIdOf(slot) === keyId);
    if (isReady) return stale;
    // Looked at again in its turn: the others may be ready meanwhile.
    this.#stale.delete(stale);
    this.#stale.add(stale);
    return undefined;
  }

  async #renewChunk(sequence: number, chunk: Chunk | undefined): Promise<void> {
    if (chunk === undefined) return;
    this.#forget(chunk);
    const at = this.#chunks.indexOf(chunk);
    if (at < 0) return;
    const slots = this.#liveSlots(chunk);
    const next = this.#chunks[at + 1];
    const joined = next !== undefined && slots.length + next.live <= this.#chunkFacts;
    if (joined) {
      slots.push(...this.#liveSlots(next));
      this.#forget(next);
      this.#ready.push({ chunk: next.id, bytes: undefined });
    }
    if (slots.length === 0) {
      this.#chunks.splice(at, joined ? 2 : 1);
      this.#ready.push({ chunk: chunk.id, bytes: undefined });
      return;
    }
    const range = { from: chunk.from, to: joined ? next.to : chunk.to };
    const renewed = this.#chunk(chunk.id, range, slots);
    this.#chunks.splice(at, joined ? 2 : 1, renewed);
    await this.#write(renewed, sequence);
  }

  /** What is written is what the versions say now: a record that is sealed anew later makes it stale. */
  #chunk(id: number, range: ChunkRange, slots: readonly number[]): Chunk {
    const keyIds = new Set([this.#sealer.current.keyId]);
    for (const slot of slots) keyIds.add(this.#keyIdOf(slot));
    const { length: live } = slots;
    return { id, ...range, slots: Uint32Array.from(slots), live, keyIds, stale: false };
  }

  #keyIdOf(slot: number): number {
    return this.#sealer.originOf(this.#index.versions.origin(slot)).keyId;
  }

  #forget(chunk: Chunk): void {
    this.#worn.delete(chunk);
    this.#stale.delete(chunk);
  }

  /** The chunk whose range a position falls into. */
  #chunkOf(position: number): Chunk | undefined {
    if (position >= this.#tailFrom) return undefined;
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#chunks[middle]!.to <= position) low = middle + 1;
      else high = middle;
    }
    const chunk = this.#chunks[low];
    return chunk === undefined || position < chunk.from ? undefined : chunk;
  }

  /** A slot that changed hands has a newer record, beyond the chunk's range. */
  #liveSlots(chunk: Chunk): number[] {
    const { versions } = this.#index;
    return [...chunk.slots].filter((slot) => {
      if (slot === NO_SLOT) return false;
      const position = versions.position(slot);
      return position >= chunk.from && position < chunk.to;
    });
  }

  #noteWear(chunk: Chunk): void {
    if (chunk.live * 2 < chunk.slots.length) this.#worn.add(chunk);
  }

  async #write(chunk: Chunk, sequence: number): Promise<void> {
    const { versions } = this.#index;
    const slots = [...chunk.slots];
    const sum = this.#multiset.empty();
    const header = new Uint8Array(HEADER_BYTES);
    for (const slot of slots) {
      writeHeader(this.#headerOf(slot), header);
      sum.add(header, versions.tag(slot));
    }
    const plaintext = encodeChunk(
      chunk,
      slots,
      versions,
      (number) => this.#sealer.originOf(number),
      sum.value(),
    );
    const { keyId, incarnation } = this.#sealer.current;
    const bytes = await this.#sealer.seal({
      kind: RECORD_KIND.checkpoint,
      keyId,
      storeId: this.#sealer.storeId,
      incarnation,
      sequence,
      index: chunk.id,
      count: 0,
    }, plaintext);
    this.#ready.push({ chunk: chunk.id, bytes });
  }
}
