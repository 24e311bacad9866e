/** kill -9 under load: every acknowledged write is there again, and no transaction in part. */
import { assert, assertEquals } from "@std/assert";
import { checkLeftover, runWriter } from "./writer_process.ts";

const ROUNDS = Deno.env.get("NAUTILUS_NIGHTLY") === "1" ? 500 : 20;
/** Then a new store begins: what grows is read whole after every kill. */
const ROUNDS_A_STORE = 50;

Deno.test(`a store killed ${ROUNDS} times under load loses no acknowledged write`, async () => {
  let total = 0;
  for (let first = 0; first < ROUNDS; first += ROUNDS_A_STORE) {
    const folder = await Deno.makeTempDir();
    try {
      for (let round = first; round < Math.min(ROUNDS, first + ROUNDS_A_STORE); round++) {
        const run = await runWriter(folder, round, { killAfterMs: 30 + (round * 37) % 100 });
        assertEquals(run.status.signal, "SIGKILL", "the writer ended by itself");
        total += run.acknowledged.length;
        await checkLeftover(folder, round, run.acknowledged);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
  assert(total > ROUNDS * 10, `only ${total} writes were acknowledged in all`);
});
