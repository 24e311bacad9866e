import { assert, assertEquals } from "@std/assert";
import { ValueCache } from "./value_cache.ts";

const value = (fill: number) => new Uint8Array(744).fill(fill); // 1000 with what an entry costs

Deno.test("ValueCache keeps what is used and stays within its budget", () => {
  const cache = new ValueCache(20_000);
  cache.set(0, value(9));
  for (let slot = 1; slot <= 500; slot++) {
    cache.set(slot, value(1));
    assertEquals(cache.get(0), value(9), `after ${slot}`);
    assert(cache.usedBytes <= 20_000);
  }
  assertEquals(cache.get(500), value(1));
  assertEquals(cache.get(1), undefined);
});

Deno.test("ValueCache.delete() and clear() give the room back", () => {
  const cache = new ValueCache(20_000);
  for (let slot = 0; slot < 15; slot++) cache.set(slot, value(slot));
  for (let slot = 0; slot < 15; slot++) cache.delete(slot);
  assertEquals(cache.usedBytes, 0);
  cache.set(1, value(1));
  cache.set(1, value(2));
  assertEquals([cache.get(1), cache.usedBytes], [value(2), 1000]);
  cache.clear();
  assertEquals([cache.get(1), cache.usedBytes], [undefined, 0]);
});

Deno.test("ValueCache does not hold a value larger than half its budget", () => {
  const cache = new ValueCache(10_000);
  cache.set(1, new Uint8Array(6_000));
  assertEquals([cache.get(1), cache.usedBytes], [undefined, 0]);
});
