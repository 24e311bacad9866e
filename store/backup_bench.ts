/**
 * What a backup and a restore hold in memory: each in a process of its own, over a store of
 * NAUTILUS_BENCH_STORE_MIB (64 unless told). It must not grow with the store.
 */
import { type BenchSpec, registerWithDeno } from "../tests/bench/harness.ts";

const MIB = Number(Deno.env.get("NAUTILUS_BENCH_STORE_MIB") ?? "64");
const SCRIPT = new URL("../tests/bench/backup_process.ts", import.meta.url);

async function runStep(step: string, folder: string): Promise<{ peakMB: number; seconds: number }> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", "--no-check", SCRIPT.pathname, step, folder, String(MIB)],
  }).output();
  if (!success) throw new Error(`${step}: ${new TextDecoder().decode(stderr)}`);
  const result: unknown = JSON.parse(new TextDecoder().decode(stdout));
  if (typeof result !== "object" || result === null) throw new Error(`${step}: no figures`);
  return {
    peakMB: Number(Reflect.get(result, "peakMB")),
    seconds: Number(Reflect.get(result, "seconds")),
  };
}

function memoryBench(step: "backup" | "restore"): BenchSpec {
  return {
    name: `${step}, peak memory`,
    group: `backup of ${MIB} MiB`,
    unit: "MB",
    maxRuns: 1,
    target: "<= 268 MB",
    async setup() {
      const folder = await Deno.makeTempDir({ prefix: "nautilus-bench-" });
      await runStep("fill", folder);
      if (step === "restore") await runStep("backup", folder);
      return {
        async run() {
          const { peakMB } = await runStep(step, folder);
          if (step === "restore") await Deno.remove(`${folder}/restored.sqlite`);
          return peakMB;
        },
        close: () => Deno.remove(folder, { recursive: true }),
      };
    },
  };
}

export const benches: readonly BenchSpec[] = [memoryBench("backup"), memoryBench("restore")];

registerWithDeno(benches, import.meta);
