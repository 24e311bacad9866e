/**
 * Answers that wait: whoever sends many requests that are refused gets each answer late, so that a
 * connection is good for a few of them a second. What waits is bounded; beyond that it is cut off.
 */
import type { ServerResponse } from "node:http";

export interface Holds {
  /** @returns whether there is still somebody to answer */
  wait(outgoing: ServerResponse): Promise<boolean>;
}

const STEPS = 16;

/** @param holdMs at least, and less than twice as much @param most answers that wait at a time */
export function createHolds(holdMs: number, most: number): Holds {
  let held = 0;
  let count = 0;
  return {
    async wait(outgoing) {
      if (held >= most) outgoing.destroy();
      if (outgoing.destroyed) return false;
      held++;
      const { promise, resolve } = Promise.withResolvers<void>();
      // Spread, so that those who came together do not come back together.
      const delayMs = holdMs * (1 + (count++ % STEPS) / STEPS);
      const timer = setTimeout(resolve, delayMs);
      outgoing.once("close", resolve);
      await promise;
      clearTimeout(timer);
      outgoing.off("close", resolve);
      held--;
      return !outgoing.destroyed;
    },
  };
}
