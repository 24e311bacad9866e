/** The whole store in memory: three keyspaces over one table of versions, and the values at hand. */
import type { Bytes } from "../backends/mod.ts";
import { fromBinaryString } from "./bytes.ts";
import { type EntryMeta, keyspaceNumber, KEYSPACES } from "./entry.ts";
import { Keyspace } from "./keyspace.ts";
import type { RecordHeader } from "./record.ts";
import type { KeyspaceName, KeyValue } from "./types.ts";
import { LeasedKeys } from "./leased_keys.ts";
import { ValueCache } from "./value_cache.ts";
import { NO_SLOT, Versions } from "./versions.ts";

const EMPTY: Bytes = new Uint8Array(0);

export class Index {
  readonly versions = new Versions();
  readonly cache: ValueCache;
  readonly keyspaces: readonly Keyspace[];
  /** Which keys are attached to which lease, in the newest state, durable or not. */
  readonly leases = new LeasedKeys();
  /** Values of versions that are not durable yet. */
  readonly #pending = new Map<number, Bytes>();
  /** Positions whose removal is on its way: readers that miss them have not caught the disk lying. */
  readonly dying = new Set<number>();
  /** How records stood whose new sealing is on its way, by position: readers may still find them so. */
  readonly resealing = new Map<number, { readonly header: RecordHeader; readonly tag: Bytes }>();
  /** Told the position of every record that is gone. */
  onRelease: ((position: number) => void) | undefined;

  constructor(cacheBytes: number) {
    this.cache = new ValueCache(cacheBytes);
    this.keyspaces = KEYSPACES.map((name, i) => new Keyspace(name, i, this.versions));
  }

  keyspace(name: KeyspaceName): Keyspace {
    return this.keyspaces[keyspaceNumber(name)]!;
  }

  /** A new newest version of a key. */
  push(key: string, meta: EntryMeta, valueLength: number): number {
    const keyspace = this.keyspaces[meta.keyspace]!;
    const newest = keyspace.newest(key);
    const before = newest === NO_SLOT ? 0n : this.versions.lease(newest);
    // One string for all versions of a key.
    const name = newest === NO_SLOT ? key : this.versions.key(newest);
    const slot = this.versions.add(name, meta, valueLength, newest);
    keyspace.setNewest(key, slot);
    this.leases.move(key, before, meta.lease);
    return slot;
  }

  holdPending(slot: number, value: Bytes): void {
    this.#pending.set(slot, value);
  }

  /** The version became durable: its value may now be given up and read back. */
  settle(slot: number): void {
    const value = this.#pending.get(slot);
    if (value === undefined) return;
    this.#pending.delete(slot);
    this.cache.set(slot, value);
  }

  /** The value, if it is in memory. */
  valueAtHand(slot: number): Bytes | undefined {
    if (this.versions.valueLength(slot) === 0) return EMPTY;
    return this.#pending.get(slot) ?? this.cache.get(slot);
  }

  /** Gives the slot back. Its record is gone, or never was. */
  release(slot: number): void {
    this.onRelease?.(this.versions.position(slot));
    this.#pending.delete(slot);
    this.cache.delete(slot);
    this.dying.delete(this.versions.position(slot));
    this.versions.free(slot);
  }

  keyValue(slot: number, value: Bytes): KeyValue {
    const versions = this.versions;
    return {
      key: fromBinaryString(versions.key(slot)),
      value,
      createRevision: versions.createRevision(slot),
      modRevision: versions.modRevision(slot),
      version: versions.version(slot),
      lease: versions.lease(slot),
    };
  }

  /** All versions below a slot in its chain. */
  *olderThan(slot: number): Iterable<number> {
    for (let at = this.versions.older(slot); at !== NO_SLOT; at = this.versions.older(at)) yield at;
  }
}
