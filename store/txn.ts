/** Runs one transaction against the index: guards, one branch, new versions. Memory only. */
import type { Bytes } from "../backends/mod.ts";
import { compareBytes, toBinaryString } from "./bytes.ts";
import { leaseRecordName } from "./lease_record.ts";
import { StoreError } from "./errors.ts";
import { encodeEntry, type EntryMeta } from "./entry.ts";
import type { Index } from "./index.ts";
import type { Keyspace } from "./keyspace.ts";
import { readRevision, selectSlots, toKeyValues } from "./range.ts";
import type { Compare, KeyspaceName, Operation, OperationResponse } from "./types.ts";
import type { TxnRequest, TxnResponse } from "./types.ts";
import { NO_SLOT } from "./versions.ts";

/** One new version. `record` is its entry's plaintext; a deletion that leaves no trace has none. */
export interface Change {
  readonly keyspace: number;
  readonly slot: number;
  readonly record: Bytes | undefined;
}

export interface Applied {
  readonly response: TxnResponse;
  /** In order; empty where nothing changed. */
  readonly changes: readonly Change[];
}

/** A transaction whose guards were evaluated: what will run. */
interface Path {
  readonly succeeded: boolean;
  readonly operations: readonly Operation[];
  /** One for each nested transaction, in order. */
  readonly nested: readonly Path[];
}

/** What a running transaction gathers. */
interface Run {
  readonly values: Map<number, Bytes>;
  readonly changes: Change[];
  /** Changes so far by keyspace. */
  readonly subs: [number, number, number];
}

const NO_VALUE: Bytes = new Uint8Array(0);

export class TxnRunner {
  readonly #index: Index;
  readonly #load: (slot: number) => Promise<Bytes | undefined>;

  constructor(index: Index, load: (slot: number) => Promise<Bytes | undefined>) {
    this.#index = index;
    this.#load = load;
  }

  /**
   * Answers at once where every value it needs is in memory. Until it answered, no other
   * transaction may run. The request was checked by `checkTxn`.
   * @throws {StoreError} `compacted`, `future_revision`, `lease_not_found`, `key_not_found`
   */
  run(request: TxnRequest): Applied | Promise<Applied> {
    const fetched = new Map<number, Bytes>();
    if (this.#missing(this.#guardSlots(request), fetched).length > 0) {
      return this.#runSlowly(request, fetched);
    }
    const path = this.#choose(request, fetched);
    this.#checkPath(path);
    if (this.#missing(this.#answerSlots(path), fetched).length > 0) {
      return this.#runSlowly(request, fetched);
    }
    return this.#apply(path, fetched);
  }

