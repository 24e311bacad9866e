/** What this machine has and how busy it is, from /proc and the file system, for heartbeats. */
import { statfsSync } from "node:fs";

export interface ResourceUsage {
  readonly cpu_percent: number;
  readonly memory_percent: number;
  readonly disk_percent: number;
}

/** As the heartbeat's `capacity`. */
export interface Capacity {
  readonly cpu_cores: number;
  readonly memory_bytes: number;
  readonly disk_bytes: number;
}

export interface Figures {
  readonly usage: ResourceUsage;
  /** Undefined where the machine does not say all of it. */
  readonly capacity: Capacity | undefined;
}

/** Where the figures come from, injected. */
export interface FigureSources {
  /** /proc/stat. */
  stat(): Promise<string>;
  /** /proc/meminfo. */
  meminfo(): Promise<string>;
  /** Blocks of the root file system. */
  disk(): { readonly blocks: number; readonly free: number; readonly blockBytes: number };
}

interface CpuTimes {
  readonly idle: number;
  readonly total: number;
}

/** Reads the figures; the CPU's are those since the last call, or since boot in the first. */
export function createFigures(sources: FigureSources = machine()): () => Promise<Figures> {
  let before: CpuTimes = { idle: 0, total: 0 };
  return async () => {
    const stat = await sources.stat();
    const now = cpuTimes(stat);
    const total = now.total - before.total;
    const cpu = total > 0 ? 1 - (now.idle - before.idle) / total : 0;
    before = now;
    const { blocks, free, blockBytes } = sources.disk();
    const meminfo = await sources.meminfo();
    const memory = memoryBytes(meminfo, "MemTotal");
    const available = memoryBytes(meminfo, "MemAvailable");
    const cores = stat.match(/^cpu\d+ /gm)?.length ?? 0;
    return {
      usage: {
        cpu_percent: percent(cpu),
        memory_percent: percent(memory > 0 ? 1 - available / memory : 0),
        disk_percent: percent(blocks > 0 ? 1 - free / blocks : 0),
      },
      capacity: cores > 0 && memory > 0 && blocks > 0
        ? { cpu_cores: cores, memory_bytes: memory, disk_bytes: blocks * blockBytes }
        : undefined,
    };
  };
}

/** user nice system idle iowait irq softirq steal, in ticks (proc(5)). */
function cpuTimes(stat: string): CpuTimes {
  const fields = /^cpu +([\d ]+)$/m.exec(stat)?.[1]?.split(" ").slice(0, 8).map(Number) ?? [];
  const total = fields.reduce((sum, ticks) => sum + ticks, 0);
  return { idle: (fields[3] ?? 0) + (fields[4] ?? 0), total };
}

/** A line of /proc/meminfo; 0 where it is not there. */
function memoryBytes(meminfo: string, name: string): number {
  return Number(new RegExp(`^${name}: +(\\d+) kB$`, "m").exec(meminfo)?.[1] ?? 0) * 1024;
}

function percent(part: number): number {
  return Math.round(Math.min(1, Math.max(0, part)) * 1000) / 10;
}

function machine(): FigureSources {
  return {
    stat: () => Deno.readTextFile("/proc/stat"),
    meminfo: () => Deno.readTextFile("/proc/meminfo"),
    disk: () => {
      const { blocks, bavail, bsize } = statfsSync("/");
      return { blocks, free: bavail, blockBytes: bsize };
    },
  };
}
