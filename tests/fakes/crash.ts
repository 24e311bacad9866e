/**
 * A process that can die at any step: from that moment on nothing that it began goes on, and all
 * that is left of it is what its log had made durable.
 */
import type { DurableLog } from "../../store/log.ts";
import { createMemoryLog, type MemoryMedium } from "../../store/logs/memory.ts";

export interface Crash {
  /** Resolves when it happened. */
  readonly happened: Promise<void>;
  readonly dead: boolean;
  /** A step of this name is reached: passes, or never comes back. */
  step(name: string): Promise<void>;
}

const NEVER: Promise<never> = Promise.withResolvers<never>().promise;

/** Dies at the `at`-th time (from 0) that `step` is reached; undefined: never. */
export function crashAt(step: string | undefined, at: number): Crash {
  const { promise: happened, resolve } = Promise.withResolvers<void>();
  let left = at;
  let dead = false;
  return {
    happened,
    get dead() {
      return dead;
    },
    step(name) {
      if (!dead && name === step && left-- === 0) {
        dead = true;
        resolve();
      }
      return dead ? NEVER : Promise.resolve();
    },
  };
}

/** Steps: `append` and `written` (nothing of it is durable), `appended` (all of it is, and nobody was told). */
export function crashingLog(medium: MemoryMedium, crash: Crash): DurableLog {
  const log = createMemoryLog(medium);
  return {
    name: log.name,
    start: () => log.start(),
    async append(append) {
      await crash.step("append");
      // Long enough for whatever can be begun before it is durable.
      await new Promise((resolve) => setTimeout(resolve, 0));
      await crash.step("written");
      await log.append(append);
      await crash.step("appended");
    },
    replay: (from) => log.replay(from),
    read: (positions) => log.read(positions),
    checkpoint: () => log.checkpoint(),
    tags: (from) => log.tags(from),
    copy: () => log.copy(),
    reclaim: () => log.reclaim(),
    size: () => log.size(),
    [Symbol.asyncDispose]: () => log[Symbol.asyncDispose](),
  };
}
