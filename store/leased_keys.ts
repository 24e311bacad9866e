/** Which keys of the `etcd` keyspace are attached to which lease. Keys are binary strings. */

export class LeasedKeys {
  readonly #keys = new Map<bigint, Set<string>>();

  /** The key's newest version carries `to` where the one before carried `from`; 0n is none. */
  move(key: string, from: bigint, to: bigint): void {
    if (from === to) return;
    if (from !== 0n) {
      const keys = this.#keys.get(from);
      keys?.delete(key);
      if (keys?.size === 0) this.#keys.delete(from);
    }
    if (to === 0n) return;
    const keys = this.#keys.get(to);
    if (keys === undefined) this.#keys.set(to, new Set([key]));
    else keys.add(key);
  }

  /** In the order of the keys. */
  of(lease: bigint): string[] {
    return [...this.#keys.get(lease) ?? []].sort();
  }
}
