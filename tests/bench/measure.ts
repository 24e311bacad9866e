/** Takes samples of one benchmark: warm-up, then runs kept in flight until the time is used up. */
import type { BenchRun, BenchSpec } from "./harness.ts";
import { type Figures, meetsTarget, parseTarget } from "./target.ts";

/** How long and how much to measure. */
export interface MeasureOptions {
  readonly warmUpMs: number;
  readonly budgetMs: number;
  /** Samples taken even when the budget is used up. */
  readonly minRuns: number;
}

export interface BenchResult extends Figures {
  readonly group: string;
  readonly name: string;
  readonly inFlight: number;
  readonly bytesPerOp?: number | undefined;
  readonly claim?: string | undefined;
  readonly target?: string | undefined;
  /** Whether the target is met; absent without a target. */
  readonly met?: boolean | undefined;
  readonly runs?: number;
  /** Why it did not run, or how it failed; then there are no figures. */
  readonly skipped?: string;
  readonly failed?: string;
}

/** Runs shorter than this are timed several at a time, and p99 is then one of such means. */
const SHORTEST_SAMPLE_MS = 0.02;

/** Sets up, measures and closes one benchmark. A throw inside it becomes `failed`. */
export async function measure(spec: BenchSpec, options: MeasureOptions): Promise<BenchResult> {
  const id = {
    group: spec.group,
    name: spec.name,
    inFlight: spec.inFlight ?? 1,
    bytesPerOp: spec.bytesPerOp,
    claim: spec.claim,
    target: spec.target,
  };
  try {
    const bench = await spec.setup();
    if ("skip" in bench) return { ...id, skipped: bench.skip };
    try {
      const samples = await sample(spec, bench, options);
      const figures = summarize(spec, samples);
      const target = spec.target === undefined ? undefined : parseTarget(spec.target);
      const met = target === undefined ? undefined : meetsTarget(target, figures);
      return { ...id, ...figures, met, runs: samples.values.length };
    } finally {
      await bench.close?.();
    }
  } catch (error) {
    return { ...id, failed: error instanceof Error ? error.stack ?? error.message : String(error) };
  }
}

interface Samples {
  /** Per operation: ms, or whatever `unit` says. */
  readonly values: readonly number[];
  readonly operations: number;
  readonly elapsedMs: number;
}

async function sample(
  spec: BenchSpec,
  bench: BenchRun,
  options: MeasureOptions,
): Promise<Samples> {
  const opsPerRun = spec.opsPerRun ?? 1;
  const maxRuns = spec.maxRuns ?? Infinity;
  if (maxRuns === Infinity) await warmUp(bench, options.warmUpMs);
  const batch = spec.unit === undefined && spec.inFlight === undefined ? calibrate(bench) : 1;
  const values: number[] = [];
  let runs = 0;
  const started = performance.now();
  const deadline = started + options.budgetMs;
  const wanted = () =>
    runs < maxRuns && (runs < options.minRuns * batch || performance.now() < deadline);
  const lane = async (): Promise<void> => {
    while (wanted()) {
      runs += batch;
      const before = performance.now();
      let value: number | void = undefined;
      for (let i = 0; i < batch; i++) {
        const result = bench.run();
        value = result instanceof Promise ? await result : result;
      }
      const tookMs = performance.now() - before;
      if (spec.unit === undefined) values.push(tookMs / batch / opsPerRun);
      else if (typeof value === "number") values.push(value / opsPerRun);
      else throw new TypeError(`run() of a benchmark with unit "${spec.unit}" returned no number`);
    }
  };
  await Promise.all(Array.from({ length: spec.inFlight ?? 1 }, lane));
  return { values, operations: runs * opsPerRun, elapsedMs: performance.now() - started };
}

async function warmUp(bench: BenchRun, warmUpMs: number): Promise<void> {
  const until = performance.now() + warmUpMs;
  do await bench.run(); while (performance.now() < until);
}

/** How many synchronous runs make one sample long enough for the clock; 1 for asynchronous ones. */
function calibrate(bench: BenchRun): number {
  const before = performance.now();
  const first = bench.run();
  if (first instanceof Promise) {
    // Its outcome is of no interest here; the measured runs report a failure.
    first.catch(() => {});
    return 1;
  }
  let runs = 1;
  while (performance.now() - before < 1 && runs < 1e6) {
    bench.run();
    runs++;
  }
  const perRunMs = (performance.now() - before) / runs;
  return Math.max(1, Math.ceil(SHORTEST_SAMPLE_MS / perRunMs));
}

function summarize(spec: BenchSpec, samples: Samples): Figures {
  const sorted = Float64Array.from(samples.values).sort();
  const median = quantile(sorted, 0.5);
  const p99 = quantile(sorted, 0.99);
  if (spec.unit === "MB") return { medianMB: median, p99MB: p99 };
  if (spec.unit === "x") return { medianRatio: median, p99Ratio: p99 };
  const mean = sorted.reduce((sum, value) => sum + value, 0) / sorted.length;
  const opsPerSecond = spec.unit === "ms"
    ? 1000 / mean
    : samples.operations / samples.elapsedMs * 1000;
  return {
    opsPerSecond,
    bytesPerSecond: spec.bytesPerOp === undefined ? undefined : spec.bytesPerOp * opsPerSecond,
    medianMs: median,
    p99Ms: p99,
  };
}

/** Nearest-rank quantile of an ascending array. */
export function quantile(sorted: Float64Array, q: number): number {
  const value = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)];
  if (value === undefined) throw new RangeError("no samples");
  return value;
}
