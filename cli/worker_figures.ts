/** How busy this machine is, from /proc and the file system; percentages for heartbeats. */
import { statfsSync } from "node:fs";

export interface ResourceUsage {
  readonly cpu_percent: number;
  readonly memory_percent: number;
  readonly disk_percent: number;
}

/** Where the figures come from, injected. */
export interface FigureSources {
  /** /proc/stat. */
  stat(): Promise<string>;
  /** /proc/meminfo. */
  meminfo(): Promise<string>;
  /** Blocks of the root file system. */
  disk(): { readonly blocks: number; readonly free: number };
}

interface CpuTimes {
  readonly idle: number;
  readonly total: number;
}

/** Reads the figures; the CPU's are those since the last call, or since boot in the first. */
export function createFigures(sources: FigureSources = machine()): () => Promise<ResourceUsage> {
  let before: CpuTimes = { idle: 0, total: 0 };
  return async () => {
    const now = cpuTimes(await sources.stat());
    const total = now.total - before.total;
    const cpu = total > 0 ? 1 - (now.idle - before.idle) / total : 0;
    before = now;
    const { blocks, free } = sources.disk();
    return {
      cpu_percent: percent(cpu),
      memory_percent: percent(memoryInUse(await sources.meminfo())),
      disk_percent: percent(blocks > 0 ? 1 - free / blocks : 0),
    };
  };
}

/** user nice system idle iowait irq softirq steal, in ticks (proc(5)). */
function cpuTimes(stat: string): CpuTimes {
  const fields = /^cpu +([\d ]+)$/m.exec(stat)?.[1]?.split(" ").slice(0, 8).map(Number) ?? [];
  const total = fields.reduce((sum, ticks) => sum + ticks, 0);
  return { idle: (fields[3] ?? 0) + (fields[4] ?? 0), total };
}

function memoryInUse(meminfo: string): number {
  const kibibytes = (name: string) =>
    Number(new RegExp(`^${name}: +(\\d+) kB$`, "m").exec(meminfo)?.[1] ?? 0);
  const total = kibibytes("MemTotal");
  return total > 0 ? 1 - kibibytes("MemAvailable") / total : 0;
}

function percent(part: number): number {
  return Math.round(Math.min(1, Math.max(0, part)) * 1000) / 10;
}

function machine(): FigureSources {
  return {
    stat: () => Deno.readTextFile("/proc/stat"),
    meminfo: () => Deno.readTextFile("/proc/meminfo"),
    disk: () => {
      const { blocks, bavail } = statfsSync("/");
      return { blocks, free: bavail };
    },
  };
}
