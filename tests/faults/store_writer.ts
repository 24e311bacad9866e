/**
 * A process that writes to a store until it is killed: `store_writer.ts <folder> <round>`.
 * Tells every acknowledged write in a line of its own, after it was acknowledged, and the code of
 * the error that stopped the store, if one did. Odd rounds rotate the data key meanwhile.
 */
import { StoreError } from "../../store/errors.ts";
import type { Store } from "../../store/types.ts";
import { openSqliteLog } from "../../store/logs/sqlite.ts";
import { bytes, openTestStore, put } from "../fakes/test_store.ts";

const IN_FLIGHT = 16;

if (import.meta.main) {
  const [folder, round] = Deno.args;
  const encoder = new TextEncoder();
  const store = await openTestStore({
    log: openSqliteLog({
      path: `${folder}/store.db`,
      spawnWorker: (name) =>
        new Worker(import.meta.resolve("../../store/logs/sqlite_worker_entry.ts"), {
          type: "module",
          name,
        }),
    }),
  }).catch((error) => {
    if (!(error instanceof StoreError)) throw error;
    Deno.stdout.writeSync(encoder.encode(`stopped ${error.code}\n`));
    Deno.exit(0);
  });
  let next = 0;
  let running = true;
  // In every other round the data key is rotated again and again behind the writes.
  const rotating = Number(round) % 2 === 1 ? rotateOnAndOn(store, () => running) : undefined;
  await Promise.all(Array.from({ length: IN_FLIGHT }, async (_, lane) => {
    while (running) {
      const number = next++;
      const value = `${round}/${number}/`.padEnd(200 + (number % 7) * 300, "x");
      try {
        await store.txn({
          compare: [],
          success: [
            put("etcd", `r${round}/${number}`, value),
            put("k8s", `r${round}/${number}`, value),
            { type: "put", keyspace: "system", key: bytes(`lane${lane}`), value: bytes(value) },
          ],
          failure: [],
        });
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        if (running) Deno.stdout.writeSync(encoder.encode(`stopped ${error.code}\n`));
        running = false;
        return;
      }
      Deno.stdout.writeSync(encoder.encode(`${number}\n`));
    }
  }));
  await rotating;
  await store[Symbol.asyncDispose]();
}

async function rotateOnAndOn(store: Store, running: () => boolean): Promise<void> {
  try {
    while (running()) {
      await store.rotateKeys();
      await store.rotationFinished();
    }
  } catch (error) {
    // What stopped the store is told by the writers.
    if (!(error instanceof StoreError)) throw error;
  }
}
