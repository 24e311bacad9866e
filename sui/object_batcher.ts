/**
 * Joins object reads that are wanted at the same time into one request, and bounds how many
 * requests and waiting reads there are. What waits while requests are on their way goes together
 * into the next one, as in a group commit.
 */
import { LedgerUnavailable } from "./ledger.ts";

interface Waiting<T> {
  readonly id: string;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

export interface ObjectBatcherOptions<T> {
  /** Reads distinct ids, answers in their order. */
  readonly read: (ids: readonly string[]) => Promise<readonly T[]>;
  /** Most ids in one request. */
  readonly maxBatch: number;
  /** Most requests on their way. */
  readonly maxInFlight: number;
  /** Most reads that wait; beyond it new ones fail at once. */
  readonly maxWaiting: number;
}

export class ObjectBatcher<T> {
  readonly #options: ObjectBatcherOptions<T>;
  #waiting: Waiting<T>[] = [];
  #inFlight = 0;
  #scheduled = false;

  constructor(options: ObjectBatcherOptions<T>) {
    this.#options = options;
  }

  /** @throws {LedgerUnavailable} when too much waits, and whatever `read` throws. */
  get(id: string): Promise<T> {
    if (this.#waiting.length >= this.#options.maxWaiting) {
      return Promise.reject(
        new LedgerUnavailable(`more than ${this.#options.maxWaiting} object reads wait`, {
          hint: "the Sui endpoint is slower than what is asked of it",
        }),
      );
    }
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#waiting.push({ id, resolve, reject });
    this.#schedule();
    return promise;
  }

  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= this.#options.maxInFlight) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      while (this.#waiting.length > 0 && this.#inFlight < this.#options.maxInFlight) {
        void this.#send(this.#take());
      }
    });
  }

  /** As many waiting reads as fit into one request, those of the same id together. */
  #take(): Map<string, Waiting<T>[]> {
    const batch = new Map<string, Waiting<T>[]>();
    let taken = 0;
    for (const waiting of this.#waiting) {
      const same = batch.get(waiting.id);
      if (same !== undefined) same.push(waiting);
      else if (batch.size === this.#options.maxBatch) break;
      else batch.set(waiting.id, [waiting]);
      taken++;
    }
    this.#waiting = this.#waiting.slice(taken);
    return batch;
  }

  async #send(batch: Map<string, Waiting<T>[]>): Promise<void> {
    this.#inFlight++;
    try {
      const values = await this.#options.read([...batch.keys()]);
      let index = 0;
      for (const readers of batch.values()) {
        const value = values[index++];
        for (const reader of readers) {
          if (value === undefined) reader.reject(new TypeError("read answered too few values"));
          else reader.resolve(value);
        }
      }
    } catch (error) {
      for (const readers of batch.values()) {
        for (const reader of readers) reader.reject(error);
      }
    } finally {
      this.#inFlight--;
      if (this.#waiting.length > 0) this.#schedule();
    }
  }
}
