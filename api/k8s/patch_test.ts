import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ApiProblem } from "../problem.ts";
import { jsonPatch, mergePatch } from "./patch.ts";
import { equalJson } from "./prepare.ts";
import { KindSchemas } from "./schema.ts";
import { StatusError } from "./status.ts";
import { strategicMerge } from "./strategic_merge.ts";

const schemas = new KindSchemas();

/** The examples of RFC 7396, appendix A. */
const MERGE_CASES: readonly [unknown, unknown, unknown][] = [
  [{ a: "b" }, { a: "c" }, { a: "c" }],
  [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
  [{ a: "b" }, { a: null }, {}],
  [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
  [{ a: ["b"] }, { a: "c" }, { a: "c" }],
  [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
  [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
  [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
  [["a", "b"], ["c", "d"], ["c", "d"]],
  [{ a: "b" }, ["c"], ["c"]],
  [{ a: "foo" }, null, null],
  [{ a: "foo" }, "bar", "bar"],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [[1, 2], { a: "b", c: null }, { a: "b" }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
];

Deno.test("mergePatch() does what RFC 7396 shows", () => {
  for (const [target, patch, expected] of MERGE_CASES) {
    assertEquals(mergePatch(target, patch), expected);
  }
});

Deno.test("jsonPatch() does what RFC 6902, appendix A shows", () => {
  const cases: readonly [unknown, unknown[], unknown][] = [
    [{ foo: "bar" }, [{ op: "add", path: "/baz", value: "qux" }], { foo: "bar", baz: "qux" }],
    [{ foo: ["bar", "baz"] }, [{ op: "add", path: "/foo/1", value: "qux" }], {
      foo: ["bar", "qux", "baz"],
    }],
    [{ baz: "qux", foo: "bar" }, [{ op: "remove", path: "/baz" }], { foo: "bar" }],
    [{ foo: ["bar", "qux", "baz"] }, [{ op: "remove", path: "/foo/1" }], { foo: ["bar", "baz"] }],
    [{ baz: "qux" }, [{ op: "replace", path: "/baz", value: "boo" }], { baz: "boo" }],
    [
      { foo: { bar: "baz", waldo: "fred" }, qux: { corge: "grault" } },
      [{ op: "move", from: "/foo/waldo", path: "/qux/thud" }],
      { foo: { bar: "baz" }, qux: { corge: "grault", thud: "fred" } },
    ],
    [{ foo: ["all", "grass", "cows", "eat"] }, [{ op: "move", from: "/foo/1", path: "/foo/3" }], {
      foo: ["all", "cows", "eat", "grass"],
    }],
    [{ foo: ["a"] }, [{ op: "add", path: "/foo/-", value: ["b"] }], { foo: ["a", ["b"]] }],
    [{ "/": 9, "~1": 10 }, [{ op: "test", path: "/~01", value: 10 }], { "/": 9, "~1": 10 }],
    [{ a: { b: 1 } }, [{ op: "copy", from: "/a", path: "/c" }, {
      op: "replace",
      path: "/c/b",
      value: 2,
    }], { a: { b: 1 }, c: { b: 2 } }],
  ];
  for (const [document, operations, expected] of cases) {
    assertEquals(jsonPatch(document, operations), expected);
  }
});

Deno.test("jsonPatch() refuses what does not fit, and leaves the document as it was", () => {
  const document = { a: [1], b: { c: 1 } };
  const bad: unknown[] = [
    {},
    ["x"],
    [{ op: "test", path: "/a/0", value: 2 }],
    [{ op: "remove", path: "/zz" }],
    [{ op: "remove", path: "/a/1" }],
    [{ op: "add", path: "/a/2", value: 1 }],
    [{ op: "add", path: "/x/y", value: 1 }],
    [{ op: "add", path: "a", value: 1 }],
    [{ op: "add", path: "/a" }],
    [{ op: "replace", path: "/n", value: 1 }],
    [{ op: "move", from: "/b", path: "/b/c" }],
    [{ op: "add", path: "/__proto__", value: 1 }],
    [{ op: "frob", path: "/a", value: 1 }],
  ];
  for (const operations of bad) {
    assertThrows(
      () => jsonPatch(document, operations),
      StatusError,
      undefined,
      JSON.stringify(operations),
    );
  }
  assertEquals(document, { a: [1], b: { c: 1 } });
});

Deno.test("jsonPatch() bounds copies of copies and depth", () => {
  const doubling = Array.from({ length: 40 }, (_, i) => ({ op: "copy", from: "", path: `/c${i}` }));
  assertThrows(() => jsonPatch({ a: "x".repeat(1000) }, doubling), StatusError, "copies");
  const deeper: unknown[] = [];
  for (let i = 0; i < 100; i++) deeper.push({ op: "add", path: "/a".repeat(i + 1), value: {} });
  assertThrows(() => jsonPatch({}, deeper), ApiProblem, "deeper");
});

Deno.test("strategicMerge() merges lists by the keys of their kind", () => {
  const pod = schemas.message("Pod");
  const current = {
    metadata: { finalizers: ["a/b"] },
    spec: {
      containers: [{ name: "a", image: "1", env: [{ name: "X", value: "1" }] }, {
        name: "b",
        image: "1",
      }],
      tolerations: [{ key: "k" }],
    },
  };
  const merged = strategicMerge(
    current,
    {
      metadata: { finalizers: ["c/d", "a/b"] },
      spec: {
        containers: [
          { name: "b", $patch: "delete" },
          {
            name: "a",
            image: "2",
            env: [{ name: "Y", value: "2" }],
            ports: [{ containerPort: 80 }],
          },
          { name: "c", image: "1" },
        ],
        tolerations: [{ key: "other" }],
        nodeName: "n",
      },
    },
    pod,
    schemas,
  );
  assertEquals(merged, {
    metadata: { finalizers: ["a/b", "c/d"] },
    spec: {
      containers: [
        {
          name: "a",
          image: "2",
          env: [{ name: "X", value: "1" }, { name: "Y", value: "2" }],
          ports: [{ containerPort: 80 }],
        },
        { name: "c", image: "1" },
      ],
      tolerations: [{ key: "other" }],
      nodeName: "n",
    },
  });
});

Deno.test("strategicMerge() knows its directives and refuses others", () => {
  const pod = schemas.message("Pod");
  const current = {
    spec: { volumes: [{ name: "v", emptyDir: {} }], containers: [{ name: "a" }, { name: "b" }] },
    metadata: { finalizers: ["a/b", "c/d"], labels: { x: "1", y: "2" } },
  };
  const merge = (patch: Record<string, unknown>) => strategicMerge(current, patch, pod, schemas);
  assertEquals(merge({ metadata: { labels: { $patch: "replace", z: "3" } } }), {
    ...current,
    metadata: { finalizers: ["a/b", "c/d"], labels: { z: "3" } },
  });
  assertEquals(merge({ metadata: { "$deleteFromPrimitiveList/finalizers": ["a/b"] } }), {
    ...current,
    metadata: { finalizers: ["c/d"], labels: { x: "1", y: "2" } },
  });
  assertEquals(
    merge({
      spec: {
        volumes: [{ name: "v", $retainKeys: ["name", "hostPath"], hostPath: { path: "/" } }],
      },
    }),
    { ...current, spec: { ...current.spec, volumes: [{ name: "v", hostPath: { path: "/" } }] } },
  );
  assertEquals(
    merge({ spec: { "$setElementOrder/containers": [{ name: "b" }, { name: "a" }] } }),
    { ...current, spec: { ...current.spec, containers: [{ name: "b" }, { name: "a" }] } },
  );
  assertEquals(merge({ spec: { containers: [{ $patch: "replace" }, { name: "z" }] } }), {
    ...current,
    spec: { ...current.spec, containers: [{ name: "z" }] },
  });
  assertThrows(() => merge({ spec: { $patch: "frob" } }), StatusError);
  assertThrows(() => merge({ spec: { containers: [{ image: "x" }] } }), StatusError);
});

Deno.test("a merge patch that says what is there changes nothing (property)", () => {
  const json = fc.dictionary(
    fc.string({ minLength: 1, maxLength: 5 }).filter((key) =>
      key !== "__proto__" && !key.startsWith("$")
    ),
    fc.jsonValue({ maxDepth: 3 }),
    { maxKeys: 5 },
  );
  // A null deletes, a key that begins with $ is a directive: both anywhere in the document.
  const isPlain = (value: unknown): boolean => !/null|"\$|"__proto__"/.test(JSON.stringify(value));
  fc.assert(fc.property(json.filter(isPlain), (document) => {
    return equalJson(mergePatch(document, document), document) &&
      equalJson(strategicMerge(document, document, undefined, schemas), document);
  }));
});
