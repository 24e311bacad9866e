/** Plaintext values by slot; what was not used for long is given up first. */
import type { Bytes } from "../backends/mod.ts";

/** What a value takes besides its bytes: its length before it, its place in the map. */
const ENTRY_COST_BYTES = 64;
/** Values stand back to back in chunks of this; larger ones than a quarter have one for themselves. */
const CHUNK_BYTES = 128 * 1024;
const LENGTH_BYTES = Uint32Array.BYTES_PER_ELEMENT;

interface Chunk {
  readonly bytes: Bytes;
  /** The same memory: a value's length stands in the word before it. */
  readonly words: Uint32Array<ArrayBuffer>;
}

/**
 * Values that go together. As buffers of their own, each of them would take 350 bytes and three
 * objects more, and the collector would copy and look at all of those.
 */
class Generation {
  /** Where a slot's length and value begin: the chunk's number times CHUNK_BYTES, and the offset. */
  readonly #places = new Map<number, number>();
  readonly #chunks: Chunk[] = [];
  /** The chunk that is being filled, and how far; full at the start. */
  #filling = 0;
  #filled = CHUNK_BYTES;
  #usedBytes = 0;

  /** Deleted values count until all are: their room is not used again. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** A view. */
  get(slot: number): Bytes | undefined {
    const place = this.#places.get(slot);
    if (place === undefined) return undefined;
    const at = place % CHUNK_BYTES;
    const { bytes, words } = this.#chunks[(place - at) / CHUNK_BYTES]!;
    const start = at + LENGTH_BYTES;
    return bytes.subarray(start, start + words[at / LENGTH_BYTES]!);
  }

  /** Copies the value. */
  add(slot: number, value: Bytes): void {
    const place = this.#room(LENGTH_BYTES + value.length);
    const at = place % CHUNK_BYTES;
    const { bytes, words } = this.#chunks[(place - at) / CHUNK_BYTES]!;
    words[at / LENGTH_BYTES] = value.length;
    bytes.set(value, at + LENGTH_BYTES);
    this.#places.set(slot, place);
    this.#usedBytes += costOf(value);
  }

  delete(slot: number): void {
    if (!this.#places.delete(slot) || this.#places.size > 0) return;
    this.#chunks.length = 0;
    this.#filled = CHUNK_BYTES;
    this.#usedBytes = 0;
  }

  #room(size: number): number {
    const words = Math.ceil(size / LENGTH_BYTES);
    if (size > CHUNK_BYTES / 4) return this.#addChunk(words) * CHUNK_BYTES;
    if (this.#filled + size > CHUNK_BYTES) {
      this.#filling = this.#addChunk(CHUNK_BYTES / LENGTH_BYTES);
      this.#filled = 0;
    }
    const place = this.#filling * CHUNK_BYTES + this.#filled;
    this.#filled += words * LENGTH_BYTES;
    return place;
  }

  /** @returns its number */
  #addChunk(length: number): number {
    const words = new Uint32Array(length);
    return this.#chunks.push({ words, bytes: new Uint8Array(words.buffer) }) - 1;
  }
}

/**
 * Two generations of half the budget each: what is used moves to the young one, and when that is
 * full it becomes the old one, whose values go. A map in the order of use would do it exactly,
 * but taking one key out and putting it back with every use makes that key's chain in the map, and
 * so every later use, longer and longer.
 */
export class ValueCache {
  readonly #halfBudgetBytes: number;
  #young = new Generation();
  #old = new Generation();

  constructor(budgetBytes: number) {
    this.#halfBudgetBytes = budgetBytes / 2;
  }

  get usedBytes(): number {
    return this.#young.usedBytes + this.#old.usedBytes;
  }

  /** A view of memory that holds other values as well: neither to be changed nor to be kept for long. */
  get(slot: number): Bytes | undefined {
    const young = this.#young.get(slot);
    if (young !== undefined) return young;
    const old = this.#old.get(slot);
    if (old === undefined) return undefined;
    this.set(slot, old);
    return old;
  }

  /** Copies the value. */
  set(slot: number, value: Bytes): void {
    this.delete(slot);
    const cost = costOf(value);
    if (cost > this.#halfBudgetBytes) return;
    if (this.#young.usedBytes + cost > this.#halfBudgetBytes) {
      this.#old = this.#young;
      this.#young = new Generation();
    }
    this.#young.add(slot, value);
  }

  delete(slot: number): void {
    this.#young.delete(slot);
    this.#old.delete(slot);
  }

  clear(): void {
    this.#young = new Generation();
    this.#old = new Generation();
  }
}

function costOf(value: Bytes): number {
  return value.length + ENTRY_COST_BYTES;
}
