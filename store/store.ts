/** The store: the seam of mod.ts over index, writer, reader and watches. */
import type { Bytes } from "../backends/mod.ts";
import type { AeadProvider } from "./aead.ts";
import { fromBinaryString } from "./bytes.ts";
import { Checkpointer } from "./checkpointer.ts";
import { Compactor } from "./compact.ts";
import { StoreError } from "./errors.ts";
import { type Commit, headerBytes, type NewRecord, type RemovalRequest } from "./group.ts";
import type { Freshness } from "./freshness.ts";
import type { Head } from "./head.ts";
import type { IncarnationReason } from "./incarnation.ts";
import type { Index } from "./index.ts";
import type { Incarnations } from "./incarnations.ts";
import { deriveKey } from "./kdf.ts";
import { addRecoveryWrap, type Keyring, wipeKeyring } from "./keyring.ts";
import type { LoadedLog } from "./load.ts";
import type { DurableLog } from "./log.ts";
import type { MultisetHash } from "./multiset.ts";
import { readRevision, selectSlots, toKeyValues } from "./range.ts";
import { Reader } from "./reader.ts";
import { RECORD_KIND } from "./record.ts";
import type { RecordSealer } from "./record_sealer.ts";
import { checkTxn } from "./requests.ts";
import { type Applied, type Change, TxnRunner } from "./txn.ts";
import type {
  KeyspaceName,
  KeyStatus,
  RangeRequest,
  RangeResponse,
  SecretPurpose,
  Store,
  StoreHead,
  StoreStats,
  TxnRequest,
  TxnResponse,
  Watcher,
  WatchRequest,
} from "./types.ts";
import { verifyRecords } from "./verify.ts";
import { NO_SLOT } from "./versions.ts";
import { WatchHub } from "./watch.ts";
import { type Place, type PreparedCommit, Writer } from "./writer.ts";

/** Secrets that stay with the store for good; the others are renewed by restore and recovery. */
const LASTING_SECRETS: ReadonlySet<SecretPurpose> = new Set<SecretPurpose>([
  "etcd-ca",
  "etcd-snapshot",
  "sui-signer",
  "audit",
]);

export interface SealedStoreParts {
  readonly log: DurableLog;
  readonly aead: AeadProvider;
  readonly keyring: Keyring;
  readonly sealer: RecordSealer;
  readonly multiset: MultisetHash;
  readonly index: Index;
  readonly head: Head;
  readonly headHash: Bytes;
  readonly incarnations: Incarnations;
  readonly loaded: LoadedLog;
  readonly readOnly: boolean;
  readonly maxInFlight: number;
  readonly recordKeyLimit: number;
  readonly chunkFacts: number;
  /** Replaces the keyring in the first append (a new store's). */
  readonly newKeyring: { readonly version: number; readonly bytes: Bytes } | undefined;
  readonly freshness: Freshness;
}

export class SealedStore implements Store {
  readonly storeId: Bytes;
  readonly #parts: SealedStoreParts;
  readonly #index: Index;
  readonly #reader: Reader;
  readonly #runner: TxnRunner;
  readonly #writer: Writer;
  readonly #watches: WatchHub;
  readonly #compactor: Compactor;
  readonly #checkpointer: Checkpointer;
  #keyring: Keyring;
  #closed: StoreError | undefined;
  #closing: Promise<void> | undefined;
  #verifying: Promise<void> | undefined;
  #renewing: Promise<void> | undefined;

