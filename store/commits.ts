/** Puts commits together: records in their places, what goes with them, and how they are shown. */
import type { Bytes } from "../backends/mod.ts";
import type { Checkpointer } from "./checkpointer.ts";
import { fromBinaryString } from "./bytes.ts";
import { encodeEntry } from "./entry.ts";
import {
  type Commit,
  headerBytes,
  type NewRecord,
  type RemovalRequest,
  type Reseal,
} from "./group.ts";
import type { Index } from "./index.ts";
import type { Reader } from "./reader.ts";
import { RECORD_KIND } from "./record.ts";
import type { RecordSealer } from "./record_sealer.ts";
import type { Applied, Change } from "./txn.ts";
import type { TxnResponse } from "./types.ts";
import { NO_SLOT } from "./versions.ts";
import type { WatchHub } from "./watch.ts";
import type { Place, PreparedCommit } from "./writer.ts";

/** What a commit that changes no key may hold. */
export interface CommitParts {
  readonly records?: readonly NewRecord[];
  readonly removals?: () => readonly RemovalRequest[];
  readonly reseals?: readonly Reseal[];
  readonly begin?: () => void;
  readonly keyring?: { readonly version: number; readonly bytes: Bytes };
  /** The append is durable. */
  readonly publish: () => void;
  readonly reject: (error: unknown) => void;
}

export class Commits {
  readonly #index: Index;
  readonly #sealer: RecordSealer;
  readonly #reader: Reader;
  readonly #watches: WatchHub;
  readonly #checkpointer: Checkpointer;

  constructor(parts: {
    readonly index: Index;
    readonly sealer: RecordSealer;
    readonly reader: Reader;
    readonly watches: WatchHub;
    readonly checkpointer: Checkpointer;
  }) {
    this.#index = parts.index;
    this.#sealer = parts.sealer;
    this.#reader = parts.reader;
    this.#watches = parts.watches;
    this.#checkpointer = parts.checkpointer;
  }

  /** A transaction that was applied to memory. */
  ofTxn(
    place: Place,
    { response, changes }: Applied,
    resolve: (response: TxnResponse) => void,
    reject: (error: unknown) => void,
  ): PreparedCommit {
    if (changes.length === 0) return { done: () => resolve(response) };
    const { versions } = this.#index;
    const records: NewRecord[] = [];
    const recorded = changes.filter((change) => change.record !== undefined);
    for (let index = 0; index < recorded.length; index++) {
      const { slot, record } = recorded[index]!;
      versions.place(slot, {
        position: place.position + index,
        sequence: place.sequence,
        index,
        count: recorded.length,
        origin: 0,
      });
      records.push({
        kind: RECORD_KIND.entry,
        plaintext: record!,
        onSealed: (_header, tag) => versions.sealedBy(slot, this.#sealer.current.number, tag),
      });
    }
    const overwritten = this.#overwritten(changes);
    const commit = this.of(place, {
      records,
      removals: () => overwritten.map((slot) => this.#removal(slot)),
      publish: () => {
        this.#publish(changes, overwritten);
        resolve(response);
      },
      reject,
    });
    return { commit };
  }

  of(place: Place, parts: CommitParts): Commit {
    const { records = [], removals = () => [], ...rest } = parts;
    return {
      sequence: place.sequence,
      firstPosition: place.position,
      records,
      removals,
      revisions: this.#index.keyspaces.map((keyspace) => keyspace.revision),
      compacted: this.#index.keyspaces.map((keyspace) => keyspace.compactedRevision),
      ...rest,
    };
  }

  /** Removes versions that the index knows no more. */
  ofRemovals(place: Place, slots: readonly number[]): Commit {
    return this.of(place, {
      removals: () => slots.map((slot) => this.#removal(slot)),
      publish: () => slots.forEach((slot) => this.#index.release(slot)),
      reject: () => {},
    });
  }

  /**
   * A version whose record is to be sealed anew in its place.
   * @param value that of the version at `position`, read back or from memory
   */
  reseal(slot: number, position: number, value: Bytes): Reseal {
    const { versions, resealing, dying } = this.#index;
    const key = fromBinaryString(versions.key(slot));
    const meta = {
      keyspace: versions.keyspace(slot),
      deleted: versions.deleted(slot),
      sub: versions.sub(slot),
      modRevision: versions.modRevision(slot),
      createRevision: versions.createRevision(slot),
      version: versions.version(slot),
      lease: versions.lease(slot),
    };
    return {
      position,
      plaintext: encodeEntry(meta, key, value),
      stands: () => {
        if (versions.position(slot) !== position || dying.has(position)) return undefined;
        return { header: this.#reader.headerOf(slot), tag: versions.tag(slot).slice() };
      },
      onSealed: (_header, tag) => {
        const before = { header: this.#reader.headerOf(slot), tag: versions.tag(slot).slice() };
        resealing.set(position, before);
        versions.sealedBy(slot, this.#sealer.current.number, tag);
        this.#checkpointer.resealed(position);
      },
    };
  }

  /** They are durable: readers find nothing else any more. */
  resealed(reseals: readonly Reseal[]): void {
    for (const { position } of reseals) this.#index.resealing.delete(position);
  }

  /** What a keyspace without history gives up with these changes. */
  #overwritten(changes: readonly Change[]): number[] {
    const overwritten: number[] = [];
    for (const { keyspace, slot } of changes) {
      if (this.#index.keyspaces[keyspace]!.keepsHistory) continue;
      const older = this.#index.versions.older(slot);
      if (older !== NO_SLOT && !this.#index.versions.deleted(older)) overwritten.push(older);
    }
    return overwritten;
  }

  #removal(slot: number): RemovalRequest {
    const { versions } = this.#index;
    const position = versions.position(slot);
    // A version without a tag was never sealed: it was born in this same append.
    if (!versions.sealed(slot)) return { unborn: position };
    this.#index.dying.add(position);
    return {
      position,
      header: headerBytes(this.#reader.headerOf(slot)),
      tag: versions.tag(slot).slice(),
    };
  }

  /** The transaction is durable: readers and watchers see it, what it overwrote goes. */
  #publish(changes: readonly Change[], overwritten: readonly number[]): void {
    const { versions } = this.#index;
    const touched: number[][] = [[], [], []];
    for (const { keyspace, slot } of changes) touched[keyspace]!.push(slot);
    for (const [number, slots] of touched.entries()) {
      if (slots.length === 0) continue;
      const keyspace = this.#index.keyspaces[number]!;
      const revision = versions.modRevision(slots[0]!);
      keyspace.durableRevision = revision;
      this.#watches.publish(keyspace, revision, slots);
    }
    for (const { slot, record } of changes) {
      if (record === undefined) continue;
      this.#index.settle(slot);
      this.#checkpointer.added(slot);
    }
    for (const slot of overwritten) {
      this.#index.keyspaces[versions.keyspace(slot)]!.unlink(slot);
      this.#index.release(slot);
    }
    for (const { keyspace, slot, record } of changes) {
      if (record !== undefined) continue;
      this.#index.keyspaces[keyspace]!.unlink(slot);
      this.#index.release(slot);
    }
  }
}
