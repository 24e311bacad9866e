/**
 * The one shape of a benchmark in this project. A file `x_bench.ts` exports `benches` and ends with
 * `registerWithDeno(benches, import.meta)`, so that it runs both under `deno bench -P` and under the
 * project's own runner (`deno task bench`, main.ts beside this file), which adds p99, MB/s and targets.
 */
import { parseTarget } from "./target.ts";

/** What a benchmark measures; made by `setup`, so that nothing happens when the file is imported. */
export interface BenchRun {
  /**
   * One measured run. Its duration is the sample; a benchmark with `unit` returns the sample itself
   * (a memory size, a duration that something else measured, a ratio) as a number of that unit.
   */
  run(): void | number | Promise<void | number>;
  close?(): void | Promise<void>;
}

/** Why a benchmark cannot run here (a missing library, no built binary); printed, never hidden. */
export interface BenchSkip {
  readonly skip: string;
}

export interface BenchSpec {
  readonly name: string;
  readonly group: string;
  /** How many runs are kept on their way at once; 1 unless told. */
  readonly inFlight?: number;
  /** Payload bytes of one operation; gives the MB/s column (1 MB = 1,000,000 bytes). */
  readonly bytesPerOp?: number;
  /** Operations that one `run` performs; 1 unless told. Latencies and rates are per operation. */
  readonly opsPerRun?: number;
  /** What `run` returns instead of being timed. */
  readonly unit?: "ms" | "MB" | "x";
  /** Most samples to take; for slow things such as starting a process. */
  readonly maxRuns?: number;
  /** The figure that the first implementation claimed, as text. */
  readonly claim?: string;
  /** Ours, such as `>= 1.0 GB/s`, `>= 10,000/s`, `<= 300 ms`, `<= 120 MB`; see target.ts. */
  readonly target?: string;
  setup(): Promise<BenchRun | BenchSkip>;
}

/** @throws {TypeError} naming the benchmark and the field that is out of range. */
export function checkSpec(spec: BenchSpec): void {
  const id = `${spec.group}: ${spec.name}`;
  for (const field of ["inFlight", "bytesPerOp", "opsPerRun", "maxRuns"] as const) {
    const value = spec[field];
    if (value !== undefined && (!Number.isSafeInteger(value) || value < 1)) {
      throw new TypeError(`bench "${id}": ${field} must be a positive integer, not ${value}`);
    }
  }
  if (spec.target !== undefined && parseTarget(spec.target) === undefined) {
    throw new TypeError(
      `bench "${id}": target "${spec.target}" is not of the form ">= 1.0 GB/s" (see target.ts)`,
    );
  }
}

/**
 * Registers the benchmarks with `deno bench`; does nothing in any other run.
 *
 * Deno's runner has no asynchronous setup, so a benchmark sets itself up in its first warm-up call and
 * is closed when the next one starts. With `inFlight`, one iteration is that many runs side by side.
 */
export function registerWithDeno(benches: readonly BenchSpec[], meta: ImportMeta): void {
  let closeOpened: (() => void | Promise<void>) | undefined;
  const closeLast = async (): Promise<void> => {
    const close = closeOpened;
    closeOpened = undefined;
    await close?.();
  };
  for (const spec of benches) {
    checkSpec(spec);
    const width = spec.inFlight ?? 1;
    let opened: BenchRun | undefined;
    let skipped = false;
    Deno.bench({
      name: benchName(spec),
      group: spec.group,
      fn: async () => {
        if (skipped) return;
        if (opened === undefined) {
          await closeLast();
          const made = await spec.setup();
          if ("skip" in made) {
            skipped = true;
            write(`skipped: ${benchName(spec)}: ${made.skip} (its line below measures nothing)\n`);
            return;
          }
          opened = made;
          closeOpened = () => made.close?.();
        }
        const bench = opened;
        if (width === 1) {
          await bench.run();
        } else {
          await Promise.all(Array.from({ length: width }, () => bench.run()));
        }
      },
    });
  }
  // `deno bench` imports the file; a run of the file itself measures nothing and should say so.
  if (meta.main) write("run this with `deno bench -P` or `deno task bench`\n");
  globalThis.addEventListener("unload", () => void closeLast());
}

/** The name with what changes its meaning: how many are in flight, how much a run does. */
export function benchName(spec: BenchSpec): string {
  return withWidth(spec.name, spec.inFlight ?? 1);
}

/** Adds the number in flight to a name that does not tell it already. */
export function withWidth(name: string, inFlight: number): string {
  return inFlight === 1 || name.includes("in flight") ? name : `${name} (${inFlight} in flight)`;
}

function write(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(text));
}
