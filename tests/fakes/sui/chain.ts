/**
 * A Sui chain in memory: objects with versions and digests, transactions, checkpoints, events,
 * dynamic fields, pruning. It signs nothing and proves nothing: it stands in for what a full node
 * reads from its database. History is kept so that a node may lag behind the tip.
 */
import { toBase58 } from "@mysten/sui/utils";
import { blake2b } from "@noble/hashes/blake2.js";

export type Bytes = Uint8Array<ArrayBuffer>;

export type FakeOwner =
  | { readonly kind: "address"; readonly address: string }
  | { readonly kind: "object"; readonly id: string }
  | { readonly kind: "shared"; readonly initialVersion: bigint }
  | { readonly kind: "immutable" };

export interface FakeObject {
  readonly id: string;
  readonly version: bigint;
  readonly digest: string;
  readonly type: string;
  readonly owner: FakeOwner;
  readonly contents: Bytes;
  readonly previousTransaction: string;
}

export interface FakeEvent {
  readonly transactionDigest: string;
  readonly eventIndex: number;
  readonly checkpoint: bigint;
  /** Over the whole chain. */
  readonly transactionSequence: bigint;
  /** Within the checkpoint. */
  readonly transactionIndex: bigint;
  readonly packageId: string;
  readonly module: string;
  readonly type: string;
  readonly sender: string;
  readonly contents: Bytes;
}

export interface FakeCheckpoint {
  readonly sequence: bigint;
  readonly timestampMs: number;
  /** Transactions on the chain up to and including this checkpoint. */
  readonly totalTransactions: bigint;
}

interface ObjectVersion {
  readonly checkpoint: bigint;
  /** Undefined: deleted or wrapped from this checkpoint on. */
  readonly object: FakeObject | undefined;
}

interface PendingEvent {
  readonly type: string;
  readonly packageId: string;
  readonly module: string;
  readonly contents: Bytes;
}

interface Pending {
  readonly digest: string;
  readonly sender: string;
  readonly writes: Map<string, FakeObject | undefined>;
  readonly events: readonly PendingEvent[];
}

/** What a transaction may do. Ids are 0x + 64 hex, types canonical. */
export interface FakeTransaction {
  readonly sender: string;
  readonly digest: string;
  newId(): string;
  create(object: { id: string; type: string; owner: FakeOwner; contents: Bytes }): void;
  mutate(id: string, change: { contents?: Bytes; owner?: FakeOwner }): void;
  remove(id: string): void;
  emit(type: string, contents: Bytes, from?: { packageId: string; module: string }): void;
}

export interface FakeChainOptions {
  /** Milliseconds since the epoch; stamps checkpoints. */
  readonly clock: () => number;
  /** Any text: the chain id is derived from it. Default: "stand-in". */
  readonly name?: string;
  /** Every transaction gets a checkpoint of its own. Default true. */
  readonly autoCheckpoint?: boolean;
}

export class FakeChain {
  readonly chainId: string;
  readonly name: string;
  autoCheckpoint: boolean;
  /** zkLogin signatures that the chain would confirm: base64 to whose and over what. */
  readonly zkLogin = new Map<string, { readonly address: string; readonly message: Uint8Array }>();
  readonly #clock: () => number;
  readonly #objects = new Map<string, ObjectVersion[]>();
  readonly #latest = new Map<string, FakeObject | undefined>();
  readonly #checkpoints: FakeCheckpoint[] = [];
  readonly #events: FakeEvent[] = [];
  readonly #watchers = new Set<(checkpoint: FakeCheckpoint) => void>();
  #pending: Pending[] = [];
  #lowest = 0n;
  #ids = 0n;
  #version = 0n;
  #transactions = 0n;

  constructor(options: FakeChainOptions) {
    this.#clock = options.clock;
    this.name = options.name ?? "stand-in";
    this.autoCheckpoint = options.autoCheckpoint ?? true;
    this.chainId = digestOf(`genesis/${this.name}`);
    this.#seal();
  }

  /** The newest checkpoint. */
  get tip(): FakeCheckpoint {
    const tip = this.#checkpoints.at(-1);
    if (tip === undefined) throw new Error("a chain has a genesis checkpoint");
    return tip;
  }

  /** Lowest checkpoint whose transactions and events are still there. */
  get lowest(): bigint {
    return this.#lowest;
  }

  checkpointAt(sequence: bigint): FakeCheckpoint | undefined {
    return this.#checkpoints[Number(sequence)];
  }

