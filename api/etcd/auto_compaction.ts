/** etcd's automatic compaction: keep so many revisions, or so much time. */
import { type KeyspaceName, type Store, StoreError } from "../../store/mod.ts";

export type AutoCompaction =
  | { readonly mode: "off" }
  /** `--auto-compaction-mode=revision`: everything but the newest `retention` revisions goes. */
  | { readonly mode: "revision"; readonly retention: number }
  /** `--auto-compaction-mode=periodic`: what is older than this goes. */
  | { readonly mode: "periodic"; readonly retentionMs: number };

/** How often each mode looks, as in etcd: every five minutes, or ten times a retention up to hourly. */
const REVISION_INTERVAL_MS = 300_000;
const PERIODIC_STEPS = 10;
const HOUR_MS = 3_600_000;

export class AutoCompactor {
  readonly #store: Store;
  readonly #clock: () => number;
  readonly #mode: AutoCompaction;
  readonly #keyspace: KeyspaceName;
  /** Revisions seen, oldest first (periodic mode). */
  #seen: { readonly atMs: number; readonly revision: number }[] = [];
  #lastLookMs: number | undefined;

  constructor(
    store: Store,
    clock: () => number,
    mode: AutoCompaction,
    keyspace: KeyspaceName = "etcd",
  ) {
    this.#store = store;
    this.#clock = clock;
    this.#mode = mode;
    this.#keyspace = keyspace;
  }

  get intervalMs(): number {
    if (this.#mode.mode === "periodic") {
      return Math.min(this.#mode.retentionMs, HOUR_MS) / PERIODIC_STEPS;
    }
    return REVISION_INTERVAL_MS;
  }

  /** Looks whether it is time; to be called often. @returns the revision compacted at, if any */
  async tick(): Promise<number | undefined> {
    const mode = this.#mode;
    if (mode.mode === "off") return undefined;
    const now = this.#clock();
    if (this.#lastLookMs !== undefined && now - this.#lastLookMs < this.intervalMs) {
      return undefined;
    }
    this.#lastLookMs = now;
    const newest = this.#store.revision(this.#keyspace);
    const target = mode.mode === "revision"
      ? newest - mode.retention
      : this.#periodicTarget(now, newest, mode.retentionMs);
    if (
      target === undefined || target <= Math.max(1, this.#store.compactedRevision(this.#keyspace))
    ) {
      return undefined;
    }
    try {
      await this.#store.compact(this.#keyspace, target);
    } catch (error) {
      // A client compacted further meanwhile.
      if (error instanceof StoreError && error.code === "compacted") return undefined;
      throw error;
    }
    return target;
  }

  #periodicTarget(now: number, newest: number, retentionMs: number): number | undefined {
    this.#seen.push({ atMs: now, revision: newest });
    let target: number | undefined;
    while (this.#seen.length > 0 && now - this.#seen[0]!.atMs >= retentionMs) {
      target = this.#seen.shift()!.revision;
    }
    return target;
  }
}
