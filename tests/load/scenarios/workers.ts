/** Workers: admissions end to end, heartbeats as fast as they come, and 10,000 that beat every 30 s. */
import type { Master } from "../master.ts";
import { beat, forEach, type LoadWorker, makeWorkers, prove, register } from "../population.ts";
import { writeBeats } from "../prepared.ts";
import { cpuPercent, processFigures, watchMemory } from "../process_figures.ts";
import { quantile, type Row } from "../report.ts";
import { type LoadContext, pause, type Scenario, wrkRow } from "../scenario.ts";
import { NO_WRK, wrk } from "../wrk.ts";

/** As the worker's command. */
const PERIOD_MS = 30_000;
const MOST_MB = 300;
const PROVEN_AT_ONCE = 2_500;
/** Until a booted master has given back what only booting needed. */
const SETTLE_MS = 5_000;

export const workers: Scenario = {
  name: "workers",
  async run(context) {
    const rows: Row[] = [];
    await using master = await context.freshMaster();
    await pause(SETTLE_MS);
    rows.push({ name: "idle, booted", residentMB: processFigures(master.pid).residentMB });
    context.say(`${context.workers} tokens on the chain`);
    const population = await makeWorkers(master, context.workers, { keepAlive: false });
    context.say(`${context.workers} workers enter`);
    rows.push(...await enter(master, population));
    context.say(`they beat every ${PERIOD_MS / 1000} s`);
    rows.push(await beatAll(context, master, population));
    if (context.hasWrk) rows.push(await flatOut(context, master, population));
    else rows.push({ name: "heartbeats, signed, durable", skipped: NO_WRK });
    return rows;
  },
};

/**
 * Challenge, proof and registration of everybody, so many at a time: a challenge is good for a minute.
 * The chain is asked about each.
 */
async function enter(master: Master, population: readonly LoadWorker[]): Promise<Row[]> {
  const bodies = new Map<LoadWorker, string>();
  const delays: number[] = [];
  const took = { provingMs: 0, enteringMs: 0, cpuMs: 0 };
  using memory = watchMemory(master.pid);
  for (let i = 0; i < population.length; i += PROVEN_AT_ONCE) {
    const some = population.slice(i, i + PROVEN_AT_ONCE);
    took.provingMs += await forEach(some, 64, async (worker) => {
      bodies.set(worker, await prove(worker));
    });
    const before = processFigures(master.pid);
    took.enteringMs += await forEach(some, 64, async (worker) => {
      const begun = performance.now();
      await register(worker, bodies.get(worker) ?? "");
      delays.push(performance.now() - begun);
    });
    took.cpuMs += processFigures(master.pid).cpuMs - before.cpuMs;
  }
  const perSecond = population.length / took.enteringMs * 1000;
  return [
    {
      name: "challenges (and proofs, in the client)",
      perSecond: population.length / took.provingMs * 1000,
    },
    {
      name: "admissions, chain in another process",
      perSecond,
      medianMs: quantile(delays, 0.5),
      p99Ms: quantile(delays, 0.99),
      cpuPercent: took.cpuMs / took.enteringMs * 100,
      residentMB: processFigures(master.pid).residentMB,
      target: { text: ">= 1,500/s", met: perSecond >= 1_500 },
      note: "signatures, object and registry entry read, session made durable; " +
        `RSS after, ${memory.highestMB().toFixed(0)} MB at the highest`,
    },
  ];
}

/** Everybody once in every period, evenly spread. Rate, CPU and delays are the last period's. */
async function beatAll(
  context: LoadContext,
  master: Master,
  population: readonly LoadWorker[],
): Promise<Row> {
  const periodMs = context.workers < 10_000 ? 2_000 : PERIOD_MS;
  let delays: number[] = [];
  let late = 0;
  let before = processFigures(master.pid);
  using memory = watchMemory(master.pid);
  const pending: Promise<void>[] = [];
  for (let period = 0; period < context.periods; period++) {
    delays = [];
    before = processFigures(master.pid);
    const begun = performance.now();
    for (const [i, worker] of population.entries()) {
      const due = begun + i / population.length * periodMs;
      const wait = due - performance.now();
      if (wait > 1) await pause(wait);
      if (wait < -1_000) late++;
      const sent = performance.now();
      pending.push(beat(worker).then(() => void delays.push(performance.now() - sent)));
    }
    await Promise.all(pending);
    pending.length = 0;
  }
  const after = processFigures(master.pid);
  const cpu = cpuPercent(before, after);
  const highest = memory.highestMB();
  return {
    name: `${population.length} workers, each every ${periodMs / 1000} s`,
    perSecond: delays.length / (after.atMs - before.atMs) * 1000,
    medianMs: quantile(delays, 0.5),
    p99Ms: quantile(delays, 0.99),
    cpuPercent: cpu,
    residentMB: highest,
    target: { text: `<= 100 % and ${MOST_MB} MB`, met: cpu <= 100 && highest <= MOST_MB },
    note: `a new connection each; Leases and Nodes included; RSS at the highest in ` +
      `${context.periods} periods, ${after.residentMB.toFixed(0)} MB after` +
      (late > 0 ? `; the client was late ${late} times` : ""),
  };
}

/** Warm: the compiler of a process that has just begun takes more time than the requests do. */
async function flatOut(
  context: LoadContext,
  master: Master,
  population: readonly LoadWorker[],
): Promise<Row> {
  // A session may beat twice a second, twenty at once: more than enough for the time it takes.
  const beats = (seconds: number) => Math.min(14_000 * seconds, population.length * 10);
  const run = async (seconds: number) => {
    const requests = `${context.directory}/beats`;
    await writeBeats(requests, population, beats(seconds));
    return { url: master.url, connections: 64, seconds, requests };
  };
  await wrk(await run(context.seconds));
  return await wrkRow(
    "heartbeats, signed, durable, as fast as they come",
    master.pid,
    await run(context.seconds),
    { atLeast: 8_000 },
  );
}
