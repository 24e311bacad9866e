/** The steps of a start: each logs its outcome and time; a failure names the step and the way out. */

/** A start that could not be finished. The cause says why, `hint` what an operator can do. */
export class BootError extends Error {
  override readonly name = "BootError";
  readonly code = "boot_failed";
  readonly step: string;
  constructor(step: string, cause: unknown) {
    super(`start failed at step "${step}"`, { cause });
    this.step = step;
  }
}

/** The part of a logger that is used. */
export interface StepLog {
  info(message: string, properties: Record<string, unknown>): void;
}

export type Step = <T>(
  name: string,
  run: () => Promise<T>,
  describe?: (value: T) => Readonly<Record<string, unknown>>,
) => Promise<T>;

/**
 * @param now milliseconds, monotonic
 * @param passThrough errors that say enough by themselves (configuration): thrown as they are.
 */
export function createSteps(
  log: StepLog,
  now: () => number,
  passThrough: (error: unknown) => boolean,
): Step {
  return async (name, run, describe) => {
    const begun = now();
    try {
      const value = await run();
      const ms = Math.round((now() - begun) * 10) / 10;
      log.info(`${name}: ready after ${ms} ms`, { step: name, ms, ...describe?.(value) });
      return value;
    } catch (error) {
      if (passThrough(error)) throw error;
      throw new BootError(name, error);
    }
  };
}
