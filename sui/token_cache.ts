/** Bounded caches of decisions: the least recently used goes first, everything goes after its time. */

interface Entry<T> {
  readonly value: T;
  readonly storedAtMs: number;
  readonly untilMs: number;
}

export class TokenCache<T> {
  readonly #entries = new Map<string, Entry<T>>();
  readonly #maxEntries: number;

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** `undefined` when there is none, when its time is over, or when the clock went back before it. */
  get(key: string, nowMs: number): T | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    if (nowMs >= entry.untilMs || nowMs < entry.storedAtMs) return undefined;
    this.#entries.set(key, entry); // last in the map: used last
    return entry.value;
  }

  set(key: string, value: T, storedAtMs: number, untilMs: number): void {
    if (this.#maxEntries === 0) return;
    this.#entries.delete(key);
    if (this.#entries.size >= this.#maxEntries) {
      const oldest = this.#entries.keys().next();
      if (!oldest.done) this.#entries.delete(oldest.value);
    }
    this.#entries.set(key, { value, storedAtMs, untilMs });
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  /** Removes every entry that `matches`; looks at all of them. */
  deleteWhere(matches: (value: T) => boolean): void {
    for (const [key, entry] of this.#entries) if (matches(entry.value)) this.#entries.delete(key);
  }
}
