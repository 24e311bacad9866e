/** What was measured, as rows for a terminal and as JSON. */
import type { Machine } from "../bench/machine.ts";

export interface Row {
  readonly name: string;
  /** Requests, events or admissions a second. */
  readonly perSecond?: number | undefined;
  readonly medianMs?: number | undefined;
  readonly p99Ms?: number | undefined;
  /** Of the master, while it was measured; 100: one core. */
  readonly cpuPercent?: number | undefined;
  readonly residentMB?: number | undefined;
  /** Ours, and whether it is met. */
  readonly target?: { readonly text: string; readonly met: boolean } | undefined;
  readonly note?: string | undefined;
  /** Why it could not be measured here. */
  readonly skipped?: string | undefined;
}

const HEADINGS = [
  "load",
  "per second",
  "median",
  "p99",
  "master CPU",
  "RSS",
  "target",
  "",
  "note",
];

export function formatRows(rows: readonly Row[]): string {
  const cells = [HEADINGS, ...rows.filter(({ skipped }) => skipped === undefined).map(cellsOf)];
  const widths = HEADINGS.map((_, i) => Math.max(...cells.map((row) => (row[i] ?? "").length)));
  const lines = cells.map((row) =>
    row.map((cell, i) =>
      i === 0 || i >= 6 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)
    ).join("  ").trimEnd()
  );
  for (const { name, skipped } of rows) {
    if (skipped !== undefined) lines.push(`${name}  skipped: ${skipped}`);
  }
  return lines.join("\n");
}

function cellsOf(row: Row): string[] {
  return [
    row.name,
    row.perSecond === undefined ? "" : Math.round(row.perSecond).toLocaleString("en"),
    milliseconds(row.medianMs),
    milliseconds(row.p99Ms),
    row.cpuPercent === undefined ? "" : `${row.cpuPercent.toFixed(0)} %`,
    row.residentMB === undefined ? "" : `${row.residentMB.toFixed(0)} MB`,
    row.target?.text ?? "",
    row.target === undefined ? "" : row.target.met ? "met" : "NOT MET",
    row.note ?? "",
  ];
}

function milliseconds(value: number | undefined): string {
  if (value === undefined) return "";
  return value < 10 ? `${value.toFixed(2)} ms` : `${value.toFixed(0)} ms`;
}

export interface Report {
  readonly machine: Machine;
  readonly rows: readonly Row[];
}

/** The part `q` (0 to 1) of sorted or unsorted samples; undefined without any. */
export function quantile(samples: readonly number[], q: number): number | undefined {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
}
