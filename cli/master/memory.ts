/**
 * Gives memory back. The runtime collects garbage and trims its heap on SIGUSR2 where
 * `DENO_USR2_MEMORY_TRIM` is set, as the launcher does (tools/launcher/README.md); without the
 * variable the signal would end the process, and nothing is done here.
 */

/** What only booting needed: parsing the bundle takes tens of megabytes. */
export function releaseBootMemory(env: Readonly<Record<string, string>>): void {
  if (canTrim(env)) trim();
}

export interface MemoryKeeper {
  /** Looks whether it is time; to be called often. @returns whether memory was given back */
  tick(): boolean;
}

export interface MemoryKeeperOptions {
  readonly clock: () => number;
  /** Bytes that are resident. */
  readonly resident: () => number;
  /** Undefined where the runtime cannot. */
  readonly trim: (() => void) | undefined;
}

/** A trim stops the program for some tens of milliseconds: not more often than this. */
const INTERVAL_MS = 30_000;
/** Until a trim has had its effect. */
const SETTLE_MS = 2_000;
/** Growth over what the last trim left that makes another one worth it. */
const GROWTH_BYTES = 64 << 20;

/**
 * Left alone, what a burst left behind (ten thousand workers that enter) stays resident for good: the
 * collector sees no reason to hurry, and a TEE's memory is dear.
 */
export function createMemoryKeeper({ clock, resident, trim }: MemoryKeeperOptions): MemoryKeeper {
  let lastMs = clock();
  let least: number | undefined;
  return {
    tick() {
      if (trim === undefined) return false;
      const sinceMs = clock() - lastMs;
      if (least === undefined) {
        if (sinceMs >= SETTLE_MS) least = resident();
        return false;
      }
      if (sinceMs < INTERVAL_MS || resident() - least < GROWTH_BYTES) return false;
      trim();
      lastMs = clock();
      least = undefined;
      return true;
    },
  };
}

/** How this process trims itself; undefined where it cannot. */
export function trimmer(env: Readonly<Record<string, string>>): (() => void) | undefined {
  return canTrim(env) ? trim : undefined;
}

function canTrim(env: Readonly<Record<string, string>>): boolean {
  return env["DENO_USR2_MEMORY_TRIM"] === "1";
}

function trim(): void {
  Deno.kill(Deno.pid, "SIGUSR2");
}
