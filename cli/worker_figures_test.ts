import { assert, assertEquals } from "@std/assert";
import { createFigures } from "./worker_figures.ts";

Deno.test("createFigures() takes the CPU since the last call, memory and disk as they are", async () => {
  const stats = [
    "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 1 1 1\ncpu1 1 1 1 1\n",
    "cpu  150 0 150 800 100 0 0 0 0 0\n",
  ];
  const figures = createFigures({
    stat: () => Promise.resolve(stats.shift() ?? ""),
    meminfo: () =>
      Promise.resolve("MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    250 kB\n"),
    disk: () => ({ blocks: 200, free: 50, blockBytes: 4096 }),
  });
  assertEquals(await figures(), {
    usage: { cpu_percent: 20, memory_percent: 75, disk_percent: 75 },
    capacity: { cpu_cores: 2, memory_bytes: 1_024_000, disk_bytes: 819_200 },
  });
  const second = await figures();
  assertEquals(second.usage.cpu_percent, 50);
  // No line per core: half of what is asked is not told.
  assertEquals(second.capacity, undefined);
});

Deno.test("createFigures() reads this machine", async () => {
  const { usage: { cpu_percent, memory_percent, disk_percent }, capacity } =
    await createFigures()();
  for (const percent of [cpu_percent, memory_percent, disk_percent]) {
    assert(percent >= 0 && percent <= 100, String(percent));
  }
  assert(memory_percent > 0);
  assert(capacity !== undefined && capacity.cpu_cores >= 1 && capacity.memory_bytes > 0);
});
