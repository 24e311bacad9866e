/** Plaintext values by slot, the least recently used given up first. */
import type { Bytes } from "../backends/mod.ts";

/** What a cached value costs besides its bytes (view, buffer, map entry), roughly. */
const ENTRY_COST_BYTES = 256;

export class ValueCache {
  readonly #values = new Map<number, Bytes>();
  readonly #budgetBytes: number;
  #usedBytes = 0;

  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  get(slot: number): Bytes | undefined {
    const value = this.#values.get(slot);
    if (value === undefined) return undefined;
    // While everything fits, order does not matter.
    if (this.#usedBytes * 2 > this.#budgetBytes) {
      this.#values.delete(slot);
      this.#values.set(slot, value);
    }
    return value;
  }

  set(slot: number, value: Bytes): void {
    this.delete(slot);
    this.#values.set(slot, value);
    this.#usedBytes += value.length + ENTRY_COST_BYTES;
    if (this.#usedBytes <= this.#budgetBytes) return;
    for (const [oldest, bytes] of this.#values) {
      this.#values.delete(oldest);
      this.#usedBytes -= bytes.length + ENTRY_COST_BYTES;
      if (this.#usedBytes <= this.#budgetBytes) return;
    }
  }

  delete(slot: number): void {
    const value = this.#values.get(slot);
    if (value === undefined) return;
    this.#values.delete(slot);
    this.#usedBytes -= value.length + ENTRY_COST_BYTES;
  }

  clear(): void {
    this.#values.clear();
    this.#usedBytes = 0;
  }
}
