import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { KindSchemas } from "../schema.ts";
import { createResourceTable } from "../resources.ts";
import {
  decodeFields,
  difference,
  encodeFields,
  type FieldSet,
  fieldSet,
  intersection,
  isEmpty,
  isSame,
  OWN,
  pathsOf,
  pathText,
  union,
} from "./field_set.ts";
import { DEDUCED, type MergeSchema, mergeSchemaOf } from "./merge_schema.ts";
import { compare, fieldsOf, listProblem, merge, removeFields } from "./typed.ts";
import { equalJson } from "../plain.ts";

const steps = fc.constantFrom("f:a", "f:b", "f:c", 'k:{"name":"x"}', 'v:"y"');
const { set: sets } = fc.letrec<{ set: FieldSet }>((tie) => ({
  set: fc.oneof(
    { maxDepth: 3 },
    fc.constant(OWN),
    fc.tuple(fc.boolean(), fc.dictionary(steps, tie("set"), { maxKeys: 3 })).map((
      [own, children],
    ) => fieldSet(own, Object.entries(children))),
  ),
}));

Deno.test("field sets obey the laws of sets (property)", () => {
  fc.assert(fc.property(sets, sets, (a, b) => {
    assert(isSame(union(a, b), union(b, a)));
    assert(isSame(union(difference(a, b), intersection(a, b)), a));
    assert(isEmpty(intersection(difference(a, b), b)));
    assertEquals(
      pathsOf(union(a, b)).length + pathsOf(intersection(a, b)).length,
      pathsOf(a).length + pathsOf(b).length,
    );
  }));
});

Deno.test("fieldsV1 is read back as it was written (property)", () => {
  fc.assert(fc.property(sets, (inner) => {
    const set = fieldSet(false, [["f:x", inner]]);
    const back = decodeFields(JSON.parse(JSON.stringify(encodeFields(set))));
    assert(back !== undefined && isSame(back, set));
  }));
  for (const wrong of [[], "x", { x: {} }, { "k:1": {} }, { "v:{": {} }, { "f:a": 1 }]) {
    assertEquals(decodeFields(wrong), undefined);
  }
});

Deno.test("pathText() writes paths as conflicts show them", () => {
  assertEquals(
    pathText(["f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:name"]),
    '.spec.ports[port=80,protocol="TCP"].name',
  );
  assertEquals(pathText(["f:tags", 'v:"a"']), '.tags[="a"]');
});

const schema: MergeSchema = {
  kind: "map",
  isNamed: () => true,
  field: (name) =>
    name === "list"
      ? { kind: "keyed", keys: ["id"], defaults: {}, item: DEDUCED }
      : name === "set"
      ? { kind: "set" }
      : name === "map"
      ? { kind: "map", isNamed: () => false, field: () => ({ kind: "atomic" }) }
      : { kind: "atomic" },
};
const scalars = fc.constantFrom(1, 2, "x");
const values = fc.record({
  a: scalars,
  b: fc.array(scalars, { maxLength: 2 }),
  map: fc.dictionary(fc.constantFrom("p", "q"), scalars, { minKeys: 1 }),
  set: fc.uniqueArray(scalars, { maxLength: 3 }),
  list: fc.uniqueArray(
    fc.record({ id: fc.constantFrom(1, 2, 3), n: scalars, o: scalars }, { requiredKeys: ["id"] }),
    { selector: ({ id }) => id, maxLength: 3 },
  ),
}, { requiredKeys: [] });

Deno.test("merge(): what was merged is there, once more changes nothing, and all else stays (property)", () => {
  fc.assert(fc.property(values, values, (live, config) => {
    const merged = merge(live, config, schema);
    assert(equalJson(merge(merged, config, schema), merged));
    const { removed, modified } = compare(live, merged, schema);
    assert(isEmpty(removed));
    const wanted = fieldsOf(config, schema);
    assert(isEmpty(difference(modified, wanted)));
    assert(isEmpty(difference(wanted, fieldsOf(merged, schema))));
  }));
});

Deno.test("compare(): a change and its reverse mirror each other (property)", () => {
  fc.assert(fc.property(values, values, (a, b) => {
    const there = compare(a, b, schema);
    const back = compare(b, a, schema);
    assert(isSame(there.added, back.removed));
    assert(isSame(there.modified, back.modified));
    assert(isEmpty(intersection(there.added, fieldsOf(a, schema))));
  }));
});

Deno.test("removeFields(): takes away what nobody holds, and nothing else (property)", () => {
  fc.assert(fc.property(values, values, (mine, others) => {
    const merged = merge(mine, others, schema);
    const held = fieldsOf(others, schema);
    const gone = difference(fieldsOf(mine, schema), held);
    const left = removeFields(merged, schema, gone, held) ?? {};
    const fields = fieldsOf(left, schema);
    assert(isEmpty(difference(held, fields)));
    assert(isEmpty(difference(intersection(fields, gone), held)));
  }));
});

Deno.test("removeFields() keeps what is held by itself, though nothing is left in it", () => {
  const held = fieldsOf({ map: {} }, schema);
  const gone = fieldsOf({ map: { p: 1 } }, schema);
  assertEquals(removeFields({ map: { p: 1 } }, schema, gone, held), { map: {} });
});

Deno.test("listProblem() names the item without its key, and the one that stands twice", () => {
  const schemas = new KindSchemas();
  const pods = createResourceTable().byPlural("", "v1", "pods");
  assert(pods !== undefined);
  const pod = mergeSchemaOf(pods, schemas);
  assertEquals(
    listProblem({ spec: { containers: [{ name: "a" }, { name: "b" }] } }, pod),
    undefined,
  );
  assertEquals(
    listProblem({ spec: { containers: [{ name: "a" }, { name: "a" }] } }, pod),
    '.spec.containers: duplicate entries for key {"name":"a"}',
  );
});
