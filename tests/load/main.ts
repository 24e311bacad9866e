/**
 * `make load`: the master as a process of its own under load from this one and from wrk, the chain's
 * stand-in as a third. Prints one table; `--json FILE` keeps it.
 */
import { parseArgs } from "@std/cli/parse-args";
import * as v from "valibot";
import { describeMachine } from "../bench/machine.ts";
import { type Master, startMaster } from "./master.ts";
import { formatRows, type Report, type Row } from "./report.ts";
import type { LoadContext, Scenario } from "./scenario.ts";
import { flood } from "./scenarios/flood.ts";
import { http } from "./scenarios/http.ts";
import { lists, watches } from "./scenarios/pods.ts";
import { workers } from "./scenarios/workers.ts";
import { hasWrk, NO_WRK } from "./wrk.ts";

const SCENARIOS: readonly Scenario[] = [http, lists, watches, flood, workers];

const USAGE =
  `Usage: deno task load [--short] [--filter TEXT] [--binary PATH] [--periods N] [--json FILE]

  --short        show that everything runs: 1 s each, 400 workers
  --filter TEXT  ${SCENARIOS.map(({ name }) => name).join(", ")}: those whose name has TEXT
  --binary PATH  a built master (default: from the sources)
  --periods N    of 30 s in which all workers beat (default: 2; 20 show what history comes to)
  --json FILE    the figures as JSON
`;

const Flags = v.object({
  short: v.boolean(),
  help: v.boolean(),
  filter: v.optional(v.string()),
  binary: v.optional(v.string()),
  periods: v.optional(v.pipe(v.string(), v.regex(/^[1-9][0-9]{0,2}$/), v.transform(Number)), "2"),
  json: v.optional(v.string()),
});

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

async function main(): Promise<void> {
  const flags = v.parse(
    Flags,
    parseArgs(Deno.args, {
      boolean: ["short", "help"],
      string: ["filter", "binary", "periods", "json"],
    }),
  );
  if (flags.help) return print(USAGE);
  // Before anything runs: the load that others make.
  const machine = describeMachine();
  const binary = flags.binary === undefined ? undefined : await Deno.realPath(flags.binary);
  await using shared = new AsyncDisposableStack();
  const directory = await Deno.makeTempDir({ prefix: "nautilus-load-" });
  shared.defer(() => Deno.remove(directory, { recursive: true }));
  let master: Promise<Master> | undefined;
  const context: LoadContext = {
    master: () => master ??= startMaster({ binary }).then((started) => shared.use(started)),
    freshMaster: (env = {}) => startMaster({ binary, env }),
    hasWrk: await hasWrk(),
    seconds: flags.short ? 1 : 5,
    workers: flags.short ? 400 : 10_000,
    periods: flags.periods,
    directory,
    say: (text) => print(`  ${text} …`),
  };
  if (!context.hasWrk) print(`Some of it is skipped: ${NO_WRK}.`);
  const rows: Row[] = [];
  for (const scenario of SCENARIOS) {
    if (flags.filter !== undefined && !scenario.name.includes(flags.filter)) continue;
    print(`${scenario.name} …`);
    rows.push(...await scenario.run(context));
  }
  print(
    `\n${machine.cpu}, ${machine.cores} cores, ${machine.kernel}, Deno ${machine.deno}, ` +
      `load ${machine.load.toFixed(2)} before\n`,
  );
  print(formatRows(rows));
  if (flags.json !== undefined) {
    const report: Report = { machine, rows };
    await Deno.writeTextFile(flags.json, JSON.stringify(report, null, 2) + "\n");
  }
}

if (import.meta.main) await main();
