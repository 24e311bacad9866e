/** Runs the writing process of store_writer.ts and checks what it left behind. */
import { assert, assertEquals } from "@std/assert";
import { openSqliteLog } from "../../store/logs/sqlite.ts";
import type { Store } from "../../store/types.ts";
import { openTestStore, text } from "../fakes/test_store.ts";

/** A writer that neither stops nor says anything for so long hangs. */
const HANGS_AFTER_MS = 60_000;

export interface WriterRun {
  readonly acknowledged: readonly number[];
  /** The code of the error that stopped the store; undefined where it was killed. */
  readonly stopped: string | undefined;
  readonly status: Deno.CommandStatus;
}

/** @param killAfterMs after the first acknowledgement; undefined: it runs until the store stops */
export async function runWriter(
  folder: string,
  round: number,
  options: {
    readonly killAfterMs?: number;
    readonly env?: Record<string, string>;
    /** Called at the first acknowledgement. */
    readonly onFirst?: () => Promise<void>;
  },
): Promise<WriterRun> {
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
    env: options.env ?? {},
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let output = "";
  const watchdog = setTimeout(() => child.kill("SIGTERM"), HANGS_AFTER_MS);
  let timer: ReturnType<typeof setTimeout> | undefined;
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    if (output === "") await options.onFirst?.();
    output += chunk;
    if (options.killAfterMs === undefined) continue;
    timer ??= setTimeout(() => child.kill("SIGKILL"), options.killAfterMs);
  }
  clearTimeout(timer);
  clearTimeout(watchdog);
  const status = await child.status;
  // The last line may have been cut.
  const lines = output.split("\n").slice(0, -1);
  return {
    acknowledged: lines.filter((line) => /^\d+$/.test(line)).map(Number),
    stopped: lines.find((line) => line.startsWith("stopped "))?.slice("stopped ".length),
    status,
  };
}

/** Opens what a writer left: every acknowledged write is there, and no transaction in part. */
export async function checkLeftover(
  folder: string,
  round: number,
  acknowledged: readonly number[],
): Promise<void> {
  await using store = await openTestStore({
    log: openSqliteLog({ path: `${folder}/store.db` }),
    // A fault in the first boot leaves nothing in the way of the next one.
    mode: acknowledged.length > 0 ? "open" : "create-or-open",
  });
  await checkRound(store, round, acknowledged);
}

async function checkRound(
  store: Store,
  round: number,
  acknowledged: readonly number[],
): Promise<void> {
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
