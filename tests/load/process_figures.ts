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
