import { assertEquals, assertRejects } from "@std/assert";
import { getLogger } from "@logtape/logtape";
import { StoreError } from "../../store/mod.ts";
import { drain } from "./drain.ts";

function parts(done: string[], failure?: StoreError) {
  const work = new AsyncDisposableStack();
  work.defer(async () => {
    await Promise.resolve();
    done.push("work stopped");
  });
  const front = {
    async close() {
      await Promise.resolve();
      done.push("listeners closed");
      return { cut: 0 };
    },
    withdraw() {
      done.push("withdrawn");
      return Promise.resolve();
    },
  };
  return { front, work, store: { failure }, log: getLogger(["test"]) };
}

Deno.test("drain() takes the endpoints back once the listeners and the work have ended", async () => {
  const done: string[] = [];
  await drain(parts(done));
  assertEquals(done.slice(0, 2).sort(), ["listeners closed", "work stopped"]);
  assertEquals(done.slice(2), ["withdrawn"]);
});

Deno.test("drain() lets everybody go before it throws what the store failed with", async () => {
  const done: string[] = [];
  const failure = new StoreError("io", "the disk is gone");
  const error = await assertRejects(() => drain(parts(done, failure)), StoreError);
  assertEquals(error, failure);
  assertEquals(done.at(-1), "withdrawn");
});
