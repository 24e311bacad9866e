/**
 * Several events on their way, as if one after the other: an event is planned when everything before
 * it that could matter to it is durable, and handed to the store in its turn. The stored cursor, which
 * every transaction is guarded by, sees to the rest.
 */
import type { Reach } from "./chain_effect.ts";

/** One event's place in the row. What it says, it says once its turn has come. */
export interface Place {
  /** Resolves when every event before this one was handed to the store. */
  readonly turn: Promise<void>;
  /** Resolves when every event before this one is durable, or has failed. Never rejects. */
  allBefore(): Promise<void>;
  /** Resolves when the event may be planned. */
  ready(reach: Reach): Promise<void>;
  /** The next event may have its turn; for one that reaches everything, once it is finished. */
  submitted(): void;
  /** It is durable, or has failed. */
  finish(): void;
}

/** Costs an event one promise: what waits for others is made where somebody waits. */
export class EventOrder {
  #taken = 0;
  #lastTurn: Promise<void> = Promise.resolve();
  /** Every place below it has finished. */
  #finished = 0;
  /** Places beyond, that have. */
  readonly #ahead = new Set<number>();
  #waiting: { readonly below: number; readonly resolve: () => void }[] = [];
  /** By object: the last place that named it. */
  readonly #objects = new Map<string, number>();

  /** Takes the next place: the order of calls is the order of events. */
  take(): Place {
    const place = this.#taken++;
    const turn = this.#lastTurn;
    const submitted = Promise.withResolvers<void>();
    this.#lastTurn = submitted.promise;
    let reached: Reach = "nothing";
    return {
      turn,
      allBefore: () => this.#allFinished(place),
      ready: async (reach) => {
        reached = reach;
        if (reach === "nothing") return;
        if (reach === "everything") return await this.#allFinished(place);
        // Whoever named the object before this event is waited for; whoever comes after waits for this.
        const before = this.#objects.get(reach.object);
        this.#objects.set(reach.object, place);
        if (before !== undefined) await this.#allFinished(before + 1);
      },
      submitted: () => {
        if (reached !== "everything") submitted.resolve();
      },
      finish: () => {
        submitted.resolve();
        if (typeof reached !== "string" && this.#objects.get(reached.object) === place) {
          this.#objects.delete(reached.object);
        }
        this.#finish(place);
      },
    };
  }

  /** Resolves when every place below this one has finished. */
  async #allFinished(below: number): Promise<void> {
    if (this.#finished >= below) return;
    await new Promise<void>((resolve) => this.#waiting.push({ below, resolve }));
  }

  #finish(place: number): void {
    this.#ahead.add(place);
    while (this.#ahead.delete(this.#finished)) this.#finished++;
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const waiter of waiting) {
      if (this.#finished >= waiter.below) waiter.resolve();
      else this.#waiting.push(waiter);
    }
  }
}
