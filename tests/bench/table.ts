/** Lays benchmark results out for a terminal. */
import { withWidth } from "./harness.ts";
import type { BenchResult } from "./measure.ts";

const HEADINGS = ["benchmark", "median", "p99", "ops/s", "MB/s", "first claim", "target", ""];

/** One group as an aligned table; skips and failures are lines of it. */
export function formatGroup(results: readonly BenchResult[]): string {
  const rows = results.filter((r) => r.failed === undefined && r.skipped === undefined).map(row);
  const all = [HEADINGS, ...rows];
  const widths = HEADINGS.map((_, i) => Math.max(...all.map((cells) => (cells[i] ?? "").length)));
  const lines = rows.length === 0
    ? []
    : all.map((cells) =>
      cells.map((cell, i) =>
        i === 0 || i >= 5 ? cell.padEnd(at(widths, i)) : cell.padStart(at(widths, i))
      )
        .join("  ").trimEnd()
    );
  for (const result of results) {
    if (result.skipped !== undefined) lines.push(`${label(result)}  skipped: ${result.skipped}`);
    if (result.failed !== undefined) lines.push(`${label(result)}  FAILED: ${result.failed}`);
  }
  return lines.join("\n");
}

function row(result: BenchResult): string[] {
  return [
    label(result),
    figure(result.medianMs, result.medianMB, result.medianRatio),
    figure(result.p99Ms, result.p99MB, result.p99Ratio),
    result.opsPerSecond === undefined ? "" : Math.round(result.opsPerSecond).toLocaleString("en"),
    result.bytesPerSecond === undefined ? "" : fixed(result.bytesPerSecond / 1e6),
    result.claim ?? "",
    result.target ?? "",
    result.met === undefined ? "" : result.met ? "met" : "NOT MET",
  ];
}

function figure(ms?: number, megabytes?: number, ratio?: number): string {
  if (megabytes !== undefined) return `${fixed(megabytes)} MB`;
  return ratio !== undefined ? `${fixed(ratio)} x` : duration(ms);
}

function label(result: BenchResult): string {
  return withWidth(result.name, result.inFlight);
}

/** Three significant figures with a fitting unit. */
export function duration(ms: number | undefined): string {
  if (ms === undefined) return "";
  if (ms >= 1000) return `${fixed(ms / 1000)} s`;
  if (ms >= 1) return `${fixed(ms)} ms`;
  if (ms >= 1e-3) return `${fixed(ms * 1e3)} us`;
  return `${fixed(ms * 1e6)} ns`;
}

function fixed(value: number | undefined): string {
  if (value === undefined) return "";
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function at(widths: readonly number[], index: number): number {
  return widths[index] ?? 0;
}
