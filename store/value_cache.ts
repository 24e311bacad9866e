/** Plaintext values by slot; what was not used for long is given up first. */
import type { Bytes } from "../backends/mod.ts";

/** What a cached value costs besides its bytes (view, buffer, map entry), roughly. */
const ENTRY_COST_BYTES = 256;

/**
 * Two generations of half the budget each: what is used moves to the young one, and when that is
 * full it becomes the old one, whose values go. A map in the order of use would do it exactly,
 * but taking one key out and putting it back with every use makes that key's chain in the map, and
 * so every later use, longer and longer.
 */
export class ValueCache {
  readonly #halfBudgetBytes: number;
  #young = new Map<number, Bytes>();
  #old = new Map<number, Bytes>();
  #youngBytes = 0;
  #oldBytes = 0;

  constructor(budgetBytes: number) {
    this.#halfBudgetBytes = budgetBytes / 2;
  }

  get usedBytes(): number {
    return this.#youngBytes + this.#oldBytes;
  }

  get(slot: number): Bytes | undefined {
    const young = this.#young.get(slot);
    if (young !== undefined) return young;
    const old = this.#old.get(slot);
    if (old !== undefined) this.set(slot, old);
    return old;
  }

  set(slot: number, value: Bytes): void {
    this.delete(slot);
    const cost = value.length + ENTRY_COST_BYTES;
    if (cost > this.#halfBudgetBytes) return;
    if (this.#youngBytes + cost > this.#halfBudgetBytes) {
      this.#old = this.#young;
      this.#oldBytes = this.#youngBytes;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    this.#young.set(slot, value);
    this.#youngBytes += cost;
  }

  delete(slot: number): void {
    const young = this.#young.get(slot);
    if (young !== undefined) {
      this.#young.delete(slot);
      this.#youngBytes -= young.length + ENTRY_COST_BYTES;
    }
    const old = this.#old.get(slot);
    if (old !== undefined) {
      this.#old.delete(slot);
      this.#oldBytes -= old.length + ENTRY_COST_BYTES;
    }
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
    this.#youngBytes = this.#oldBytes = 0;
  }
}
