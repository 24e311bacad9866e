import { assert, assertEquals } from "@std/assert";
import { meetsTarget, parseTarget } from "./target.ts";

Deno.test("meetsTarget() compares a ratio with a target in x", () => {
  const target = parseTarget("<= 1.5 x");
  assert(target !== undefined);
  assertEquals(meetsTarget(target, { medianRatio: 1.2, p99Ratio: 3 }), true);
  assertEquals(meetsTarget(target, { medianRatio: 1.6 }), false);
  assertEquals(meetsTarget(target, { medianMs: 1 }), undefined);
});

Deno.test("parseTarget() reads relation, figure, unit and statistic", () => {
  assertEquals(parseTarget(">= 1.0 GB/s"), {
    relation: ">=",
    value: 1e9,
    quantity: "throughput",
    statistic: "median",
  });
  assertEquals(parseTarget(">= 10,000/s")?.value, 10_000);
  assertEquals(parseTarget("<= 300 ms p99"), {
    relation: "<=",
    value: 300,
    quantity: "time",
    statistic: "p99",
  });
  assertEquals(parseTarget("<= 120 MB")?.quantity, "size");
});

Deno.test("parseTarget() gives undefined for what it cannot compare", () => {
  for (const text of ["", "fast", "300 ms", "== 3/s", ">= x/s", ">= 3 furlongs", "<= 3 ms p50"]) {
    assertEquals(parseTarget(text), undefined, text);
  }
});

Deno.test("meetsTarget() compares in the target's own quantity and statistic", () => {
  const rate = parseTarget(">= 10,000/s");
  const time = parseTarget("<= 1 ms p99");
  if (rate === undefined || time === undefined) throw new Error("targets did not parse");
  assertEquals(meetsTarget(rate, { opsPerSecond: 10_000 }), true);
  assertEquals(meetsTarget(rate, { opsPerSecond: 9_999 }), false);
  assertEquals(meetsTarget(rate, { medianMs: 1 }), undefined);
  assertEquals(meetsTarget(time, { medianMs: 0.5, p99Ms: 2 }), false);
});
