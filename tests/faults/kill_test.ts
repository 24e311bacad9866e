/** kill -9 under load: every acknowledged write is there again, and no transaction in part. */
import { assert, assertEquals } from "@std/assert";
import { checkLeftover, runWriter } from "./writer_process.ts";

const ROUNDS = Deno.env.get("NAUTILUS_NIGHTLY") === "1" ? 500 : 20;

Deno.test(`a store killed ${ROUNDS} times under load loses no acknowledged write`, async () => {
  const folder = await Deno.makeTempDir();
  try {
    let total = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const run = await runWriter(folder, round, { killAfterMs: 30 + (round * 37) % 100 });
      assertEquals(run.status.signal, "SIGKILL", "the writer ended by itself");
      total += run.acknowledged.length;
      await checkLeftover(folder, round, run.acknowledged);
    }
    assert(total > ROUNDS * 10, `only ${total} writes were acknowledged in all`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
