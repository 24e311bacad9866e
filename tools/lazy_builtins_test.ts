import { assertEquals, assertStringIncludes } from "@std/assert";
import { makeBuiltinsLazy } from "./lazy_builtins.ts";

const BUNDLE = `import { createRequire as __make } from "node:module";
var __require = __make(import.meta.url);
var __esm = (fn, res) => () => (fn && (res = fn(fn = 0)), res);
// a.ts
import { createHash } from "node:crypto";
import { Buffer as Buffer2, constants } from "node:buffer";
function hash() {
  return createHash("sha256");
}
var init_a = __esm({
  "a.ts"() {
    ready = true;
  }
});
// b.ts
import util from "node:util";
import * as path from "node:path";
var init_b = __esm({
  async "b.ts"() {
    await init_a();
  }
});
// main.ts
import { sep } from "node:path";
console.log(sep);
`;

Deno.test("makeBuiltinsLazy() assigns built-ins where the module that asked for them begins", () => {
  const { text } = makeBuiltinsLazy(BUNDLE);
  assertStringIncludes(text, "var __require = (name) => process.getBuiltinModule(name);");
  assertStringIncludes(
    text,
    `var createHash, Buffer2, constants;
var init_a = __esm({
  "a.ts"() {
    ({ createHash } = process.getBuiltinModule("node:crypto"));
    ({ Buffer: Buffer2, constants } = process.getBuiltinModule("node:buffer"));
    ready = true;`,
  );
  assertStringIncludes(
    text,
    `  async "b.ts"() {
    util = process.getBuiltinModule("node:util");
    path = process.getBuiltinModule("node:path");
    await`,
  );
});

Deno.test("makeBuiltinsLazy() leaves the imports of a module that always runs, and names them", () => {
  const { text, static: kept } = makeBuiltinsLazy(BUNDLE);
  assertEquals(kept, ['import { sep } from "node:path";']);
  assertStringIncludes(text, 'import { sep } from "node:path";');
  assertEquals(
    makeBuiltinsLazy('const c = await import("node:crypto");').text,
    'const c = await Promise.resolve(process.getBuiltinModule("node:crypto"));',
  );
  assertEquals(makeBuiltinsLazy("const a = 1;\n"), { text: "const a = 1;\n", static: [] });
});
