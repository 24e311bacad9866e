/** What another process of this machine uses, from /proc. */

export interface ProcessFigures {
  /** User and system time since it began. */
  readonly cpuMs: number;
  readonly atMs: number;
  readonly residentMB: number;
}

/** sysconf(_SC_CLK_TCK): 100 on every Linux there is. */
const TICK_MS = 10;

/** @throws {Deno.errors.NotFound} for a process that is not there */
export function processFigures(pid: number): ProcessFigures {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  // Fields after the name, which may hold anything, in parentheses: utime is the 14th of all.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  return {
    cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS,
    atMs: performance.now(),
    residentMB: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1024 / 1e6,
  };
}

/** 100: one core, all the time between the two. */
export function cpuPercent(before: ProcessFigures, after: ProcessFigures): number {
  return (after.cpuMs - before.cpuMs) / (after.atMs - before.atMs) * 100;
}

/** How much it held at most since it was watched, asked ten times a second. */
export interface MemoryWatch extends Disposable {
  /** Since the last call, or since it began. */
  highestMB(): number;
}

/** @throws {Deno.errors.NotFound} for a process that is not there */
export function watchMemory(pid: number): MemoryWatch {
  let highest = processFigures(pid).residentMB;
  const look = () => {
    try {
      highest = Math.max(highest, processFigures(pid).residentMB);
    } catch (error) {
      // It has ended: what was seen stands.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  };
  const timer = setInterval(look, 100);
  return {
    highestMB() {
      look();
      const seen = highest;
      highest = 0;
      return seen;
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}
