/** Time for work that makes room for others: measured and waited for, never trusted. */
export interface Pacer {
  /** Milliseconds, rising, from any beginning. */
  now(): number;
  /** Resolves after so many milliseconds, or as soon as the signal says so. 0: the next turn. */
  pause(ms: number, signal: AbortSignal): Promise<void>;
}

export const systemPacer: Pacer = {
  now: () => performance.now(),
  pause: (ms, signal) =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener("abort", done, { once: true });
    }),
};
