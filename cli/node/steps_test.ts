import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { BootError, createSteps, type StepLog } from "./steps.ts";

function recorder() {
  const records: Record<string, unknown>[] = [];
  const log: StepLog = { info: (_message, properties) => void records.push(properties) };
  return { records, log };
}

Deno.test("createSteps() logs outcome and time of a step", async () => {
  const { records, log } = recorder();
  let now = 0;
  const step = createSteps(log, () => now, () => false);
  const value = await step("store", () => {
    now = 12.34;
    return Promise.resolve(7);
  }, (n) => ({ keys: n }));
  assertEquals(value, 7);
  assertEquals(records, [{ step: "store", ms: 12.3, keys: 7 }]);
});

Deno.test("createSteps() names the failed step and keeps the cause", async () => {
  const { records, log } = recorder();
  const step = createSteps(log, () => 0, (error) => error instanceof RangeError);
  const cause = new Error("disk full");
  const failure = await assertRejects(() => step("store", () => Promise.reject(cause)), BootError);
  assertEquals([failure.step, failure.cause], ["store", cause]);
  const plain = new RangeError("a setting");
  const passed = await assertRejects(() => step("store", () => Promise.reject(plain)));
  assertStrictEquals(passed, plain);
  assertEquals(records, []);
});
