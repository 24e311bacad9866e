import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { runInThisContext } from "node:vm";
import { packOneFile, programScript, readLayout } from "./one_file.ts";

const bytes = (max: number) => fc.uint8Array({ maxLength: max });

Deno.test("packOneFile() and readLayout() give every part back at a mappable offset", () => {
  fc.assert(
    fc.property(
      bytes(70_000),
      bytes(9000),
      bytes(9000),
      bytes(99),
      bytes(999),
      (launcher, runtime, program, codeCache, threadProgram) => {
        const file = packOneFile({ launcher, runtime, program, codeCache, threadProgram });
        const layout = readLayout(file);
        if (layout === undefined) throw new Error("no layout");
        const part = ({ offset, size }: { readonly offset: number; readonly size: number }) =>
          file.slice(offset, offset + size);
        assertEquals(file.slice(0, launcher.length), new Uint8Array(launcher));
        assertEquals(part(layout.runtime), new Uint8Array(runtime));
        assertEquals(part(layout.program), new Uint8Array(program));
        assertEquals(part(layout.codeCache), new Uint8Array(codeCache));
        assertEquals(part(layout.threadProgram), new Uint8Array(threadProgram));
        assertEquals(layout.runtime.offset % 65_536, 0);
      },
    ),
    { numRuns: 30 },
  );
});

Deno.test("readLayout() refuses a file that was cut, grew or is of another form", () => {
  const part = new Uint8Array(100).fill(1);
  const file = packOneFile({
    launcher: part,
    runtime: part,
    program: part,
    codeCache: part,
    threadProgram: part,
  });
  assertEquals(readLayout(file.subarray(0, file.length - 1)), undefined);
  assertEquals(readLayout(new Uint8Array([...file, 0])), undefined);
  assertEquals(readLayout(file.subarray(1)), undefined);
  assertEquals(readLayout(part), undefined);
  assertEquals(readLayout(new Uint8Array(3)), undefined);
});

Deno.test("programScript() makes a function of import.meta that awaits and runs strictly", async () => {
  const bundle =
    "var f=()=>import.meta.main;globalThis.seen=[await f(),this===void 0];export{f as main};";
  const script: unknown = runInThisContext(programScript(bundle));
  if (typeof script !== "function") throw new TypeError("the script's value is no function");
  await script({ main: true });
  assertEquals(Reflect.get(globalThis, "seen"), [true, true]);
  Reflect.deleteProperty(globalThis, "seen");
});

Deno.test("programScript() refuses what only a module can do", () => {
  for (
    const bundle of [
      'import{a}from"node:fs";a()',
      'a();import"node:fs";',
      "a();export default 3;",
      'await import("./b.js")',
    ]
  ) assertThrows(() => programScript(bundle), TypeError, "a script cannot hold");
});

Deno.test("programScript() reads over types in comments", () => {
  const bundle = "/**\n * @typedef {import('./a.js').A} A\n */\n// import('./b.js')\nvar a=1;";
  assertStringIncludes(programScript(bundle), "var a=1;");
  assertThrows(() => programScript("/**\n * b\n */\nawait import('./b.js')"), TypeError);
});
