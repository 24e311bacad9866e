/** kill -9 under load: every acknowledged write is there again, and no transaction in part. */
import { assert, assertEquals } from "@std/assert";
import { openSqliteLog } from "../../store/logs/sqlite.ts";
import type { Store } from "../../store/types.ts";
import { openTestStore, text } from "../fakes/test_store.ts";

const NIGHTLY = Deno.env.get("NAUTILUS_NIGHTLY") === "1";
const ROUNDS = NIGHTLY ? 500 : 20;

Deno.test(`a store killed ${ROUNDS} times under load loses no acknowledged write`, async () => {
  const folder = await Deno.makeTempDir();
  try {
    let total = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const acknowledged = await writeUntilKilled(folder, round, 30 + (round * 37) % 100);
      total += acknowledged.length;
      await using store = await openTestStore({
        log: openSqliteLog({ path: `${folder}/store.db` }),
        mode: "open",
      });
      await check(store, round, acknowledged);
    }
    assert(total > ROUNDS * 10, `only ${total} writes were acknowledged in all`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Lets a writer run for a while after its first acknowledgement, then kills it. */
async function writeUntilKilled(
  folder: string,
  round: number,
  afterMs: number,
): Promise<number[]> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      "--quiet",
      import.meta.resolve("./store_writer.ts"),
      folder,
      String(round),
    ],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let output = "";
  let timer: ReturnType<typeof setTimeout> | undefined;
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    output += chunk;
    timer ??= setTimeout(() => child.kill("SIGKILL"), afterMs);
  }
  clearTimeout(timer);
  const status = await child.status;
  assertEquals(status.signal, "SIGKILL", "the writer ended by itself");
  // The last line may have been cut.
  return output.split("\n").slice(0, -1).map(Number);
}

async function check(store: Store, round: number, acknowledged: number[]): Promise<void> {
  const found: string[][] = [];
  for (const keyspace of ["etcd", "k8s"] as const) {
    const { kvs } = await store.range(keyspace, {
      key: new TextEncoder().encode(`r${round}/`),
      rangeEnd: new TextEncoder().encode(`r${round}0`),
    });
    found.push(kvs.map((kv) => text(kv.key).split("/")[1]!));
    for (const kv of kvs) assert(text(kv.value).startsWith(text(kv.key).slice(1) + "/"));
  }
  const [etcd, k8s] = found;
  assertEquals(etcd, k8s, "a transaction is there in part");
  const present = new Set(etcd!.map(Number));
  for (const number of acknowledged) {
    assert(present.has(number), `round ${round}: write ${number} was acknowledged and is lost`);
  }
}
