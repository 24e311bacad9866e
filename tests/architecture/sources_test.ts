import { assertEquals } from "@std/assert";
import { findCycles, parseSource } from "./sources.ts";

const SOURCE = `import { a } from "./a.ts";
import type { B } from "../b/mod.ts";
import {
  c,
  type D,
} from "npm-package";
import "./side.ts";
export type {
  E,
} from "./e.ts";
// import { no } from "./comment.ts";
const text = 'import { no } from "./string.ts"';
const load = () => import("./lazy.ts");
`;

Deno.test("parseSource() finds static, type, side-effect and lazy imports with their lines", () => {
  const { imports } = parseSource("room/x.ts", SOURCE);
  assertEquals(
    imports.map((i) => [i.line, i.file ?? i.specifier, i.typeOnly, i.dynamic]),
    [
      [1, "room/a.ts", false, false],
      [2, "b/mod.ts", true, false],
      [6, "npm-package", false, false],
      [7, "room/side.ts", false, false],
      [10, "room/e.ts", true, false],
      [13, "room/lazy.ts", false, true],
    ],
  );
});

Deno.test("findCycles() names the files of a circle; types and lazy imports close none", () => {
  const sources = [
    parseSource("a.ts", 'import { b } from "./b.ts";\n'),
    parseSource("b.ts", 'import { c } from "./c.ts";\nimport type { D } from "./d.ts";\n'),
    parseSource("c.ts", 'export { b } from "./b.ts";\n'),
    parseSource("d.ts", 'import { b } from "./b.ts";\n'),
  ];
  assertEquals(findCycles(sources), [["b.ts", "c.ts", "b.ts"]]);
});