  constructor(parts: SealedStoreParts) {
    this.#parts = parts;
    this.storeId = parts.keyring.storeId;
    this.#keyring = parts.keyring;
    this.#index = parts.index;
    this.#reader = new Reader({
      index: parts.index,
      log: parts.log,
      sealer: parts.sealer,
      onLie: (error) => this.#writer.fail(error),
    });
    const load = (slot: number) => this.#reader.load(slot);
    this.#runner = new TxnRunner(parts.index, load);
    this.#watches = new WatchHub(parts.index, load);
    this.#writer = new Writer({
      log: parts.log,
      sealer: parts.sealer,
      multiset: parts.multiset,
      head: parts.head,
      headHash: parts.headHash,
      maxInFlight: parts.maxInFlight,
      onFailure: (error) => this.#watches.fail(error),
      onIdle: () => this.#cleanUp(),
      takeCheckpoint: () => this.#checkpointer.take(),
      onDurable: (head) => {
        this.#checkpointer.step(head.sequence).catch((error) => this.#writer.fail(error));
        if (parts.freshness.due(head)) this.#anchor().catch((error) => this.#writer.fail(error));
      },
    });
    this.#compactor = new Compactor(parts.index, parts.loaded.garbage);
    this.#checkpointer = new Checkpointer({
      index: parts.index,
      sealer: parts.sealer,
      multiset: parts.multiset,
      headerOf: (slot) => this.#reader.headerOf(slot),
      chunks: parts.loaded.chunks,
      tail: parts.loaded.tail,
      chunkFacts: parts.chunkFacts,
    });
    parts.index.onRelease = (position) => this.#checkpointer.removed(position);
  }

  get incarnation(): Bytes {
    return this.#parts.sealer.current.incarnation;
  }

  get failure(): StoreError | undefined {
    return this.#writer.failure;
  }

  head(): StoreHead {
    const head = this.#writer.head;
    return { sequence: BigInt(head.sequence), digest: head.sum };
  }

  revision(keyspace: KeyspaceName): number {
    return this.#index.keyspace(keyspace).durableRevision;
  }

  compactedRevision(keyspace: KeyspaceName): number {
    return this.#index.keyspace(keyspace).compactedRevision;
  }

  leasedKeys(lease: bigint): readonly Bytes[] {
    return this.#index.leases.of(lease).map(fromBinaryString);
  }

  async range(name: KeyspaceName, request: RangeRequest): Promise<RangeResponse> {
    const keyspace = this.#index.keyspace(name);
    const keysOnly = request.keysOnly === true;
    for (;;) {
      this.#check();
      const newest = keyspace.durableRevision;
      const revision = readRevision(keyspace, request.revision, newest);
      const { slots, more, count } = selectSlots(keyspace, request, revision);
      const [only] = slots;
      if (only !== undefined && count === 1 && !keysOnly) {
        // The common case, a get from memory, without what several values need.
        const value = this.#index.valueAtHand(only);
        if (value !== undefined) {
          return { kvs: [this.#index.keyValue(only, value)], more, count, revision: newest };
        }
      }
      const values = new Map<number, Bytes>();
      const missing: number[] = [];
      if (!keysOnly) {
        for (const slot of slots) {
          const value = this.#index.valueAtHand(slot);
          if (value === undefined) missing.push(slot);
          else values.set(slot, value);
        }
      }
      if (missing.length === 0) {
        const kvs = toKeyValues(this.#index, slots, keysOnly, (slot) => values.get(slot)!);
        return { kvs, more, count, revision: newest };
      }
      // The key-values are made now, as long as the slots are theirs.
      const bare = toKeyValues(this.#index, slots, true, () => new Uint8Array(0));
      await Promise.all(missing.map(async (slot) => {
        const value = await this.#reader.load(slot);
        if (value !== undefined) values.set(slot, value);
      }));
      if (slots.every((slot) => values.has(slot))) {
        const kvs = bare.map((kv, i) => ({ ...kv, value: values.get(slots[i]!)! }));
        return { kvs, more, count, revision: newest };
      }
    }
  }

  async txn(request: TxnRequest): Promise<TxnResponse> {
    this.#check();
    const writes = checkTxn(request);
    if (writes) this.#checkWritable();
    if (this.#parts.sealer.uses >= this.#parts.recordKeyLimit) await this.#renewIncarnation();
    return await new Promise<TxnResponse>((resolve, reject) => {
      this.#writer.submit({
        prepare: (place) => {
          const applied = this.#runner.run(request);
          return applied instanceof Promise
            ? applied.then((done) => this.#prepare(place, done, resolve, reject))
            : this.#prepare(place, applied, resolve, reject);
        },
        reject,
      });
    });
  }

  watch(name: KeyspaceName, request: WatchRequest): Watcher {
    this.#check();
    return this.#watches.watch(this.#index.keyspace(name), request);
  }

  async compact(name: KeyspaceName, revision: number): Promise<void> {
    this.#check();
    this.#checkWritable();
    await new Promise<void>((resolve, reject) => {
      this.#writer.submit({
        prepare: (place) => {
          const begin = this.#compactor.begin(this.#index.keyspace(name), revision);
          const commit = this.#commit(place, [], () => [], () => {
            begin.finish();
            resolve();
          }, reject);
          return { commit };
        },
        reject,
      });
    });
  }

  secret(purpose: SecretPurpose): Promise<Bytes> {
    const keyring = this.#keyring;
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    const salt = LASTING_SECRETS.has(purpose)
      ? keyring.storeId
      : Uint8Array.fromHex(keyring.body.generation);
    return Promise.resolve(deriveKey(keyring.kek, salt, `secret/${purpose}`));
  }

  keyStatus(): KeyStatus {
    const { body } = this.#keyring;
    return {
      keyringVersion: body.version,
      wraps: body.wraps.map((wrap) =>
        wrap.type === "sealer"
          ? { type: wrap.type, policy: wrap.policy }
          : { type: wrap.type, recipient: wrap.recipient }
      ),
      deks: body.deks.map(({ id, state }) => ({ id, state })),
    };
  }

  stats(): StoreStats {
    const [system, k8s, etcd] = this.#index.keyspaces;
    return {
      aeadProvider: this.#parts.aead.name,
      keys: { system: system!.size, k8s: k8s!.size, etcd: etcd!.size },
      liveRecords: this.#writer.head.liveRecords,
      recordKeyUses: this.#parts.sealer.uses,
      freshness: this.#parts.freshness.status(),
    };
  }

  async addRecoveryKey(publicKey: Bytes): Promise<void> {
    this.#check();
    this.#checkWritable();
    await new Promise<void>((resolve, reject) => {
      this.#writer.submit({
        prepare: async (place) => {
          const next = await addRecoveryWrap(this.#keyring, publicKey);
          this.#keyring = next.keyring;
          const commit = this.#commit(place, [], () => [], resolve, reject);
          return {
            commit: {
              ...commit,
              keyring: { version: next.keyring.body.version, bytes: next.bytes },
            },
          };
        },
        reject,
      });
    });
  }

  /** Begins the new incarnation in the log; openStore awaits it. */
  async begin(reason: "create" | "open" | "recover"): Promise<void> {
    const { freshness } = this.#parts;
    this.#writer.anchor = { counter: freshness.nextCounter(), by: freshness.by };
    await this.#appendIncarnation(reason, this.#parts.newKeyring);
    await freshness.advance(this.#writer.head);
  }

  async verify(): Promise<number> {
    this.#check();
    try {
      return await verifyRecords(
        this.#parts.log,
        this.#parts.sealer,
        () => this.#closed !== undefined,
      );
    } catch (error) {
      this.#writer.fail(error);
      throw error;
    }
  }

  /** Authenticates what the opening took from the checkpoint; the first lie stops the store. */
  verifyBehind(): void {
    this.#verifying = this.verify().then(() => {}, () => {});
  }

  /** Resolves when nothing waits to be written, compaction's removals included. */
  async settled(): Promise<void> {
    await this.#writer.settled();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const closed = new StoreError("closed", "the store was closed");
    this.#closed = closed;
    await this.#verifying;
    await this.#writer.settled();
    await this.#anchorLast();
    this.#writer.fail(closed);
    this.#parts.freshness.close();
    this.#parts.sealer.close();
    this.#parts.multiset.close();
    this.#index.cache.clear();
    wipeKeyring(this.#keyring);
    await this.#parts.log[Symbol.asyncDispose]();
  }

  #check(): void {
    const failure = this.#closed ?? this.#writer.failure;
    if (failure !== undefined) throw failure;
  }

  #checkWritable(): void {
    if (this.#parts.readOnly) {
      throw new StoreError("invalid_request", "the store was opened read-only");
    }
  }

  #prepare(
    place: Place,
    { response, changes }: Applied,
    resolve: (response: TxnResponse) => void,
    reject: (error: unknown) => void,
  ): PreparedCommit {
    if (changes.length === 0) return { done: () => resolve(response) };
    const { versions } = this.#index;
    const records: NewRecord[] = [];
    const origin = () => this.#parts.sealer.current.number;
    const recorded = changes.filter((change) => change.record !== undefined);
    for (const [index, { slot, record }] of recorded.entries()) {
      const placed = {
        position: place.position + index,
        sequence: place.sequence,
        index,
        count: recorded.length,
      };
      versions.place(slot, { ...placed, origin: 0 });
      records.push({
        kind: RECORD_KIND.entry,
        plaintext: record!,
        onSealed: (_header, tag) => {
          versions.place(slot, { ...placed, origin: origin() });
          versions.setTag(slot, tag);
        },
      });
    }
    const overwritten = this.#overwritten(changes);
    const commit = this.#commit(
      place,
      records,
      () => overwritten.map((slot) => this.#removal(slot)),
      () => {
        this.#publish(changes, overwritten);
        resolve(response);
      },
      reject,
    );
    return { commit };
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

  #commit(
    place: Place,
    records: readonly NewRecord[],
    removals: () => readonly RemovalRequest[],
    publish: () => void,
    reject: (error: unknown) => void,
  ): Commit {
    return {
      sequence: place.sequence,
      firstPosition: place.position,
      records,
      removals,
      revisions: this.#index.keyspaces.map((keyspace) => keyspace.revision),
      compacted: this.#index.keyspaces.map((keyspace) => keyspace.compactedRevision),
      publish,
      reject,
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

  /** Before the record key has sealed too much, the next incarnation begins. One at a time. */
  #renewIncarnation(): Promise<void> {
    this.#renewing ??= this.#renew().finally(() => this.#renewing = undefined);
    return this.#renewing;
  }

  async #renew(): Promise<void> {
    await this.#writer.settled();
    if (this.#parts.sealer.uses < this.#parts.recordKeyLimit) return;
    await this.#appendIncarnation("renew", undefined);
  }

  async #appendIncarnation(
    reason: IncarnationReason,
    keyring: { readonly version: number; readonly bytes: Bytes } | undefined,
  ): Promise<void> {
    const { incarnations, sealer } = this.#parts;
    await new Promise<void>((resolve, reject) => {
      this.#writer.submit({
        prepare: async (place) => {
          const step = await incarnations.begin(sealer, reason, place);
          const commit = this.#commit(place, [step.record], () => step.removals, resolve, reject);
          return { commit: keyring === undefined ? commit : { ...commit, keyring } };
        },
        reject,
      });
    });
  }

  /** Advances the anchors to now. A counter's next value must stand in a durable head first. */
  async #anchor(): Promise<void> {
    const { freshness } = this.#parts;
    const counter = freshness.nextCounter();
    if (counter !== this.#writer.head.anchorCounter) {
      this.#writer.anchor = { counter, by: freshness.by };
      await new Promise<void>((resolve, reject) => {
        this.#writer.submit({
          prepare: (place) => ({ commit: this.#commit(place, [], () => [], resolve, reject) }),
          reject,
        });
      });
    }
    await freshness.advance(this.#writer.head);
  }

  /** Before closing, so that what was written last is covered. */
  async #anchorLast(): Promise<void> {
    const { freshness, readOnly } = this.#parts;
    if (readOnly || !freshness.active || this.#writer.failure !== undefined) return;
    try {
      await this.#anchor();
    } catch (error) {
      // Told by the next opening, which finds the anchor advanced by somebody else.
      this.#writer.fail(error);
    }
  }

  /** Nothing waits: remove some of what compaction gave up. */
  #cleanUp(): void {
    if (this.#parts.readOnly || this.#closed !== undefined) return;
    const slots = this.#compactor.take();
    if (slots.length === 0) return;
    this.#writer.submit({
      prepare: (place) => ({
        commit: this.#commit(
          place,
          [],
          () => slots.map((slot) => this.#removal(slot)),
          () => slots.forEach((slot) => this.#index.release(slot)),
          () => {},
        ),
      }),
      reject: () => {},
    });
  }
}
