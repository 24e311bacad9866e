/**
 * The etcd server of the project over a real SQLite log, as a process of its own for measurements
 * beside etcd: `deno run -A tests/etcd/server_process.ts DIR`. Prints one line when it listens;
 * ends on SIGTERM or when its standard input closes.
 */
import { getLogger } from "@logtape/logtape";
import { createEtcdServer } from "../../api/etcd/mod.ts";
import { openSqliteLog, openStore, runSqliteWorker, SQLITE_WORKER_NAME } from "../../store/mod.ts";
import { selectAead } from "../../store/mod.ts";
import { createTestSealer } from "../fakes/test_sealer.ts";

async function serve(directory: string): Promise<void> {
  const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
  const log = openSqliteLog({
    path: `${directory}/store.db`,
    spawnWorker: (name) => new Worker(import.meta.url, { type: "module", name }),
  });
  const { provider } = selectAead();
  const store = await openStore({
    log,
    aead: provider,
    sealer: createTestSealer(),
    sealPolicy: "measurement",
    clock: Date.now,
    random,
    mode: "create-or-open",
  });
  const server = await createEtcdServer({
    store,
    log: getLogger(["test", "etcd"]),
    clock: () => performance.now(),
    random,
    listeners: [{ kind: "unix", path: `${directory}/etcd.sock` }],
    memberName: "test",
  });
  Deno.stdout.writeSync(new TextEncoder().encode(`listening ${provider.name}\n`));
  const stop = Promise.withResolvers<void>();
  Deno.addSignalListener("SIGTERM", () => stop.resolve());
  await stop.promise;
  await server.close(1000);
  await store[Symbol.asyncDispose]();
  Deno.exit(0);
}

if ("DedicatedWorkerGlobalScope" in globalThis) {
  if (self.name === SQLITE_WORKER_NAME) runSqliteWorker();
} else if (import.meta.main) {
  await serve(Deno.args[0] ?? ".");
}
