/**
 * Checks of node keys' signatures. One costs as much as the rest of a heartbeat, so under load they
 * go, many in one message, to a Worker with a core of its own. What does not pay to send, and
 * whatever a Worker that fails leaves behind, is checked here: the same function, the same answers.
 */
import type { Bytes } from "../backends/mod.ts";
import { NodeKeys } from "./node_keys.ts";
import { packChecks, SIGNATURE_BYTES, SPKI_BYTES, type VerifierReply } from "./node_key_worker.ts";

/** The `name` of the Worker: what the program's entry dispatches on. */
export const NODE_KEY_WORKER_NAME = "nautilus-node-keys";

export interface NodeKeyVerifier {
  /**
   * @param spki Ed25519, 44 bytes; what is no such key has signed nothing
   * @param signature 64 bytes; any other length is no signature
   */
  verify(spki: Bytes, message: Bytes, signature: Bytes): boolean | Promise<boolean>;
}

/** On this thread; no key is kept ready. */
export const directVerifier: NodeKeyVerifier = {
  verify: (spki, message, signature) => new NodeKeys(1).verify(spki, message, signature),
};

export interface OffloadingOptions {
  readonly spawnWorker: (name: string) => Worker;
  /** Calls back once what is ready in this turn has been read. */
  readonly soon: (flush: () => void) => void;
  /** Milliseconds that pass, from any beginning. */
  readonly now: () => number;
  readonly cores: number;
}

/** Fewer in a turn are checked here: a message would cost more. */
const LEAST_BATCH = 4;
/** On their way to the Worker; more are checked here meanwhile. */
const MOST_PENDING = 256;
/** Turns with a batch in one window that make a Worker worth its memory, 25 MB. */
const SPAWN_AFTER_TURNS = 50;
const WINDOW_MS = 1_000;
/** Without such a window for this long it is ended. */
const IDLE_MS = 30_000;
/** Keys kept ready on this thread. */
const MOST_KEYS = 1_024;

interface Check {
  readonly spki: Bytes;
  readonly message: Bytes;
  readonly signature: Bytes;
  readonly resolve: (isGood: boolean) => void;
}

/** Starts its Worker when the load asks for one, and ends it after; close it to end that. */
export class OffloadingVerifier implements NodeKeyVerifier, Disposable {
  readonly #options: OffloadingOptions;
  readonly #pending = new Map<number, readonly Check[]>();
  #queue: Check[] = [];
  #worker: Worker | undefined;
  #mayOffload: boolean;
  readonly #keys = new NodeKeys(MOST_KEYS);
  #busyTurns = 0;
  #windowStartMs = -Infinity;
  #busyAtMs = -Infinity;
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

  verify(spki: Bytes, message: Bytes, signature: Bytes): boolean | Promise<boolean> {
    if (spki.length !== SPKI_BYTES || signature.length !== SIGNATURE_BYTES) return false;
    if (!this.#mayOffload) return this.#keys.verify(spki, message, signature);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    if (this.#queue.push({ spki, message, signature, resolve }) === 1) {
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
    const isBatch = checks.length >= LEAST_BATCH;
    this.#noteTurn(isBatch);
    if (isBatch && this.#pendingChecks < MOST_PENDING) {
      const worker = this.#workerForLoad();
      if (worker !== undefined) return this.#send(worker, checks);
    }
    this.#checkHere(checks);
  }

  /** How busy it is; a Worker that is not needed any more, and has answered everything, is ended. */
  #noteTurn(isBatch: boolean): void {
    const now = this.#options.now();
    if (now - this.#windowStartMs >= WINDOW_MS) {
      this.#windowStartMs = now;
      this.#busyTurns = 0;
    }
    if (isBatch && ++this.#busyTurns >= SPAWN_AFTER_TURNS) this.#busyAtMs = now;
    if (this.#pending.size > 0 || now - this.#busyAtMs < IDLE_MS) return;
    this.#worker?.terminate();
    this.#worker = undefined;
  }

  #workerForLoad(): Worker | undefined {
    if (this.#worker !== undefined || !this.#mayOffload) return this.#worker;
    if (this.#busyTurns < SPAWN_AFTER_TURNS) return undefined;
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
    const packed = packChecks(checks);
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
    this.#checkHere(left);
  }

  #checkHere(checks: readonly Check[]): void {
    for (const { spki, message, signature, resolve } of checks) {
      resolve(this.#keys.verify(spki, message, signature));
    }
  }
}
