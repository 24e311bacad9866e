/** The store: the seam of mod.ts over index, writer, reader and watches. */
import type { Bytes, Sealer } from "../backends/mod.ts";
import type { AeadProvider } from "./aead.ts";
import { Anchoring } from "./anchoring.ts";
import { backupStream } from "./backup.ts";
import { fromBinaryString } from "./bytes.ts";
import { Checkpointer } from "./checkpointer.ts";
import { Commits } from "./commits.ts";
import { Compactor } from "./compact.ts";
import { StoreError, type StoreErrorCode } from "./errors.ts";
import type { Freshness } from "./freshness.ts";
import type { Head } from "./head.ts";
import type { Incarnations } from "./incarnations.ts";
import type { Index } from "./index.ts";
import { KeyChanges } from "./key_changes.ts";
import type { Keyring } from "./keyring.ts";
import type { LoadedLog } from "./load.ts";
import type { DurableLog, LogSize } from "./log.ts";
import type { MultisetHash } from "./multiset.ts";
import type { Pacer } from "./pacer.ts";
import { readRange } from "./read_range.ts";
import { Reader } from "./reader.ts";
import type { RecordSealer } from "./record_sealer.ts";
import { checkTxn } from "./requests.ts";
import { Rotation } from "./rotation.ts";
import { TxnRunner } from "./txn.ts";
import type {
  BackupSummary,
  KeyspaceName,
  KeyStatus,
  RangeRequest,
  RangeResponse,
  Restoration,
  RotationStatus,
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
import { WatchHub } from "./watch.ts";
import { Writer } from "./writer.ts";

/** What a disk that lies is caught by. */
const LIES: ReadonlySet<StoreErrorCode> = new Set<StoreErrorCode>([
  "record_altered",
  "record_missing",
  "foreign_record",
  "head_mismatch",
  "keyring_altered",
  "keyring_missing",
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
  readonly random: (length: number) => Bytes;
  /** Milliseconds since the epoch. Only shown. */
  readonly clock: () => number;
  /** Where the KEK is sealed; undefined where the TEE has no sealing key. */
  readonly tee: Sealer | undefined;
  readonly pacer: Pacer;
  readonly recordKeyLimit: number;
  readonly dataKeyLimit: number;
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
  readonly #commits: Commits;
  readonly #anchoring: Anchoring;
  readonly #keys: KeyChanges;
  readonly #rotation: Rotation;
  readonly #verifying = new Set<Promise<unknown>>();
  #closed: StoreError | undefined;
  #closing: Promise<void> | undefined;

  constructor(parts: SealedStoreParts) {
    this.#parts = parts;
    this.storeId = parts.keyring.storeId;
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
      now: () => performance.now(),
      onFailure: (error) => this.#watches.fail(error),
      onIdle: () => this.#cleanUp(),
      takeCheckpoint: () => this.#checkpointer.take(),
      onDurable: (head) => {
        this.#checkpointer.step(head.sequence).catch((error) => this.#writer.fail(error));
        this.#anchoring.step(head);
        if (this.#keys.isDataKeyDue) this.#rotation.start();
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
    const { index, sealer, incarnations } = parts;
    const shared = { index, sealer, incarnations, reader: this.#reader, writer: this.#writer };
    const checkpointer = this.#checkpointer;
    this.#commits = new Commits({ ...shared, watches: this.#watches, checkpointer });
    this.#anchoring = new Anchoring(parts.freshness, this.#writer, this.#commits);
    this.#keys = new KeyChanges({ ...parts, ...shared, commits: this.#commits });
    this.#rotation = new Rotation({
      ...shared,
      checkpointer,
      keys: this.#keys,
      commits: this.#commits,
      pacer: parts.pacer,
      checked: async () => {
        await Promise.all(this.#verifying);
      },
    });
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

  range(name: KeyspaceName, request: RangeRequest): Promise<RangeResponse> {
    const check = () => this.#check();
    return readRange({ index: this.#index, reader: this.#reader, check }, name, request);
  }

  async txn(request: TxnRequest): Promise<TxnResponse> {
    this.#check();
    const writes = checkTxn(request);
    if (writes) this.#checkWritable();
    if (this.#keys.isRecordKeyDue) await this.#keys.renewIncarnation();
    return await new Promise<TxnResponse>((resolve, reject) => {
      this.#writer.submit({
        prepare: (place) => {
          const applied = this.#runner.run(request);
          return applied instanceof Promise
            ? applied.then((done) => this.#commits.ofTxn(place, done, resolve, reject))
            : this.#commits.ofTxn(place, applied, resolve, reject);
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
          const publish = () => {
            begin.finish();
            resolve();
          };
          return { commit: this.#commits.of(place, { publish, reject }) };
        },
        reject,
      });
    });
  }

  secret(purpose: SecretPurpose): Promise<Bytes> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    return Promise.resolve(this.#keys.secret(purpose));
  }

  keyStatus(): KeyStatus {
    return { ...this.#keys.status(), rotation: this.#rotation.status() };
  }

  async rotateKeys(): Promise<RotationStatus> {
    this.#check();
    this.#checkWritable();
    await this.#rotation.start();
    this.#check();
    return this.#rotation.status();
  }

  async rotationFinished(): Promise<void> {
    await this.#rotation.finished();
    this.#check();
  }

  stats(): StoreStats {
    const [system, k8s, etcd] = this.#index.keyspaces;
    return {
      aeadProvider: this.#parts.aead.name,
      keys: { system: system!.size, k8s: k8s!.size, etcd: etcd!.size },
      liveRecords: this.#writer.head.liveRecords,
      recordKeyUses: this.#parts.sealer.uses,
      freshness: this.#parts.freshness.status(),
      waitingMs: this.#writer.waitingMs,
    };
  }

  restoration(): Restoration | undefined {
    return this.#parts.incarnations.restoration();
  }

  async size(): Promise<LogSize> {
    this.#check();
    return await this.#parts.log.size();
  }

  async reclaim(): Promise<void> {
    this.#check();
    await this.#parts.log.reclaim();
  }

  async addRecoveryKey(publicKey: Bytes): Promise<void> {
    this.#check();
    this.#checkWritable();
    await this.#keys.addRecoveryKey(publicKey);
  }

  async authorizeSuccessor(measurement: Bytes): Promise<void> {
    this.#check();
    this.#checkWritable();
    await this.#keys.authorizeSuccessor(measurement);
  }

  async withdrawSuccessor(): Promise<boolean> {
    this.#check();
    this.#checkWritable();
    return await this.#keys.withdrawSuccessor();
  }

  /** Begins the new incarnation in the log; openStore awaits it. */
  async begin(reason: "create" | "open" | "recover" | "reseal"): Promise<void> {
    await this.#anchoring.first(() => this.#keys.beginIncarnation(reason, this.#parts.newKeyring));
    this.#rotation.resume();
  }

  verify(): Promise<number> {
    const verifying = this.#verify();
    // Rotation waits for it either way; its failure is the caller's.
    const over = verifying.then(() => {}, () => {}).finally(() => this.#verifying.delete(over));
    this.#verifying.add(over);
    return verifying;
  }

  async #verify(): Promise<number> {
    this.#check();
    const { log, sealer } = this.#parts;
    try {
      return await verifyRecords(log, sealer, () => this.#closed !== undefined);
    } catch (error) {
      this.#writer.fail(error);
      throw error;
    }
  }

  /** Authenticates what the opening took from the checkpoint; the first lie stops the store. */
  verifyBehind(): void {
    this.verify().catch(() => {}); // told by `failure`
  }

  async *backup(onEnd: (summary: BackupSummary) => void): AsyncGenerator<Bytes, void> {
    this.#check();
    const { keyring } = this.#keys;
    try {
      yield* backupStream({ ...this.#parts, keyring, onEnd });
    } catch (error) {
      if (error instanceof StoreError && LIES.has(error.code)) this.#writer.fail(error);
      throw error;
    }
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
    await this.#rotation.close();
    await Promise.all(this.#verifying);
    await this.#writer.settled();
    if (!this.#parts.readOnly) await this.#anchoring.last();
    this.#writer.fail(closed);
    this.#parts.freshness.close();
    this.#parts.sealer.close();
    this.#parts.multiset.close();
    this.#index.cache.clear();
    this.#keys.wipe();
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

  /** Nothing waits: remove some of what compaction gave up. */
  #cleanUp(): void {
    if (this.#parts.readOnly || this.#closed !== undefined) return;
    const slots = this.#compactor.take();
    if (slots.length === 0) return;
    this.#writer.submit({
      prepare: (place) => ({ commit: this.#commits.ofRemovals(place, slots) }),
      reject: () => {},
    });
  }
}
