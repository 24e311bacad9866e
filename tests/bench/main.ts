/**
 * `deno task bench [--short] [--filter RE] [--json FILE] [--strict]`: runs every `*_bench.ts` of the
 * project and prints medians, p99, rates, the first implementation's claims and our targets.
 * Exit code 1 when a benchmark failed, or with `--strict` when a target was missed.
 */
import { parseArgs } from "@std/cli/parse-args";
import type { BenchSpec } from "./harness.ts";
import { checkSpec } from "./harness.ts";
import { describeMachine } from "./machine.ts";
import { type BenchResult, measure, type MeasureOptions } from "./measure.ts";
import { formatGroup } from "./table.ts";

const USAGE = `Usage: deno task bench [--short] [--filter RE] [--json FILE] [--strict]
  --short      a tenth of the time per benchmark; shows that they run, not what they give
  --filter RE  only those whose "group: name" matches
  --json FILE  also write machine and results there
  --strict     exit 1 when a target is missed
`;

const FULL: MeasureOptions = { warmUpMs: 300, budgetMs: 2000, minRuns: 10 };
const SHORT: MeasureOptions = { warmUpMs: 30, budgetMs: 200, minRuns: 2 };

/** Folders that hold no benchmarks of ours. */
const SKIPPED_FOLDERS = new Set(["node_modules", "dist", "data", "docs", "coverage"]);

async function main(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args);
  if (typeof flags === "string") {
    print(flags);
    return flags === USAGE ? 0 : 2;
  }
  const options = flags.short ? SHORT : FULL;
  const machine = describeMachine();
  print(
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryMB} MB, ${machine.kernel}, ` +
      `Deno ${machine.deno}, V8 ${machine.v8}, load ${machine.load.toFixed(2)}\n` +
      `${options.budgetMs} ms each after ${options.warmUpMs} ms of warm-up` +
      `${flags.short ? " (--short: not figures to quote)" : ""}\n`,
  );
  const groups = Map.groupBy(await loadSpecs(flags.filter), (spec) => spec.group);
  const results: BenchResult[] = [];
  for (const [group, specs] of groups) {
    print(`\n${group}\n`);
    const measured: BenchResult[] = [];
    for (const spec of specs) measured.push(await measure(spec, options));
    print(`${formatGroup(measured)}\n`);
    results.push(...measured);
  }
  const count = (test: (result: BenchResult) => boolean) => results.filter(test).length;
  const failed = count((r) => r.failed !== undefined);
  const skipped = count((r) => r.skipped !== undefined);
  const missed = count((r) => r.met === false);
  print(
    `\n${results.length - failed - skipped} measured, ${failed} failed, ${skipped} skipped; ` +
      `targets: ${count((r) => r.met === true)} met, ${missed} not met\n`,
  );
  if (flags.json !== undefined) {
    const report = { measured_at: new Date().toISOString(), machine, options, results };
    await Deno.writeTextFile(flags.json, JSON.stringify(report, null, 2) + "\n");
  }
  return failed > 0 || (flags.strict && missed > 0) ? 1 : 0;
}

interface Flags {
  readonly short: boolean;
  readonly strict: boolean;
  readonly filter: RegExp;
  readonly json: string | undefined;
}

/** The flags, or the text to print instead. */
function parseFlags(args: readonly string[]): Flags | string {
  const unknown: string[] = [];
  const flags = parseArgs(args, {
    boolean: ["short", "strict", "help"],
    string: ["filter", "json"],
    unknown: (arg) => void unknown.push(arg),
  });
  if (flags["help"] === true) return USAGE;
  if (unknown.length > 0) return `unknown argument: ${unknown.join(" ")}\n${USAGE}`;
  const json = flags["json"];
  const filter = flags["filter"];
  return {
    short: flags["short"] === true,
    strict: flags["strict"] === true,
    filter: new RegExp(typeof filter === "string" ? filter : ""),
    json: typeof json === "string" && json !== "" ? json : undefined,
  };
}

/** Imports every `*_bench.ts` below the project root, in path order. */
async function loadSpecs(filter: RegExp): Promise<BenchSpec[]> {
  const root = new URL("../../", import.meta.url);
  const specs: BenchSpec[] = [];
  for (const url of findBenchFiles(root).sort()) {
    const module: { readonly benches?: readonly BenchSpec[] } = await import(url);
    if (module.benches === undefined) throw new TypeError(`${url} does not export benches`);
    for (const spec of module.benches) {
      checkSpec(spec);
      if (filter.test(`${spec.group}: ${spec.name}`)) specs.push(spec);
    }
  }
  return specs;
}

function findBenchFiles(folder: URL): string[] {
  const found: string[] = [];
  for (const entry of Deno.readDirSync(folder)) {
    if (entry.isDirectory && !entry.name.startsWith(".") && !SKIPPED_FOLDERS.has(entry.name)) {
      found.push(...findBenchFiles(new URL(`${entry.name}/`, folder)));
    } else if (entry.isFile && entry.name.endsWith("_bench.ts")) {
      found.push(new URL(entry.name, folder).href);
    }
  }
  return found;
}

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}

if (import.meta.main) Deno.exit(await main(Deno.args));
