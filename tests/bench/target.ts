/** Targets of benchmarks: written for people (`>= 1.0 GB/s`), compared by the runner. */

export interface Target {
  readonly relation: ">=" | "<=";
  /** In the base unit of `quantity`. */
  readonly value: number;
  /** `rate` in operations per second, `throughput` in bytes per second, `time` in ms, `size` in MB. */
  readonly quantity: "rate" | "throughput" | "time" | "size" | "ratio";
  readonly statistic: "median" | "p99";
}

/** What a benchmark gave, in the base units of `Target`. */
export interface Figures {
  readonly opsPerSecond?: number | undefined;
  readonly bytesPerSecond?: number | undefined;
  readonly medianMs?: number | undefined;
  readonly p99Ms?: number | undefined;
  readonly medianMB?: number | undefined;
  readonly p99MB?: number | undefined;
  readonly medianRatio?: number | undefined;
  readonly p99Ratio?: number | undefined;
}

const UNITS: Readonly<Record<string, readonly [Target["quantity"], number]>> = {
  "/s": ["rate", 1],
  "ops/s": ["rate", 1],
  "k/s": ["rate", 1e3],
  "MB/s": ["throughput", 1e6],
  "GB/s": ["throughput", 1e9],
  "ns": ["time", 1e-6],
  "us": ["time", 1e-3],
  "ms": ["time", 1],
  "s": ["time", 1e3],
  "MB": ["size", 1],
  "x": ["ratio", 1],
};

/** Parses `(>=|<=) number unit [median|p99]`; `undefined` for anything else. */
export function parseTarget(text: string): Target | undefined {
  const match = /^(>=|<=)\s*(\d[\d,]*(?:\.\d+)?)\s*([A-Za-z/]+)(?:\s+(median|p99))?$/.exec(text);
  if (match === null) return undefined;
  const [, relation, digits, unitName, statistic] = match;
  const unit = UNITS[unitName ?? ""];
  if (unit === undefined || digits === undefined) return undefined;
  if (relation !== ">=" && relation !== "<=") return undefined;
  const [quantity, factor] = unit;
  return {
    relation,
    value: Number(digits.replaceAll(",", "")) * factor,
    quantity,
    statistic: statistic === "p99" ? "p99" : "median",
  };
}

/** Whether the figures meet the target; `undefined` when they do not hold the quantity asked for. */
export function meetsTarget(target: Target, figures: Figures): boolean | undefined {
  const p99 = target.statistic === "p99";
  const measured = {
    rate: figures.opsPerSecond,
    throughput: figures.bytesPerSecond,
    time: p99 ? figures.p99Ms : figures.medianMs,
    size: p99 ? figures.p99MB : figures.medianMB,
    ratio: p99 ? figures.p99Ratio : figures.medianRatio,
  }[target.quantity];
  if (measured === undefined) return undefined;
  return target.relation === ">=" ? measured >= target.value : measured <= target.value;
}
