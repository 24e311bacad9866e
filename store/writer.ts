/**
 * The single writer. Transactions are applied to memory in order, gathered while an append is on
 * its way, sealed and appended together, and shown when the log says that they are durable.
 * The first failure stops the store.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import type { Bytes } from "../backends/mod.ts";
import { StoreError } from "./errors.ts";
import { type Commit, type SealedGroup, sealGroup } from "./group.ts";
import { encodeHead, type Head } from "./head.ts";
import type { CheckpointChange, DurableLog } from "./log.ts";
import type { MultisetHash } from "./multiset.ts";
import { HEAD_INDEX, RECORD_KIND } from "./record.ts";
import type { RecordSealer } from "./record_sealer.ts";

/** One append takes at most this much plaintext, so that no one waits long behind others. */
const MAX_GROUP_BYTES = 4 * 1024 * 1024;
const MAX_GROUP_COMMITS = 4096;
/** Jobs that were run and still stand in the queue, at most. */
const MAX_DONE_JOBS = 64;

/** Work in order: prepares a commit, or answers without one. */
export interface Job {
  /**
   * Applies to memory. Undefined: nothing changed; `done` is called once everything before it is
   * durable. No other job runs before this one answered.
   */
  readonly prepare: (place: Place) => PreparedCommit | Promise<PreparedCommit>;
  readonly reject: (error: unknown) => void;
}

/** Where the next commit stands. */
export interface Place {
  readonly sequence: number;
  readonly position: number;
}

export type PreparedCommit =
  | { readonly commit: Commit }
  | { readonly done: () => void };

export interface WriterOptions {
  readonly log: DurableLog;
  readonly sealer: RecordSealer;
  readonly multiset: MultisetHash;
  /** As opened, or the state before the first append. */
  readonly head: Head;
  /** SHA-256 of the head's record; zero before the first. */
  readonly headHash: Bytes;
  /** Appends on their way at once. */
  readonly maxInFlight: number;
  /** Milliseconds, monotonic: the wall clock may jump. */
  readonly now: () => number;
  readonly onFailure: (error: StoreError) => void;
  /** Called after appends were shown and nothing waits: room for compaction. */
  readonly onIdle: () => void;
  /** Chunks of the index checkpoint that are ready, for the next append. */
  readonly takeCheckpoint: () => CheckpointChange[];
  /** Called after every append that was shown. */
  readonly onDurable: (head: Head) => void;
}

interface Group {
  readonly commits: Commit[];
  /** Answers that wait for everything before them. */
  readonly done: (() => void)[];
  /** Their refusals, where the store stops first. */
  readonly reject: ((error: unknown) => void)[];
  bytes: number;
  /** When it was sent on its way, milliseconds, monotonic. */
  sinceMs: number;
}

