/** Durable puts and gets of 1 KiB over the SQLite log, and raw SQLite with the same batches. */
import { DatabaseSync } from "node:sqlite";
import { type BenchRun, type BenchSpec, registerWithDeno } from "../tests/bench/harness.ts";
import { createTestSealer } from "../tests/fakes/test_sealer.ts";
import { selectAead } from "./aead/select.ts";
import { openSqliteLog } from "./logs/sqlite.ts";
import { openStore } from "./open.ts";
import type { Store } from "./types.ts";

const VALUE_BYTES = 1024;
const GROUP = "store, 1 KiB values, durable";
const encoder = new TextEncoder();

interface BenchStore extends AsyncDisposable {
  readonly store: Store;
}

async function openBenchStore(cacheBytes: number): Promise<BenchStore> {
  const folder = await Deno.makeTempDir();
  const { provider } = selectAead();
  const store = await openStore({
    log: openSqliteLog({
      path: `${folder}/store.db`,
      spawnWorker: (name) =>
        new Worker(import.meta.resolve("./logs/sqlite_worker_entry.ts"), { type: "module", name }),
    }),
    aead: provider,
    sealer: createTestSealer(),
    sealPolicy: "measurement",
    clock: Date.now,
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    mode: "create-or-open",
    cacheBytes,
  });
  return {
    store,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      provider[Symbol.dispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

const name = (i: number) =>
  encoder.encode(`/registry/pods/default/pod-${String(i).padStart(9, "0")}`);

async function fill(store: Store, count: number): Promise<void> {
  const value = crypto.getRandomValues(new Uint8Array(VALUE_BYTES));
  let next = 0;
  await Promise.all(Array.from({ length: 256 }, async () => {
    while (next < count) await putOne(store, next++, value);
  }));
}

async function putOne(store: Store, i: number, value: Uint8Array<ArrayBuffer>): Promise<void> {
  await store.txn({
    compare: [],
    success: [{ type: "put", keyspace: "etcd", key: name(i), value }],
    failure: [],
  });
}

function putBench(inFlight: number, target: string | undefined): BenchSpec {
  return {
    name: "put",
    group: GROUP,
    inFlight,
    bytesPerOp: VALUE_BYTES,
    claim: "1000/s at 1 ms",
    ...(target === undefined ? {} : { target }),
    async setup(): Promise<BenchRun> {
      const bench = await openBenchStore(64 << 20);
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
      const bench = await openBenchStore(cacheBytes);
      await fill(bench.store, keys);
      const { opsPerRun = 1 } = rest;
      let next = 0;
      return {
        async run() {
          for (let i = 0; i < opsPerRun; i++) {
            await bench.store.range("etcd", { key: name((next += 7919) % keys) });
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
      const folder = await Deno.makeTempDir();
      const database = new DatabaseSync(`${folder}/raw.db`);
      database.exec("PRAGMA page_size = 8192");
      database.exec("PRAGMA journal_mode = WAL");
      database.exec("PRAGMA synchronous = FULL");
      database.exec("CREATE TABLE records (position INTEGER PRIMARY KEY, record BLOB)");
      const insert = database.prepare("INSERT INTO records VALUES (?, ?)");
      const value = crypto.getRandomValues(new Uint8Array(VALUE_BYTES));
      let next = 0;
      return {
        run() {
          database.exec("BEGIN IMMEDIATE");
          for (let i = 0; i < batch; i++) insert.run(next++, value);
          database.exec("COMMIT");
        },
        async close() {
          database.close();
          await Deno.remove(folder, { recursive: true });
        },
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
