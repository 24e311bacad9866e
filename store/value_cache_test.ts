import { assert, assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { ValueCache } from "./value_cache.ts";

const value = (fill: number) => new Uint8Array(936).fill(fill); // 1000 with what an entry costs

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

Deno.test("ValueCache.set() copies: who hands a value in may change it after", () => {
  const cache = new ValueCache(20_000);
  const given = value(1);
  cache.set(1, given);
  given.fill(2);
  assertEquals(cache.get(1), value(1));
});

Deno.test("ValueCache.get() gives what was set last, or nothing, whatever else is set and deleted", () => {
  const step = fc.record({
    slot: fc.nat(40),
    // Empty, odd, with a chunk for itself, and everything between.
    length: fc.oneof(fc.nat(64), fc.nat(5_000), fc.integer({ min: 30_000, max: 200_000 })),
    action: fc.constantFrom("set", "set", "set", "get", "delete"),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
    const cache = new ValueCache(1 << 20);
    const wanted = new Map<number, Uint8Array<ArrayBuffer>>();
    for (const [i, { slot, length, action }] of steps.entries()) {
      if (action === "set") {
        const bytes = new Uint8Array(length).fill(i);
        cache.set(slot, bytes);
        wanted.set(slot, bytes);
      } else if (action === "delete") {
        cache.delete(slot);
        wanted.delete(slot);
      }
      const found = cache.get(slot);
      if (found !== undefined) assertEquals(found, wanted.get(slot));
      assert(cache.usedBytes <= 1 << 20);
    }
    for (const [slot, bytes] of wanted) assertEquals(cache.get(slot) ?? bytes, bytes);
  }));
});

Deno.test("a view from ValueCache.get() stays as it was after the value went", () => {
  const cache = new ValueCache(20_000);
  cache.set(1, value(1));
  const view = cache.get(1);
  cache.delete(1);
  for (let slot = 2; slot <= 100; slot++) cache.set(slot, value(2));
  assertEquals(view, value(1));
});
