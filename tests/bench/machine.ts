/** What the figures were measured on; figures without it mean nothing. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryMB: number;
  readonly kernel: string;
  readonly deno: string;
  readonly v8: string;
  /** One-minute load before the run: above the core count, others were measured too. */
  readonly load: number;
}

export function describeMachine(): Machine {
  return {
    cpu: cpuModel() ?? Deno.build.arch,
    cores: navigator.hardwareConcurrency,
    memoryMB: Math.round(Deno.systemMemoryInfo().total / 1e6),
    kernel: `${Deno.build.os} ${Deno.osRelease()}`,
    deno: Deno.version.deno,
    v8: Deno.version.v8,
    load: Deno.loadavg()[0] ?? 0,
  };
}

/** The processor's name where /proc has one (arm64 has none). */
function cpuModel(): string | undefined {
  try {
    return /^model name\s*:\s*(.+)$/m.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
