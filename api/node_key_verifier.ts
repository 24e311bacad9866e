/**
 * Checks of node keys' signatures. One costs as much as the rest of a heartbeat, so under load they
 * go, many in one message, to a Worker with a core of its own. What does not pay to send, and
 * whatever a Worker that fails leaves behind, is checked here: the same function, the same answers.
 */
import type { KeyObject } from "node:crypto";
import { verify } from "node:crypto";
import type { Bytes } from "../backends/mod.ts";
import { packChecks, SIGNATURE_BYTES, type VerifierReply } from "./node_key_worker.ts";

/** The `name` of the Worker: what the program's entry dispatches on. */
export const NODE_KEY_WORKER_NAME = "nautilus-node-keys";

/** An Ed25519 key in both forms. */
export interface NodeKey {
  /** 44 bytes. */
  readonly spki: Bytes;
  readonly key: KeyObject;
}

export interface NodeKeyVerifier {
  /** @param signature 64 bytes; any other length is no signature */
  verify(key: NodeKey, message: Bytes, signature: Bytes): boolean | Promise<boolean>;
}

/** On this thread. */
export const directVerifier: NodeKeyVerifier = {
  verify: ({ key }, message, signature) => verify(null, message, key, signature),
};

export interface OffloadingOptions {
  readonly spawnWorker: (name: string) => Worker;
  /** Calls back once what is ready in this turn has been read. */
  readonly soon: (flush: () => void) => void;
  readonly cores: number;
}

/** Fewer in a turn are checked here: a message would cost more. */
const LEAST_BATCH = 4;
/** On their way to the Worker; more are checked here meanwhile. */
const MOST_PENDING = 256;
/** Turns with a batch until a Worker is worth its memory. */
const SPAWN_AFTER_TURNS = 50;

interface Check {
  readonly key: NodeKey;
  readonly message: Bytes;
  readonly signature: Bytes;
  readonly resolve: (isGood: boolean) => void;
}

/** Starts its Worker when the load asks for one; close it to end that. */
export class OffloadingVerifier implements NodeKeyVerifier, Disposable {
  readonly #options: OffloadingOptions;
  readonly #pending = new Map<number, readonly Check[]>();
  #queue: Check[] = [];
  #worker: Worker | undefined;
  #mayOffload: boolean;
  #busyTurns = 0;
  #pendingChecks = 0;
  #nextId = 1;

  constructor(options: OffloadingOptions) {
    this.#options = options;
    this.#mayOffload = options.cores >= 2;
  }

  /** Whether a Worker runs. */
  get offloads(): boolean {
    return this.#worker !== undefined;
  }

  verify(key: NodeKey, message: Bytes, signature: Bytes): boolean | Promise<boolean> {
    if (signature.length !== SIGNATURE_BYTES) return false;
    if (!this.#mayOffload) return directVerifier.verify(key, message, signature);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    if (this.#queue.push({ key, message, signature, resolve }) === 1) {
      this.#options.soon(() => this.#flush());
    }
    return promise;
  }

  [Symbol.dispose](): void {
    this.#giveUp();
  }

  #flush(): void {
    const checks = this.#queue;
    this.#queue = [];
    if (checks.length >= LEAST_BATCH && this.#pendingChecks < MOST_PENDING) {
      const worker = this.#workerForLoad();
      if (worker !== undefined) return this.#send(worker, checks);
    }
    checkHere(checks);
  }

  #workerForLoad(): Worker | undefined {
    if (this.#worker !== undefined || !this.#mayOffload) return this.#worker;
    if (++this.#busyTurns < SPAWN_AFTER_TURNS) return undefined;
    const worker = this.#options.spawnWorker(NODE_KEY_WORKER_NAME);
    worker.onmessage = ({ data }: MessageEvent<VerifierReply>) => this.#take(data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#giveUp();
    };
    worker.onmessageerror = () => this.#giveUp();
    this.#worker = worker;
    return worker;
  }

  #send(worker: Worker, checks: readonly Check[]): void {
    const id = this.#nextId++;
    const packed = packChecks(checks.map(({ key, message, signature }) => ({
      spki: key.spki,
      message,
      signature,
    })));
    this.#pending.set(id, checks);
    this.#pendingChecks += checks.length;
    worker.postMessage({ id, checks: packed }, [packed.buffer]);
  }

  #take({ id, good }: VerifierReply): void {
    const checks = this.#pending.get(id);
    if (checks === undefined) return;
    this.#pending.delete(id);
    this.#pendingChecks -= checks.length;
    checks.forEach(({ resolve }, i) => resolve(good[i] === 1));
  }

  /** No Worker from now on. */
  #giveUp(): void {
    this.#mayOffload = false;
    this.#worker?.terminate();
    this.#worker = undefined;
    const left = [...this.#pending.values()].flat();
    this.#pending.clear();
    this.#pendingChecks = 0;
    checkHere(left);
  }
}

function checkHere(checks: readonly Check[]): void {
  for (const { key, message, signature, resolve } of checks) {
    resolve(verify(null, message, key.key, signature));
  }
}
