/**
 * Whether the registry that admits workers is one: a wrong id lets nobody in, and is to be seen
 * before the first worker comes.
 */
import type { Logger } from "@logtape/logtape";
import { LedgerUnavailable, RegistryUnusable } from "../../sui/ledger.ts";

/** Between looks at a registry that can be used. */
const INTERVAL_MS = 300_000;
/** Between looks where it cannot, or where the chain could not be asked. */
const RETRY_MS = 15_000;
/** Most one look may take. */
const TIMEOUT_MS = 10_000;

export interface RegistryWatch {
  /** Names the registry and the reason; undefined: it can be used, or nobody knows. */
  problem(): string | undefined;
  /** Begins to look; the function it returns stops it. */
  start(): () => Promise<void>;
}

export interface RegistryWatchOptions {
  /** @throws {RegistryUnusable}; anything else says nothing about the registry */
  readonly check: (signal: AbortSignal) => Promise<void>;
  /** Resolves after `ms` or when the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly log: Logger;
}

/** Where nobody is admitted by a registry. */
export const NO_REGISTRY_WATCH: RegistryWatch = Object.freeze({
  problem: () => undefined,
  start: () => () => Promise.resolve(),
});

/** Told once per reason. What a chain that cannot be asked left known stays as it was. */
export function createRegistryWatch({ check, sleep, log }: RegistryWatchOptions): RegistryWatch {
  let problem: string | undefined;

  function found(now: string | undefined): void {
    if (now === problem) return;
    problem = now;
    if (now === undefined) log.info("the registry of workers can be used again");
    else log.warn("nobody can be admitted: {problem}", { problem: now });
  }

  /** @returns milliseconds until the next look */
  async function look(signal: AbortSignal): Promise<number> {
    try {
      await check(AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]));
      found(undefined);
      return INTERVAL_MS;
    } catch (error) {
      if (signal.aborted) return 0;
      if (error instanceof RegistryUnusable) {
        found(error.hint === undefined ? error.message : `${error.message} (${error.hint})`);
      } else if (!(error instanceof LedgerUnavailable)) {
        log.warn("the registry of workers could not be looked at: {error}", { error });
      }
      return RETRY_MS;
    }
  }

  return {
    problem: () => problem,
    start() {
      const stop = new AbortController();
      const running = (async () => {
        while (!stop.signal.aborted) await sleep(await look(stop.signal), stop.signal);
      })();
      return async () => {
        stop.abort();
        await running;
      };
    },
  };
}