  async #runSlowly(request: TxnRequest, fetched: Map<number, Bytes>): Promise<Applied> {
    await this.#fetch(() => this.#guardSlots(request), fetched);
    const path = this.#choose(request, fetched);
    this.#checkPath(path);
    await this.#fetch(() => this.#answerSlots(path), fetched);
    return this.#apply(path, fetched);
  }

  async #fetch(slots: () => Iterable<number>, fetched: Map<number, Bytes>): Promise<void> {
    for (;;) {
      const missing = this.#missing(slots(), fetched);
      if (missing.length === 0) return;
      await Promise.all(missing.map(async (slot) => {
        const value = await this.#load(slot);
        if (value !== undefined) fetched.set(slot, value);
      }));
    }
  }

  #missing(slots: Iterable<number>, fetched: Map<number, Bytes>): number[] {
    const missing: number[] = [];
    for (const slot of slots) {
      if (fetched.has(slot)) continue;
      const value = this.#index.valueAtHand(slot);
      if (value === undefined) missing.push(slot);
      else fetched.set(slot, value);
    }
    return missing;
  }

  /** Versions whose values the guards compare, nested ones included. */
  *#guardSlots(request: TxnRequest): Iterable<number> {
    for (const compare of request.compare) {
      if (compare.target !== "value") continue;
      const keyspace = this.#index.keyspace(compare.keyspace);
      yield* selectSlots(keyspace, compare, Infinity).slots;
    }
    for (const operation of [...request.success, ...request.failure]) {
      if (operation.type === "txn") yield* this.#guardSlots(operation.txn);
    }
  }

  /** Versions whose values the answers show. */
  *#answerSlots(path: Path): Iterable<number> {
    let next = 0;
    for (const operation of path.operations) {
      if (operation.type === "txn") {
        yield* this.#answerSlots(path.nested[next++]!);
        continue;
      }
      if (operation.type === "delete_leased") continue;
      const keyspace = this.#index.keyspace(operation.keyspace);
      if (operation.type === "range") {
        if (operation.keysOnly === true || operation.countOnly === true) continue;
        // Deletions before it may bring keys beyond the limit into it.
        const { limit: _limit, ...unlimited } = operation;
        const range = path.operations.length === 1 ? operation : unlimited;
        yield* selectSlots(keyspace, range, operation.revision || Infinity).slots;
      } else if (
        operation.prevKv === true || (operation.type === "put" && operation.ignoreValue === true)
      ) {
        const { key } = operation;
        const range = operation.type === "delete" ? operation : { key };
        yield* selectSlots(keyspace, range, Infinity).slots;
      }
    }
  }

  /** All guards see the state before the transaction, as in etcd. */
  #choose(request: TxnRequest, values: ReadonlyMap<number, Bytes>): Path {
    const succeeded = request.compare.every((compare) => this.#holds(compare, values));
    const operations = succeeded ? request.success : request.failure;
    const nested: Path[] = [];
    for (const operation of operations) {
      if (operation.type === "txn") nested.push(this.#choose(operation.txn, values));
    }
    return { succeeded, operations, nested };
  }

  /** What can only be refused when the path is known; nothing has changed yet. As in etcd, puts come first. */
  #checkPath(path: Path): void {
    this.#checkPuts(path);
    this.#checkRanges(path);
  }

  #checkPuts(path: Path): void {
    let next = 0;
    for (const operation of path.operations) {
      if (operation.type === "put") this.#checkPut(operation);
      else if (operation.type === "txn") this.#checkPuts(path.nested[next++]!);
    }
  }

  #checkRanges(path: Path): void {
    let next = 0;
    for (const operation of path.operations) {
      if (operation.type === "txn") this.#checkRanges(path.nested[next++]!);
      if (operation.type !== "range") continue;
      const keyspace = this.#index.keyspace(operation.keyspace);
      readRevision(keyspace, operation.revision, keyspace.revision);
    }
  }

  #checkPut(operation: Operation & { type: "put" }): void {
    const { lease = 0n } = operation;
    if (lease !== 0n) {
      const record = this.#index.keyspace("system").at(leaseRecordName(lease), Infinity);
      if (record === NO_SLOT) {
        throw new StoreError("lease_not_found", `lease ${lease} is not there`);
      }
    }
    if (operation.ignoreValue !== true && operation.ignoreLease !== true) return;
    const key = toBinaryString(operation.key);
    if (this.#index.keyspace(operation.keyspace).at(key, Infinity) === NO_SLOT) {
      throw new StoreError(
        "key_not_found",
        "the key whose value or lease is to be kept is not there",
      );
    }
  }

  #holds(compare: Compare, values: ReadonlyMap<number, Bytes>): boolean {
    const { versions } = this.#index;
    const keyspace = this.#index.keyspace(compare.keyspace);
    const { slots } = selectSlots(keyspace, compare, Infinity);
    if (slots.length === 0) {
      if (compare.target === "value") return false;
      return matches(compare.result, ordering(0, compare.operand));
    }
    return slots.every((slot) => {
      switch (compare.target) {
        case "version":
          return matches(compare.result, ordering(versions.version(slot), compare.operand));
        case "create":
          return matches(compare.result, ordering(versions.createRevision(slot), compare.operand));
        case "mod":
          return matches(compare.result, ordering(versions.modRevision(slot), compare.operand));
        case "lease":
          return matches(compare.result, ordering(versions.lease(slot), compare.operand));
        case "value":
          return matches(compare.result, compareBytes(values.get(slot)!, compare.operand));
      }
    });
  }

  #apply(path: Path, values: Map<number, Bytes>): Applied {
    const run: Run = { values, changes: [], subs: [0, 0, 0] };
    const response = this.#applyPath(path, run);
    for (const keyspace of this.#index.keyspaces) {
      if (run.subs[keyspace.number]! > 0) keyspace.revision++;
    }
    return { response: { ...response, revisions: this.#revisions() }, changes: run.changes };
  }

  #revisions(): Record<KeyspaceName, number> {
    const [system, k8s, etcd] = this.#index.keyspaces;
    return { system: system!.revision, k8s: k8s!.revision, etcd: etcd!.revision };
  }

  #applyPath(path: Path, run: Run): TxnResponse {
    const responses: OperationResponse[] = [];
    let next = 0;
    for (const operation of path.operations) {
      switch (operation.type) {
        case "txn": {
          const response = this.#applyPath(path.nested[next++]!, run);
          responses.push({ type: "txn", response });
          break;
        }
        case "put":
          responses.push(this.#put(operation, run));
          break;
        case "delete":
          responses.push(this.#delete(operation, run));
          break;
        case "delete_leased":
          responses.push(this.#deleteLeased(operation.lease, run));
          break;
        case "range":
          responses.push(this.#range(operation, run));
          break;
      }
    }
    return { succeeded: path.succeeded, responses, revisions: this.#revisions() };
  }

  #put(operation: Operation & { type: "put" }, run: Run): OperationResponse {
    const { values } = run;
    const keyspace = this.#index.keyspace(operation.keyspace);
    const { versions } = this.#index;
    const key = toBinaryString(operation.key);
    const previous = keyspace.at(key, Infinity);
    const exists = previous !== NO_SLOT;
    const modRevision = keyspace.revision + 1;
    const prevKv = exists && operation.prevKv === true
      ? this.#index.keyValue(previous, values.get(previous)!)
      : undefined;
    // checkPath saw to it that there is something to keep.
    const value = exists && operation.ignoreValue === true
      ? values.get(previous)!
      : operation.value;
    const slot = this.#change(keyspace, key, operation.key, value, {
      keyspace: keyspace.number,
      deleted: false,
      sub: run.subs[keyspace.number]!,
      modRevision,
      createRevision: exists ? versions.createRevision(previous) : modRevision,
      version: exists ? versions.version(previous) + 1 : 1,
      lease: exists && operation.ignoreLease === true
        ? versions.lease(previous)
        : operation.lease ?? 0n,
    }, run);
    values.set(slot, this.#index.valueAtHand(slot)!);
    return prevKv === undefined ? { type: "put" } : { type: "put", prevKv };
  }

  #delete(operation: Operation & { type: "delete" }, run: Run): OperationResponse {
    const keyspace = this.#index.keyspace(operation.keyspace);
    const { slots } = selectSlots(keyspace, operation, Infinity);
    const prevKvs = operation.prevKv === true
      ? slots.map((slot) => this.#index.keyValue(slot, run.values.get(slot)!))
      : [];
    for (const slot of slots) this.#tombstone(keyspace, this.#index.versions.key(slot), run);
    return { type: "delete", deleted: slots.length, prevKvs };
  }

  #deleteLeased(lease: bigint, run: Run): OperationResponse {
    const keyspace = this.#index.keyspace("etcd");
    const keys = this.#index.leases.of(lease);
    for (const key of keys) this.#tombstone(keyspace, key, run);
    return { type: "delete", deleted: keys.length, prevKvs: [] };
  }

  #tombstone(keyspace: Keyspace, key: string, run: Run): void {
    this.#change(keyspace, key, undefined, NO_VALUE, {
      keyspace: keyspace.number,
      deleted: true,
      sub: run.subs[keyspace.number]!,
      modRevision: keyspace.revision + 1,
      createRevision: 0,
      version: 0,
      lease: 0n,
    }, run);
  }

  #range(operation: Operation & { type: "range" }, run: Run): OperationResponse {
    const keyspace = this.#index.keyspace(operation.keyspace);
    const { slots, more, count } = selectSlots(
      keyspace,
      operation,
      operation.revision || Infinity,
    );
    const changed = run.subs[keyspace.number]! > 0;
    return {
      type: "range",
      kvs: toKeyValues(
        this.#index,
        slots,
        operation.keysOnly === true,
        (slot) => run.values.get(slot)!,
      ),
      more,
      count,
      revision: keyspace.revision + (changed ? 1 : 0),
    };
  }

  #change(
    keyspace: Keyspace,
    key: string,
    keyBytes: Bytes | undefined,
    value: Bytes,
    meta: EntryMeta,
    run: Run,
  ): number {
    run.subs[keyspace.number]!++;
    const slot = this.#index.push(key, meta, value.length);
    let record: Bytes | undefined;
    if (keyspace.keepsHistory || !meta.deleted) {
      const bytes = keyBytes ?? this.#index.keyValue(slot, NO_VALUE).key;
      record = encodeEntry(meta, bytes, value);
      // The copy inside the plaintext is the store's own: the caller keeps its buffer.
      this.#index.holdPending(slot, record.subarray(record.length - value.length));
    }
    if (keyspace.keepsHistory) keyspace.history.push(slot);
    run.changes.push({ keyspace: keyspace.number, slot, record });
    return slot;
  }
}

function ordering<T extends number | bigint>(a: T, b: number | bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function matches(result: Compare["result"], order: number): boolean {
  switch (result) {
    case "equal":
      return order === 0;
    case "not_equal":
      return order !== 0;
    case "greater":
      return order > 0;
    case "less":
      return order < 0;
  }
}
