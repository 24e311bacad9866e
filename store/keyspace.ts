/** One keyspace in memory: keys in order, each with its chain of versions, newest first. */
import { BTree, NOT_FOUND } from "./btree.ts";
import { RevisionLog } from "./revision_log.ts";
import type { KeyspaceName } from "./types.ts";
import { NO_SLOT, type Versions } from "./versions.ts";

/** etcd's first revision: an empty store stands at 1. */
export const FIRST_REVISION = 1;

export class Keyspace {
  readonly name: KeyspaceName;
  readonly number: number;
  /** `system` keeps none: what is overwritten is deleted in the same append. */
  readonly keepsHistory: boolean;
  readonly history: RevisionLog;
  /** The newest revision, durable or on its way. */
  revision = FIRST_REVISION;
  /** What readers see. */
  durableRevision = FIRST_REVISION;
  /** Reads below are refused. */
  compactedRevision = 0;
  readonly #tree = new BTree();
  readonly #versions: Versions;

  constructor(name: KeyspaceName, number: number, versions: Versions) {
    this.name = name;
    this.number = number;
    this.keepsHistory = name !== "system";
    this.#versions = versions;
    this.history = new RevisionLog(versions);
  }

  /** Keys with any version, tombstones included. */
  get size(): number {
    return this.#tree.size;
  }

  /** The newest version of a key, durable or not, deleted or not; NO_SLOT where there is none. */
  newest(key: string): number {
    const slot = this.#tree.get(key);
    return slot === NOT_FOUND ? NO_SLOT : slot;
  }

  setNewest(key: string, slot: number): void {
    this.#tree.set(key, slot);
  }

  /** The live version of a key at a revision; NO_SLOT where it did not exist then. */
  at(key: string, revision: number): number {
    return this.#visible(this.newest(key), revision);
  }

  /** Calls `visit` with the version of every key in the range that lives at the revision, in key order. */
  scan(
    start: string,
    end: string | undefined,
    revision: number,
    visit: (slot: number) => boolean,
  ): void {
    this.#tree.scan(start, end, (_key, newest) => {
      const slot = this.#visible(newest, revision);
      return slot === NO_SLOT ? true : visit(slot);
    });
  }

  /** Takes a version out of its key's chain; the key goes with its last version. */
  unlink(slot: number): void {
    const key = this.#versions.key(slot);
    const older = this.#versions.older(slot);
    let at = this.newest(key);
    if (at === slot) {
      if (older === NO_SLOT) this.#tree.delete(key);
      else this.#tree.set(key, older);
      return;
    }
    while (at !== NO_SLOT) {
      const next = this.#versions.older(at);
      if (next === slot) {
        this.#versions.setOlder(at, older);
        return;
      }
      at = next;
    }
  }

  #visible(newest: number, revision: number): number {
    let slot = newest;
    while (slot !== NO_SLOT && this.#versions.modRevision(slot) > revision) {
      slot = this.#versions.older(slot);
    }
    return slot === NO_SLOT || this.#versions.deleted(slot) ? NO_SLOT : slot;
  }
}
