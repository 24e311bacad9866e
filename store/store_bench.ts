/** Durable puts and gets of 1 KiB over the SQLite log, and raw SQLite with the same batches. */
import { type BenchRun, type BenchSpec, registerWithDeno } from "../tests/bench/harness.ts";
import { openRawSqlite } from "../tests/bench/raw_sqlite.ts";
import { benchKey, openBenchStore, putMany, putOne } from "../tests/bench/sealed_store.ts";

const VALUE_BYTES = 1024;
const GROUP = "store, 1 KiB values, durable";

function putBench(inFlight: number, target: string | undefined): BenchSpec {
  return {
    name: "put",
    group: GROUP,
    inFlight,
    bytesPerOp: VALUE_BYTES,
    claim: "1000/s at 1 ms",
    ...(target === undefined ? {} : { target }),
    async setup(): Promise<BenchRun> {
      const bench = await openBenchStore({ cacheBytes: 64 << 20 });
      const value = crypto.getRandomValues(new Uint8Array(VALUE_BYTES));
      let next = 0;
      return {
        run: () => putOne(bench.store, next++, value),
        close: async () => await bench[Symbol.asyncDispose](),
      };
    },
  };
}

function getBench(
  title: string,
  keys: number,
  cacheBytes: number,
  rest: Partial<BenchSpec>,
): BenchSpec {
  return {
    name: title,
    group: GROUP,
    bytesPerOp: VALUE_BYTES,
    claim: "1000/s at 1 ms",
    ...rest,
    async setup(): Promise<BenchRun> {
      const bench = await openBenchStore({ cacheBytes });
      await putMany(bench.store, 0, keys, crypto.getRandomValues(new Uint8Array(VALUE_BYTES)));
      const { opsPerRun = 1 } = rest;
      let next = 0;
      return {
        async run() {
          for (let i = 0; i < opsPerRun; i++) {
            await bench.store.range("etcd", { key: benchKey((next += 7919) % keys) });
          }
        },
        close: async () => await bench[Symbol.asyncDispose](),
      };
    },
  };
}

/** The medium alone: what the store's puts are measured against. */
function rawSqlite(batch: number): BenchSpec {
  return {
    name: `raw SQLite, batches of ${batch}`,
    group: GROUP,
    bytesPerOp: VALUE_BYTES,
    opsPerRun: batch,
    async setup(): Promise<BenchRun> {
      const value = crypto.getRandomValues(new Uint8Array(VALUE_BYTES));
      const raw = await openRawSqlite(value, 16_384);
      return {
        run: () => raw.write(batch),
        close: async () => await raw[Symbol.asyncDispose](),
      };
    },
  };
}

export const benches: readonly BenchSpec[] = [
  putBench(1, ">= 1,500/s"),
  putBench(16, undefined),
  putBench(64, ">= 20,000/s"),
  rawSqlite(1),
  rawSqlite(16),
  rawSqlite(64),
  getBench("get from the cache", 10_000, 64 << 20, { opsPerRun: 1000, target: ">= 200,000/s" }),
  getBench("get from the log", 10_000, 0, {}),
  getBench("get from the log", 10_000, 0, { inFlight: 64 }),
];

registerWithDeno(benches, import.meta);