  /** Forgets transactions and events below `checkpoint`, as a pruning full node does. */
  prune(checkpoint: bigint): void {
    if (checkpoint > this.tip.sequence) throw new Error("cannot prune beyond the tip");
    if (checkpoint > this.#lowest) this.#lowest = checkpoint;
  }

  /** Runs `body` as one transaction; all or nothing. */
  execute<T>(
    sender: string,
    body: (tx: FakeTransaction) => T,
    known?: string,
  ): { digest: string; result: T } {
    const number = this.#transactions + BigInt(this.#pending.length) + 1n;
    const digest = known ?? digestOf(`${this.name}/transaction/${number}`);
    const writes = new Map<string, FakeObject | undefined>();
    const events: PendingEvent[] = [];
    const version = ++this.#version;
    const current = (id: string) => writes.has(id) ? writes.get(id) : this.#latest.get(id);
    const write = (object: Omit<FakeObject, "version" | "digest" | "previousTransaction">) => {
      writes.set(object.id, {
        ...object,
        contents: object.contents.slice(),
        version,
        digest: digestOf(`${object.id}/${version}/${object.contents.toHex()}`),
        previousTransaction: digest,
      });
    };
    const result = body({
      sender,
      digest,
      newId: () => {
        this.#ids++;
        return "0x" + blake2b(utf8(`${this.name}/object/${this.#ids}`), { dkLen: 32 }).toHex();
      },
      create: (object) => {
        if (current(object.id) !== undefined) throw new Error(`object ${object.id} exists`);
        const owner = object.owner.kind === "shared"
          ? { kind: "shared" as const, initialVersion: version }
          : object.owner;
        write({ ...object, owner });
      },
      mutate: (id, change) => {
        const before = current(id);
        if (before === undefined) throw new Error(`object ${id} does not exist`);
        write({
          id,
          type: before.type,
          owner: change.owner ?? before.owner,
          contents: change.contents ?? before.contents,
        });
      },
      remove: (id) => {
        if (current(id) === undefined) throw new Error(`object ${id} does not exist`);
        writes.set(id, undefined);
      },
      emit: (type, contents, from) => {
        const [packageId = "", module = ""] = type.split("::");
        events.push({
          type,
          contents: contents.slice(),
          packageId: from?.packageId ?? packageId,
          module: from?.module ?? module,
        });
      },
    });
    for (const [id, object] of writes) this.#latest.set(id, object);
    this.#pending.push({ digest, sender, writes, events });
    if (this.autoCheckpoint) this.#seal();
    return { digest, result };
  }

  /** Seals what is pending (or nothing) into new checkpoints. */
  advance(count = 1): FakeCheckpoint {
    for (let i = 0; i < count; i++) this.#seal();
    return this.tip;
  }

  /** Calls back with every new checkpoint, until the function it returns is called. */
  onCheckpoint(watcher: (checkpoint: FakeCheckpoint) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** The object as it was at the end of `checkpoint`. */
  objectAt(id: string, checkpoint: bigint): FakeObject | undefined {
    const versions = this.#objects.get(id);
    for (let i = (versions?.length ?? 0) - 1; i >= 0; i--) {
      const version = versions?.[i];
      if (version !== undefined && version.checkpoint <= checkpoint) return version.object;
    }
    return undefined;
  }

  /** As the next transaction will see it. */
  latest(id: string): FakeObject | undefined {
    return this.#latest.get(id);
  }

  /** What an address owns now. */
  owned(address: string): readonly FakeObject[] {
    return [...this.#latest.values()].filter((object) =>
      object?.owner.kind === "address" && object.owner.address === address
    ).filter((object) => object !== undefined);
  }

  /** Every event, oldest first, pruned ones included. */
  get events(): readonly FakeEvent[] {
    return this.#events;
  }

  #seal(): void {
    const sequence = BigInt(this.#checkpoints.length);
    const sealed = this.#pending;
    this.#pending = [];
    let index = 0n;
    for (const tx of sealed) {
      for (const [id, object] of tx.writes) {
        let versions = this.#objects.get(id);
        if (versions === undefined) this.#objects.set(id, versions = []);
        versions.push({ checkpoint: sequence, object });
      }
      tx.events.forEach((event, eventIndex) => {
        this.#events.push({
          ...event,
          transactionDigest: tx.digest,
          eventIndex,
          checkpoint: sequence,
          transactionSequence: this.#transactions,
          transactionIndex: index,
          sender: tx.sender,
        });
      });
      this.#transactions++;
      index++;
    }
    const checkpoint = {
      sequence,
      timestampMs: this.#clock(),
      totalTransactions: this.#transactions,
    };
    this.#checkpoints.push(checkpoint);
    for (const watcher of [...this.#watchers]) watcher(checkpoint);
  }
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function digestOf(text: string): string {
  return toBase58(blake2b(utf8(text), { dkLen: 32 }));
}
