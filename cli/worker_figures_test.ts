import { assert, assertEquals } from "@std/assert";
import { createFigures } from "./worker_figures.ts";

Deno.test("createFigures() takes the CPU since the last call, memory and disk as they are", async () => {
  const stats = [
    "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 1 1 1\n",
    "cpu  150 0 150 800 100 0 0 0 0 0\n",
  ];
  const figures = createFigures({
    stat: () => Promise.resolve(stats.shift() ?? ""),
    meminfo: () =>
      Promise.resolve("MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    250 kB\n"),
    disk: () => ({ blocks: 200, free: 50 }),
  });
  assertEquals(await figures(), { cpu_percent: 20, memory_percent: 75, disk_percent: 75 });
  assertEquals((await figures()).cpu_percent, 50);
});

Deno.test("createFigures() reads this machine", async () => {
  const { cpu_percent, memory_percent, disk_percent } = await createFigures()();
  for (const percent of [cpu_percent, memory_percent, disk_percent]) {
    assert(percent >= 0 && percent <= 100, String(percent));
  }
  assert(memory_percent > 0);
});
