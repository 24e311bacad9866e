/** The versions of one keyspace in the order they were made: what a watch from the past reads. */
import type { Versions } from "./versions.ts";

const FIRST_CAPACITY = 1024;

export class RevisionLog {
  readonly #versions: Versions;
  #slots = new Uint32Array(FIRST_CAPACITY);
  #start = 0;
  #end = 0;

  constructor(versions: Versions) {
    this.#versions = versions;
  }

  get length(): number {
    return this.#end - this.#start;
  }

  push(slot: number): void {
    if (this.#end === this.#slots.length) this.#grow();
    this.#slots[this.#end++] = slot;
  }

  /** The `i`-th oldest. */
  at(i: number): number {
    return this.#slots[this.#start + i]!;
  }

  /** Index of the first version made at or after a revision. */
  indexOf(revision: number): number {
    let low = this.#start;
    let high = this.#end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#versions.modRevision(this.#slots[middle]!) < revision) low = middle + 1;
      else high = middle;
    }
    return low - this.#start;
  }

  /** Forgets the `count` oldest. */
  dropFirst(count: number): void {
    this.#start += count;
  }

  #grow(): void {
    const length = this.length;
    const capacity = length * 2 > this.#slots.length ? this.#slots.length * 2 : this.#slots.length;
    const next = new Uint32Array(capacity);
    next.set(this.#slots.subarray(this.#start, this.#end));
    this.#slots = next;
    this.#start = 0;
    this.#end = length;
  }
}
