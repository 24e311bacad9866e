/** Start-up and memory of the built file, as an operator meets them. */
import { type BenchRun, type BenchSpec, registerWithDeno } from "../bench/harness.ts";
import { builtBinary, makePlace, type Place, runBinary, startMaster } from "./harness.ts";

const GROUP = "built file";
const RUNS = 12;
/** Boot memory is given back within this; the master then waits for work. */
const SETTLE_MS = 1500;

/** @param measure gives one sample; every sample starts on the same data directory. */
async function onOnePlace(
  prepare: (place: Place) => Promise<void>,
  measure: (place: Place) => Promise<number>,
): Promise<BenchRun> {
  await builtBinary();
  const place = await makePlace();
  await prepare(place);
  return { run: () => measure(place), close: async () => await place[Symbol.asyncDispose]() };
}

async function readyMs(place: Place): Promise<number> {
  await using master = await startMaster(place);
  const { readyMs } = master;
  await master.end("SIGTERM");
  return readyMs;
}

/** Resident memory of an idle master, in MB. */
async function residentMB(place: Place): Promise<number> {
  await using master = await startMaster(place);
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const status = await Deno.readTextFile(`/proc/${master.pid}/status`);
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  if (kilobytes === undefined) throw new Error("no VmRSS in /proc/PID/status");
  await master.end("SIGTERM");
  return Number(kilobytes) * 1024 / 1e6;
}

export const benches: readonly BenchSpec[] = [
  {
    name: "nautilus version",
    group: GROUP,
    unit: "ms",
    maxRuns: RUNS,
    setup: () =>
      onOnePlace(async () => {}, async (place) => {
        const started = performance.now();
        await runBinary(place, ["version"]);
        return performance.now() - started;
      }),
  },
  {
    name: "ready, first boot",
    group: GROUP,
    unit: "ms",
    maxRuns: RUNS,
    target: "<= 300 ms",
    setup: () =>
      onOnePlace(async () => {}, async () => {
        await using place = await makePlace();
        return await readyMs(place);
      }),
  },
  {
    name: "ready, data there",
    group: GROUP,
    unit: "ms",
    maxRuns: RUNS,
    target: "<= 300 ms",
    setup: () => onOnePlace(async (place) => void await readyMs(place), readyMs),
  },
  {
    name: "resident, idle",
    group: GROUP,
    unit: "MB",
    maxRuns: 3,
    target: "<= 120 MB",
    setup: () => onOnePlace(async (place) => void await readyMs(place), residentMB),
  },
];

registerWithDeno(benches, import.meta);
