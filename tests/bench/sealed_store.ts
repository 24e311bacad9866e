/** A sealed store over a SQLite log in a folder of its own, for benchmarks. */
import { selectAead } from "../../store/aead/select.ts";
import { openSqliteLog } from "../../store/logs/sqlite.ts";
import { openStore } from "../../store/open.ts";
import type { Store } from "../../store/types.ts";
import { createTestSealer } from "../fakes/test_sealer.ts";

const encoder = new TextEncoder();

export interface BenchStore extends AsyncDisposable {
  readonly store: Store;
  /** The log's file; it stays until the folder is removed. */
  readonly path: string;
  /** Closes the store and leaves its folder. */
  close(): Promise<void>;
}

export interface BenchStoreOptions {
  readonly cacheBytes: number;
  /** Where the log is; without one, in a new folder that is removed at the end. */
  readonly path?: string;
  /** The module of the log's worker; the real one unless told. */
  readonly workerUrl?: string;
}

export async function openBenchStore(options: BenchStoreOptions): Promise<BenchStore> {
  const folder = options.path === undefined ? await Deno.makeTempDir() : undefined;
  const path = options.path ?? `${folder}/store.db`;
  const workerUrl = options.workerUrl ??
    import.meta.resolve("../../store/logs/sqlite_worker_entry.ts");
  const { provider } = selectAead();
  const store = await openStore({
    log: openSqliteLog({
      path,
      spawnWorker: (name) => new Worker(workerUrl, { type: "module", name }),
    }),
    aead: provider,
    sealer: createTestSealer(),
    sealPolicy: "measurement",
    clock: Date.now,
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    mode: "create-or-open",
    cacheBytes: options.cacheBytes,
  });
  let closed = false;
  const close = async () => {
    if (closed) return;
    closed = true;
    await store[Symbol.asyncDispose]();
    provider[Symbol.dispose]();
  };
  return {
    store,
    path,
    close,
    async [Symbol.asyncDispose]() {
      await close();
      if (folder !== undefined) await Deno.remove(folder, { recursive: true });
    },
  };
}

/** The `i`-th key, 40 bytes, as long as those of Kubernetes. */
export function benchKey(i: number): Uint8Array<ArrayBuffer> {
  return encoder.encode(`/registry/pods/default/pod-${String(i).padStart(9, "0")}`);
}

export async function putOne(
  store: Store,
  i: number,
  value: Uint8Array<ArrayBuffer>,
): Promise<void> {
  await store.txn({
    compare: [],
    success: [{ type: "put", keyspace: "etcd", key: benchKey(i), value }],
    failure: [],
  });
}

/** Puts keys `from` to `to`, so many in flight. */
export async function putMany(
  store: Store,
  from: number,
  to: number,
  value: Uint8Array<ArrayBuffer>,
  inFlight = 256,
): Promise<void> {
  let next = from;
  await Promise.all(Array.from({ length: inFlight }, async () => {
    while (next < to) await putOne(store, next++, value);
  }));
}
