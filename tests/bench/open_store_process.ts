/**
 * Opens a store by itself and prints how long that took and what memory its index holds:
 * `deno run -A --v8-flags=--expose-gc tests/bench/open_store_process.ts FILE`.
 */
import { openBenchStore } from "./sealed_store.ts";

function usedBytes(): number {
  const gc: unknown = Reflect.get(globalThis, "gc");
  if (typeof gc !== "function") throw new Error("wants --v8-flags=--expose-gc");
  gc();
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

if (import.meta.main) {
  const before = usedBytes();
  const started = performance.now();
  const bench = await openBenchStore({ path: Deno.args[0]!, cacheBytes: 0 });
  const openMs = performance.now() - started;
  const bytes = usedBytes() - before;
  const keys = bench.store.stats().keys.etcd;
  await bench.close();
  Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify({ openMs, bytes, keys })));
}
