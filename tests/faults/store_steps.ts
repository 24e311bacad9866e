/**
 * A process that does one thing to a store and tells it, a line each: `store_steps.ts read|stall FOLDER`.
 *
 * read   opens it, reads everything, says how many keys there were, or the code of the refusal
 * stall  writes one by one until the disk does not answer; says what goes on meanwhile, and the end
 */
import { StoreError } from "../../store/errors.ts";
import { openSqliteLog } from "../../store/logs/sqlite.ts";
import type { Store } from "../../store/types.ts";
import { bytes, commit, listing, openTestStore, put } from "../fakes/test_store.ts";

function say(line: string): void {
  Deno.stdout.writeSync(bytes(`${line}\n`));
}

function open(folder: string, cacheBytes: number): Promise<Store> {
  return openTestStore({
    log: openSqliteLog({
      path: `${folder}/store.db`,
      spawnWorker: (name) =>
        new Worker(import.meta.resolve("../../store/logs/sqlite_worker_entry.ts"), {
          type: "module",
          name,
        }),
    }),
    cacheBytes,
  });
}

async function read(folder: string): Promise<void> {
  try {
    // Every value is read from the disk.
    await using store = await open(folder, 0);
    say(`keys ${(await listing(store, "etcd")).length}`);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    say(`refused ${error.code}`);
  }
}

/** So long the disk must not have answered before anything is said. */
const STALLED_MS = 1_000;
const MAX_WRITES = 10_000;

async function stall(folder: string): Promise<void> {
  await using store = await open(folder, 1 << 20);
  await commit(store, put("k8s", "other", "in memory"));
  let acknowledged = 0;
  let revision = 0;
  let isSaid = false;
  const looking = setInterval(async () => {
    if (isSaid || store.stats().waitingMs < STALLED_MS) return;
    isSaid = true;
    const before = acknowledged;
    const seen = await store.range("k8s", { key: bytes("other") });
    // The write that waits is neither acknowledged nor seen, and what is in memory is read.
    const isHeld = acknowledged === before && store.revision("system") === revision;
    say(`stalled ${seen.kvs.length === 1} ${isHeld}`);
  }, 20);
  for (let i = 1; i <= MAX_WRITES && !isSaid; i++) {
    const { revisions } = await commit(store, put("system", "count", String(i)));
    acknowledged = i;
    revision = revisions.system;
  }
  clearInterval(looking);
  say(`ended ${(await listing(store, "system"))[0] === `count=${acknowledged}`}`);
}

if (import.meta.main) {
  const [step, folder = ""] = Deno.args;
  if (step === "read") await read(folder);
  else if (step === "stall") await stall(folder);
  else throw new Error(`no step is called "${step}"`);
}
