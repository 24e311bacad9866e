import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { type BenchSpec, checkSpec } from "./harness.ts";
import { measure, quantile } from "./measure.ts";
import { duration, formatGroup } from "./table.ts";

const QUICK = { warmUpMs: 1, budgetMs: 10, minRuns: 3 };

Deno.test("measure() keeps as many runs in flight as asked and closes afterwards", async () => {
  let running = 0;
  let most = 0;
  let closed = 0;
  const result = await measure({
    name: "n",
    group: "g",
    inFlight: 4,
    bytesPerOp: 1000,
    target: ">= 1/s",
    setup: () =>
      Promise.resolve({
        run: async () => {
          most = Math.max(most, ++running);
          await Promise.resolve();
          running--;
        },
        close: () => void closed++,
      }),
  }, QUICK);
  assertEquals([most, closed, result.met], [4, 1, true]);
  assert(result.opsPerSecond !== undefined && result.bytesPerSecond !== undefined);
  assertEquals(result.bytesPerSecond, result.opsPerSecond * 1000);
});

Deno.test("measure() takes the returned figure when the spec names a unit", async () => {
  const result = await measure({
    name: "memory",
    group: "g",
    unit: "MB",
    maxRuns: 2,
    target: "<= 120 MB",
    setup: () => Promise.resolve({ run: () => 121 }),
  }, QUICK);
  assertEquals([result.medianMB, result.met, result.runs], [121, false, 2]);
});

Deno.test("measure() reports a skip and a failure instead of figures", async () => {
  const skip = await measure({
    name: "s",
    group: "g",
    setup: () => Promise.resolve({ skip: "no library" }),
  }, QUICK);
  const failing: BenchSpec = {
    name: "f",
    group: "g",
    setup: () => Promise.resolve({ run: () => Promise.reject(new Error("broken")) }),
  };
  const failure = await measure(failing, QUICK);
  assertEquals(skip.skipped, "no library");
  assertStringIncludes(failure.failed ?? "", "broken");
  const table = formatGroup([skip, failure]);
  assertStringIncludes(table, "skipped: no library");
  assertStringIncludes(table, "FAILED");
});

Deno.test("quantile() is the nearest rank", () => {
  const values = Float64Array.from({ length: 100 }, (_, i) => i + 1);
  assertEquals([quantile(values, 0.5), quantile(values, 0.99), quantile(values, 1)], [50, 99, 100]);
});

Deno.test("duration() picks a unit that keeps three figures", () => {
  assertEquals([1500, 12.34, 0.005, 0.0000123].map(duration), [
    "1.50 s",
    "12.3 ms",
    "5.00 us",
    "12.3 ns",
  ]);
});

Deno.test("checkSpec() refuses what the runner could not honour", () => {
  const spec = { name: "n", group: "g", setup: () => Promise.resolve({ skip: "" }) };
  assertThrows(() => checkSpec({ ...spec, inFlight: 0 }), TypeError, "inFlight");
  assertThrows(() => checkSpec({ ...spec, target: "quick" }), TypeError, 'target "quick"');
});
