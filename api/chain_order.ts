/**
 * Several events on their way, as if one after the other: an event is planned when everything before
 * it that could matter to it is durable, and handed to the store in its turn. The stored cursor, which
 * every transaction is guarded by, sees to the rest.
 */
import type { Reach } from "./chain_effect.ts";

/** One event's place in the row. */
export interface Place {
  /** Resolves when every event before this one was handed to the store. */
  readonly turn: Promise<void>;
  /** Resolves when every event before this one is durable, or has failed. Never rejects. */
  readonly allBefore: Promise<void>;
  /** Resolves when the event may be planned. */
  ready(reach: Reach): Promise<void>;
  /** The next event may have its turn; for one that reaches everything, once it is finished. */
  submitted(): void;
  /** It is durable, or has failed. */
  finish(): void;
}

export class EventOrder {
  #lastTurn: Promise<void> = Promise.resolve();
  #lastFinish: Promise<void> = Promise.resolve();
  readonly #objects = new Map<string, Promise<void>>();

  /** Takes the next place: the order of calls is the order of events. */
  take(): Place {
    const turn = this.#lastTurn;
    const allBefore = this.#lastFinish;
    const submitted = Promise.withResolvers<void>();
    const finished = Promise.withResolvers<void>();
    this.#lastTurn = Promise.all([turn, submitted.promise]).then(() => {});
    const done = this.#lastFinish = Promise.all([allBefore, finished.promise]).then(() => {});
    let reached: Reach = "nothing";
    return {
      turn,
      allBefore,
      ready: async (reach) => {
        reached = reach;
        if (reach === "nothing") return;
        if (reach === "everything") return await allBefore;
        // Whoever named the object before this event is waited for; whoever comes after waits for this.
        const before = this.#objects.get(reach.object);
        this.#objects.set(reach.object, done);
        await before;
      },
      submitted: () => {
        if (reached !== "everything") submitted.resolve();
      },
      finish: () => {
        submitted.resolve();
        finished.resolve();
        if (typeof reached === "string") return;
        const { object } = reached;
        if (this.#objects.get(object) === done) this.#objects.delete(object);
      },
    };
  }
}