export class Writer {
  readonly #options: WriterOptions;
  readonly #jobs: Job[] = [];
  #jobAt = 0;
  #scheduled = false;
  #running = false;
  readonly #groups: Group[] = [];
  readonly #inFlight: Group[] = [];
  #sealing = false;
  #head: Head;
  #headHash: Bytes;
  #durable: Head;
  #sequence: number;
  #position: number;
  #failure: StoreError | undefined;
  #idleWaiters: (() => void)[] = [];
  /** Goes into the next heads; freshness.ts moves it. */
  anchor: { counter: number; by: number };

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#head = options.head;
    this.#durable = options.head;
    this.#headHash = options.headHash;
    this.#sequence = options.head.sequence;
    this.#position = options.head.nextPosition;
    this.anchor = { counter: options.head.anchorCounter, by: options.head.anchoredBy };
  }

  /** The newest durable head. */
  get head(): Head {
    return this.#durable;
  }

  get failure(): StoreError | undefined {
    return this.#failure;
  }

  /** Whether nothing waits and nothing is on its way. */
  get idle(): boolean {
    return this.#jobAt === this.#jobs.length && !this.#running && !this.#sealing &&
      this.#groups.length === 0 && this.#inFlight.length === 0;
  }

  /** How long the oldest append that the disk has not answered is on its way; 0 without one. */
  get waitingMs(): number {
    const [oldest] = this.#inFlight;
    return oldest === undefined ? 0 : this.#options.now() - oldest.sinceMs;
  }

  submit(job: Job): void {
    if (this.#failure !== undefined) {
      job.reject(this.#failure);
      return;
    }
    this.#jobs.push(job);
    if (this.#scheduled || this.#running) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#run();
    });
  }

  /** Resolves when nothing waits any more (or the store stopped). */
  async settled(): Promise<void> {
    if (this.idle || this.#failure !== undefined) return;
    await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  /** Stops for good: everything that waits is refused with the error. */
  fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    const failure = error instanceof StoreError
      ? error
      : new StoreError("io", "the store stopped after a write failed", { cause: error });
    this.#failure = failure;
    for (const group of [...this.#inFlight, ...this.#groups]) {
      for (const commit of group.commits) commit.reject(failure);
      for (const reject of group.reject) reject(failure);
    }
    this.#inFlight.length = 0;
    this.#groups.length = 0;
    for (const job of this.#jobs.splice(this.#jobAt)) job.reject(failure);
    this.#options.onFailure(failure);
    this.#wakeIdle();
  }

  #run(): void {
    while (this.#jobAt < this.#jobs.length && this.#failure === undefined) {
      const job = this.#jobs[this.#jobAt++]!;
      // What was done is let go of at once: a request holds keys, values and its caller's promise.
      if (this.#jobAt === this.#jobs.length || this.#jobAt >= MAX_DONE_JOBS) {
        this.#jobs.splice(0, this.#jobAt);
        this.#jobAt = 0;
      }
      let prepared: PreparedCommit | Promise<PreparedCommit>;
      try {
        prepared = job.prepare({ sequence: this.#sequence + 1, position: this.#position });
      } catch (error) {
        this.#refuse(job, error);
        continue;
      }
      if (prepared instanceof Promise) {
        this.#running = true;
        prepared.then(
          (ready) => this.#gather(ready, job),
          (error) => this.#refuse(job, error),
        ).finally(() => {
          this.#running = false;
          this.#run();
        });
        // What is ready goes out meanwhile.
        this.#pump();
        return;
      }
      this.#gather(prepared, job);
    }
    this.#pump();
  }

  /** A refusal is the job's own; anything else may have left memory half changed. */
  #refuse(job: Job, error: unknown): void {
    job.reject(error);
    if (!(error instanceof StoreError)) this.fail(error);
  }

  #gather(prepared: PreparedCommit, job: Job): void {
    if (this.#failure !== undefined) {
      job.reject(this.#failure);
      return;
    }
    if ("done" in prepared) {
      const last = this.#groups.at(-1) ?? this.#inFlight.at(-1);
      if (last === undefined) prepared.done();
      else {
        last.done.push(prepared.done);
        last.reject.push(job.reject);
      }
      return;
    }
    const { commit } = prepared;
    this.#sequence = commit.sequence;
    this.#position = commit.firstPosition + commit.records.length;
    let group = this.#groups.at(-1);
    const full = group === undefined || commit.begin !== undefined ||
      group.bytes > MAX_GROUP_BYTES ||
      group.commits.length >= MAX_GROUP_COMMITS;
    if (group === undefined || full) {
      group = { commits: [], done: [], reject: [], bytes: 0, sinceMs: 0 };
      this.#groups.push(group);
    }
    group.commits.push(commit);
    for (const record of commit.records) group.bytes += record.plaintext.length;
    for (const reseal of commit.reseals ?? []) group.bytes += reseal.plaintext.length;
  }

  /** Seals and sends the next group where there is room for it. */
  #pump(): void {
    while (
      !this.#sealing && this.#groups.length > 0 && this.#failure === undefined &&
      this.#inFlight.length < this.#options.maxInFlight
    ) {
      const group = this.#groups.shift()!;
      group.sinceMs = this.#options.now();
      this.#inFlight.push(group);
      this.#sealing = true;
      let sealed: SealedGroup | Promise<SealedGroup>;
      try {
        sealed = sealGroup(group.commits, this.#options.sealer, this.#options.multiset);
      } catch (error) {
        this.fail(error);
        return;
      }
      if (sealed instanceof Promise) sealed.then((s) => this.#send(group, s), (e) => this.fail(e));
      else this.#send(group, sealed);
    }
    if (this.idle && this.#failure === undefined) {
      this.#options.onIdle();
      if (this.idle) this.#wakeIdle();
    }
  }

  #send(group: Group, sealed: SealedGroup): void {
    if (this.#failure !== undefined) return;
    const last = group.commits.at(-1)!;
    const keyring = group.commits.findLast((commit) => commit.keyring !== undefined)?.keyring;
    const { sealer, multiset } = this.#options;
    const head: Head = {
      incarnation: sealer.current.incarnation,
      sequence: last.sequence,
      nextPosition: last.firstPosition + last.records.length,
      keyringVersion: keyring?.version ?? this.#head.keyringVersion,
      sum: multiset.value(),
      previousHead: this.#headHash,
      revisions: last.revisions,
      compacted: last.compacted,
      liveRecords: this.#head.liveRecords + sealed.delta,
      anchorCounter: this.anchor.counter,
      anchoredBy: this.anchor.by,
    };
    this.#head = head;
    sealHead(sealer, head).then((record) => {
      this.#headHash = new Uint8Array(sha256(record));
      this.#sealing = false;
      if (this.#failure !== undefined) return;
      const checkpoint = this.#options.takeCheckpoint();
      const append = this.#options.log.append({
        firstPosition: sealed.firstPosition,
        lengths: sealed.lengths,
        bytes: sealed.bytes,
        removals: sealed.removals,
        ...(sealed.replacements === undefined ? {} : { replacements: sealed.replacements }),
        head: record,
        ...(keyring === undefined ? {} : { keyring: keyring.bytes }),
        ...(checkpoint.length === 0 ? {} : { checkpoint }),
      });
      append.then(() => this.#publish(group, head), (error) => this.fail(error));
      this.#pump();
    }).catch((error) => this.fail(error));
  }

  #publish(group: Group, head: Head): void {
    if (this.#failure !== undefined) return;
    if (this.#inFlight.shift() !== group) {
      this.fail(new StoreError("io", "the log resolved its appends out of order"));
      return;
    }
    this.#durable = head;
    try {
      for (const commit of group.commits) commit.publish();
      for (const done of group.done) done();
      this.#options.onDurable(head);
    } catch (error) {
      this.fail(error);
      return;
    }
    // Callers that were answered just now may have more: let them into the next group.
    queueMicrotask(() => queueMicrotask(() => this.#pump()));
  }

  #wakeIdle(): void {
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const wake of waiters) wake();
  }
}

/** The head's record. Its header names the last sequence and no place among the records. */
export async function sealHead(sealer: RecordSealer, head: Head): Promise<Bytes> {
  const { keyId, incarnation } = sealer.current;
  return await sealer.seal({
    kind: RECORD_KIND.head,
    keyId,
    storeId: sealer.storeId,
    incarnation,
    sequence: head.sequence,
    index: HEAD_INDEX,
    count: 0,
  }, encodeHead(head));
}
