/** The table of side_by_side.ts, and what its figures are held against. */

export interface Figures {
  readonly perSecond: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuUsPerOp: number;
  readonly residentMiB: number;
  readonly diskMiB: number;
}

export interface Row {
  readonly load: string;
  readonly inFlight: number;
  readonly ours: Figures;
  readonly etcd: Figures;
}

export interface Fan {
  readonly watches: number;
  /** Ascending, ms. */
  readonly ours: readonly number[];
  readonly etcd: readonly number[];
}

export interface TargetRatio {
  readonly name: string;
  /** Ours over etcd's. */
  readonly ratio: number;
  readonly met: boolean;
}

/** What the project set itself, with what this run gave. */
export function compareTargets(rows: readonly Row[], fans: readonly Fan[]): TargetRatio[] {
  const ratios = (load: RegExp, inFlight: number, of: (figures: Figures) => number) =>
    rows.filter((row) => load.test(row.load) && row.inFlight === inFlight)
      .map((row) => ({
        name: `${row.load}, ${inFlight} in flight`,
        ratio: of(row.ours) / of(row.etcd),
      }));
  const atLeast = (what: string, least: number, found: { name: string; ratio: number }[]) =>
    found.map(({ name, ratio }) => ({
      name: `${what}, ${name}, >= ${least}x`,
      ratio,
      met: ratio >= least,
    }));
  const atMost = (what: string, most: number, found: { name: string; ratio: number }[]) =>
    found.map(({ name, ratio }) => ({
      name: `${what}, ${name}, <= ${most}x`,
      ratio,
      met: ratio <= most,
    }));
  return [
    ...atLeast("rate", 2, ratios(/^put/, 64, (f) => f.perSecond)),
    ...atLeast("rate", 2, ratios(/^range/, 64, (f) => f.perSecond)),
    ...atMost("p99", 1, ratios(/^(put|range)/, 64, (f) => f.p99Ms)),
    ...atMost("p50", 1.2, ratios(/^put/, 1, (f) => f.p50Ms)),
    ...atMost(
      "p99",
      1,
      fans.map(({ watches, ours, etcd }) => ({
        name: `event to ${watches} watches`,
        ratio: quantile(ours, 0.99) / quantile(etcd, 0.99),
      })),
    ),
  ];
}

export function quantile(ascending: readonly number[], q: number): number {
  return ascending[Math.floor(ascending.length * q)] ?? NaN;
}

export function formatRow({ load, inFlight, ours, etcd }: Row): string {
  const pair = (a: number, b: number, digits: number, width = 13) =>
    `${a.toFixed(digits)} / ${b.toFixed(digits)}`.padEnd(width);
  const times = (a: number, b: number) => (a / b).toFixed(2).padStart(5) + "   ";
  return load.padEnd(18) + String(inFlight).padStart(9) + "  " +
    ours.perSecond.toFixed(0).padStart(7) + "  " + etcd.perSecond.toFixed(0).padStart(7) + "  " +
    times(ours.perSecond, etcd.perSecond) +
    pair(ours.p50Ms, etcd.p50Ms, 2) + times(ours.p50Ms, etcd.p50Ms) +
    pair(ours.p99Ms, etcd.p99Ms, 2) + times(ours.p99Ms, etcd.p99Ms) +
    pair(ours.cpuUsPerOp, etcd.cpuUsPerOp, 0, 12) +
    pair(ours.residentMiB, etcd.residentMiB, 0, 12) + pair(ours.diskMiB, etcd.diskMiB, 0).trimEnd();
}

export const HEADING =
  "load              in flight   ours/s   etcd/s  ratio   p50 ms       ratio   p99 ms       ratio   " +
  "CPU us/op   memory MiB  disk MiB";
