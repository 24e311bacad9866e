/**
 * The store at size, and against plain SQLite in the same run. With NAUTILUS_NIGHTLY=1 at 10^6 keys,
 * which takes minutes; else at 10^5.
 */
import { type BenchRun, type BenchSpec, registerWithDeno } from "../tests/bench/harness.ts";
import { openRawSqlite } from "../tests/bench/raw_sqlite.ts";
import { openBenchStore, putMany, putOne } from "../tests/bench/sealed_store.ts";
import type { Store } from "./types.ts";

const GROUP = "store, scale";
const VALUE_BYTES = 1024;
const IN_FLIGHT = 64;
const KEYS = Deno.env.get("NAUTILUS_NIGHTLY") === "1" ? 1_000_000 : 100_000;

function randomValue(length = VALUE_BYTES): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(length));
}

/** Milliseconds that so many puts of new keys take. */
async function timePuts(
  store: Store,
  from: number,
  puts: number,
  value: Uint8Array<ArrayBuffer>,
): Promise<number> {
  const before = performance.now();
  await putMany(store, from, from + puts, value, IN_FLIGHT);
  return performance.now() - before;
}

/** Puts into a large store over puts into a small one, by turns. */
const putCost: BenchSpec = {
  name: `put with ${KEYS} keys there over put with 1000`,
  group: GROUP,
  unit: "x",
  target: "<= 1.2 x",
  async setup(): Promise<BenchRun> {
    const small = await openBenchStore({ cacheBytes: 1 << 20 });
    const large = await openBenchStore({ cacheBytes: 1 << 20 });
    const value = randomValue();
    await putMany(small.store, 0, 1000, value);
    await putMany(large.store, 0, KEYS, randomValue(64));
    // The same keys again and again, spread over all that are there: neither store gets more keys.
    const timeUpdates = async (store: Store, keys: number): Promise<number> => {
      const before = performance.now();
      let next = 0;
      await Promise.all(Array.from({ length: IN_FLIGHT }, async () => {
        while (next < 1000) await putOne(store, (next++ * 7919) % keys, value);
      }));
      return performance.now() - before;
    };
    return {
      async run() {
        const few = await timeUpdates(small.store, 1000);
        return await timeUpdates(large.store, KEYS) / few;
      },
      async close() {
        await small[Symbol.asyncDispose]();
        await large[Symbol.asyncDispose]();
      },
    };
  },
};

const overRaw: BenchSpec = {
  name: `put, ${IN_FLIGHT} in flight, over raw SQLite in batches of ${IN_FLIGHT}`,
  group: GROUP,
  unit: "x",
  target: ">= 0.6 x",
  async setup(): Promise<BenchRun> {
    const bench = await openBenchStore({ cacheBytes: 64 << 20 });
    const value = randomValue();
    const raw = await openRawSqlite(value, 16_384);
    const puts = IN_FLIGHT * 16;
    let next = 0;
    return {
      async run() {
        const ours = await timePuts(bench.store, next, puts, value);
        next += puts;
        const before = performance.now();
        for (let i = 0; i < puts; i += IN_FLIGHT) raw.write(IN_FLIGHT);
        return (performance.now() - before) / ours;
      },
      async close() {
        await bench[Symbol.asyncDispose]();
        await raw[Symbol.asyncDispose]();
      },
    };
  },
};

const onDisk: BenchSpec = {
  name: "bytes on disk over the plaintext in SQLite, 1 KiB values",
  group: GROUP,
  unit: "x",
  maxRuns: 1,
  target: "<= 1.3 x",
  setup: () =>
    Promise.resolve({
      async run() {
        const rows = 10_000;
        const value = randomValue();
        await using bench = await openBenchStore({ cacheBytes: 1 << 20 });
        await putMany(bench.store, 0, rows, value, IN_FLIGHT);
        await bench.close();
        await using raw = await openRawSqlite(value, 4096);
        raw.write(rows);
        raw.close();
        return (await Deno.stat(bench.path)).size / (await Deno.stat(raw.path)).size;
      },
    }),
};

interface Opened {
  readonly openMs: number;
  readonly bytes: number;
  readonly keys: number;
}

/** Opens a store of many keys in a process of its own. */
function opening(
  spec: Pick<BenchSpec, "name" | "unit" | "target">,
  figure: (opened: Opened) => number,
): BenchSpec {
  return {
    group: GROUP,
    maxRuns: 3,
    ...spec,
    async setup(): Promise<BenchRun> {
      const bench = await openBenchStore({ cacheBytes: 1 << 20 });
      await putMany(bench.store, 0, KEYS, randomValue(256));
      await bench.close();
      return {
        async run() {
          const { stdout, success } = await new Deno.Command(Deno.execPath(), {
            args: [
              "run",
              "--quiet",
              "-A",
              "--v8-flags=--expose-gc",
              new URL("../tests/bench/open_store_process.ts", import.meta.url).pathname,
              bench.path,
            ],
            stdout: "piped",
            stderr: "inherit",
          }).output();
          if (!success) throw new Error("the process that opens the store failed");
          return figure(JSON.parse(new TextDecoder().decode(stdout)));
        },
        close: async () => await bench[Symbol.asyncDispose](),
      };
    },
  };
}

/** How late the event loop comes to a timer while every commit takes 50 ms. */
const eventLoop: BenchSpec = {
  name: "event loop's delay, 64 puts in flight, a disk of 50 ms",
  group: GROUP,
  unit: "ms",
  target: "<= 5 ms p99",
  async setup(): Promise<BenchRun> {
    const bench = await openBenchStore({
      cacheBytes: 64 << 20,
      workerUrl: import.meta.resolve("../tests/bench/slow_log_worker.ts"),
    });
    const value = randomValue();
    let running = true;
    let next = 0;
    const lanes = Promise.all(Array.from({ length: IN_FLIGHT }, async () => {
      while (running) await putOne(bench.store, next++, value);
    }));
    return {
      async run() {
        const timerMs = 2;
        const before = performance.now();
        await new Promise((resolve) => setTimeout(resolve, timerMs));
        return Math.max(0, performance.now() - before - timerMs);
      },
      async close() {
        running = false;
        await lanes;
        await bench[Symbol.asyncDispose]();
      },
    };
  },
};

export const benches: readonly BenchSpec[] = [
  overRaw,
  putCost,
  opening(
    // Below 64 MiB every record is authenticated first: that is no measure for more.
    { name: `open ${KEYS} keys`, unit: "ms", ...(KEYS < 1e6 ? {} : { target: "<= 10 s" }) },
    ({ openMs }) => openMs,
  ),
  opening(
    {
      // 400 bytes a key
      name: `memory of the index, ${KEYS} keys`,
      unit: "MB",
      target: `<= ${KEYS * 400 / 1e6} MB`,
    },
    ({ bytes, keys }) => bytes / keys * KEYS / 1e6,
  ),
  onDisk,
  eventLoop,
];

registerWithDeno(benches, import.meta);
