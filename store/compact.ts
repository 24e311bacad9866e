/** Compaction: what no reader may ask for any more is forgotten at once and removed bit by bit. */
import { StoreError } from "./errors.ts";
import type { Index } from "./index.ts";
import type { Keyspace } from "./keyspace.ts";

/** Records removed in one append. */
const REMOVALS_PER_APPEND = 2000;

export class Compactor {
  readonly #index: Index;
  /** Versions out of the index whose records are still in the log. */
  readonly #garbage: number[];

  constructor(index: Index, garbage: readonly number[]) {
    this.#index = index;
    this.#garbage = [...garbage];
  }

  get pending(): number {
    return this.#garbage.length;
  }

  /**
   * Reads below the revision are refused from here on; `finish`, once that is durable, takes the
   * versions out of the index. As in etcd the newest version at or below the revision stays.
   * @throws {StoreError} `compacted`, `future_revision`, `invalid_request`
   */
  begin(keyspace: Keyspace, revision: number): { finish: () => void } {
    if (!keyspace.keepsHistory) {
      throw new StoreError("invalid_request", `${keyspace.name} keeps no history to compact`);
    }
    if (!Number.isSafeInteger(revision) || revision < 1) {
      throw new StoreError("invalid_request", `revision: ${revision} is not a revision`);
    }
    if (revision <= keyspace.compactedRevision) {
      throw new StoreError(
        "compacted",
        `${keyspace.name} was compacted at revision ${keyspace.compactedRevision} already`,
      );
    }
    if (revision > keyspace.revision) {
      throw new StoreError(
        "future_revision",
        `revision ${revision} of ${keyspace.name} is not there yet, the newest is ${keyspace.revision}`,
      );
    }
    keyspace.compactedRevision = revision;
    return { finish: () => this.#forget(keyspace, revision) };
  }

  /** Some versions whose records are to be removed now. The caller releases their slots. */
  take(): number[] {
    return this.#garbage.splice(0, REMOVALS_PER_APPEND);
  }

  #forget(keyspace: Keyspace, revision: number): void {
    const { versions } = this.#index;
    const { history } = keyspace;
    const end = history.indexOf(revision + 1);
    const dead = new Set<number>();
    for (let i = 0; i < end; i++) {
      const slot = history.at(i);
      for (const older of this.#index.olderThan(slot)) {
        if (dead.has(older)) break;
        if (versions.modRevision(older) < revision) dead.add(older);
      }
      if (versions.deleted(slot) && versions.modRevision(slot) < revision) dead.add(slot);
    }
    history.dropFirst(history.indexOf(revision));
    for (const slot of dead) {
      keyspace.unlink(slot);
      this.#index.cache.delete(slot);
      this.#garbage.push(slot);
    }
  }
}
