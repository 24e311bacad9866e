import { assertEquals } from "@std/assert";
import { createMemoryKeeper, trimmer } from "./memory.ts";

const MB = 1 << 20;

Deno.test("createMemoryKeeper() trims what has grown since the last trim, now and then", () => {
  let now = 0;
  let resident = 100 * MB;
  let trims = 0;
  const keeper = createMemoryKeeper({
    clock: () => now,
    resident: () => resident,
    trim: () => void trims++,
  });
  const at = (ms: number, bytes: number) => {
    now = ms;
    resident = bytes;
    return keeper.tick();
  };
  assertEquals(at(1_000, 300 * MB), false, "what booting left has not settled");
  assertEquals(at(2_000, 100 * MB), false);
  assertEquals(at(10_000, 500 * MB), false, "too early");
  assertEquals(at(30_000, 163 * MB), false, "not worth it");
  assertEquals(at(31_000, 164 * MB), true);
  assertEquals(at(32_000, 160 * MB), false);
  assertEquals(at(33_000, 120 * MB), false);
  assertEquals(at(60_000, 400 * MB), false, "too early");
  assertEquals(at(61_000, 183 * MB), false, "measured from what the trim left");
  assertEquals(at(62_000, 184 * MB), true);
  assertEquals(trims, 2);
});

Deno.test("createMemoryKeeper() does nothing where the runtime cannot trim", () => {
  const keeper = createMemoryKeeper({
    clock: Date.now,
    resident: () => {
      throw new Error("not asked");
    },
    trim: trimmer({}),
  });
  assertEquals(keeper.tick(), false);
});
