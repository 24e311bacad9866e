import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { BTree, NOT_FOUND } from "./btree.ts";

Deno.test("BTree does what a sorted map does", () => {
  const key = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)),
    maxLength: 3,
  });
  fc.assert(
    fc.property(
      fc.array(fc.record({ key, remove: fc.boolean() }), {
        minLength: 1,
        maxLength: 3000,
        size: "max",
      }),
      key,
      key,
      (steps, start, end) => {
        const tree = new BTree();
        const model = new Map<string, number>();
        steps.forEach((step, i) => {
          if (step.remove) assertEquals(tree.delete(step.key), model.delete(step.key));
          else {
            tree.set(step.key, i);
            model.set(step.key, i);
          }
        });
        assertEquals(tree.size, model.size);
        for (const { key } of steps) assertEquals(tree.get(key), model.get(key) ?? NOT_FOUND);
        const sorted = [...model].sort(([a], [b]) => a < b ? -1 : 1);
        for (const limit of [end, undefined]) {
          const found: [string, number][] = [];
          tree.scan(start, limit, (k, v) => {
            found.push([k, v]);
            return true;
          });
          assertEquals(
            found,
            sorted.filter(([k]) => k >= start && (limit === undefined || k < limit)),
          );
        }
      },
    ),
    { numRuns: 30 },
  );
});

Deno.test("BTree holds rising, falling and shuffled keys, and gives them all up again", () => {
  const names = Array.from({ length: 20_000 }, (_, i) => `key/${String(i).padStart(6, "0")}`);
  const orders = [names, names.toReversed(), names.toSorted(() => Math.random() - 0.5)];
  for (const order of orders) {
    const tree = new BTree();
    order.forEach((name, i) => tree.set(name, i));
    const found: string[] = [];
    tree.scan("", undefined, (name) => {
      found.push(name);
      return true;
    });
    assertEquals(found, names);
    for (const name of order.slice(100)) assertEquals(tree.delete(name), true);
    let left = 0;
    tree.scan("", undefined, () => {
      left++;
      return true;
    });
    assertEquals([tree.size, left], [100, 100]);
  }
});
