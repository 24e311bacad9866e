import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import * as v from "valibot";
import { lengthPrefixed } from "../attestation.ts";
import { BackendError } from "../errors.ts";
import { openAsyncSha384 } from "../ffi/file_digest.ts";
import { measureProgram } from "./program.ts";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const sha384 = (data: Uint8Array): string => createHash("sha384").update(data).digest("hex");

async function inFolder(job: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "nautilus program %20 " });
  try {
    await job(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("measureProgram() of files is SHA-384 over each, length-prefixed, in order", () =>
  inFolder(async (folder) => {
    const runtime = new Uint8Array((1 << 20) * 2 + 17).map((_, index) => index * 7);
    const bundle = utf8("export {};");
    await Deno.writeFile(`${folder}/runtime`, runtime);
    await Deno.writeFile(`${folder}/bundle`, bundle);
    const paths = [`${folder}/runtime`, `${folder}/bundle`];
    const measured = (await measureProgram({ form: "files", paths })).toHex();
    assertEquals(measured, sha384(lengthPrefixed(runtime, bundle)));
    const swapped = await measureProgram({ form: "files", paths: paths.toReversed() });
    assertNotEquals(swapped.toHex(), measured);
  }));

Deno.test("measureProgram() of a missing file is a typed failure, not a partial answer", async () => {
  const program = { form: "files", paths: [Deno.execPath(), "/nowhere/bundle"] } as const;
  const error = await assertRejects(() => measureProgram(program), BackendError);
  assertEquals(error.code, "io");
  assert(error.message.includes("/nowhere/bundle"));
});

Deno.test("measureProgram() of modules is over specifier and bytes, sorted, wherever it lies", () =>
  inFolder(async (folder) => {
    const main = 'import { b } from "./lib/b.ts";\nimport "./a.ts";\nexport const x = b;\n';
    const files = { "main.ts": main, "a.ts": "export {};\n", "lib/b.ts": "export const b = 1;\n" };
    const measured: string[] = [];
    for (const root of [`${folder}/one`, `${folder}/two/deep`]) {
      await Deno.mkdir(`${root}/lib`, { recursive: true });
      for (const [name, text] of Object.entries(files)) {
        await Deno.writeTextFile(`${root}/${name}`, text);
      }
      await Deno.writeTextFile(`${root}/deno.json`, "{}");
      measured.push(
        (await measureProgram({ form: "modules", main: `${root}/main.ts`, root })).toHex(),
      );
    }
    const expected = sha384(
      lengthPrefixed(
        utf8("./a.ts"),
        utf8(files["a.ts"]),
        utf8("./lib/b.ts"),
        utf8(files["lib/b.ts"]),
        utf8("./main.ts"),
        utf8(main),
      ),
    );
    assertEquals(measured, [expected, expected]);
    const root = `${folder}/one`;
    await Deno.writeTextFile(`${root}/lib/b.ts`, "export const b = 2;\n");
    const edited = await measureProgram({ form: "modules", main: `${root}/main.ts`, root });
    assertNotEquals(edited.toHex(), expected);
  }));

Deno.test("measureProgram() of modules counts npm packages by what deno.lock pins", () =>
  inFolder(async (folder) => {
    const lock: unknown = JSON.parse(
      await Deno.readTextFile(new URL("../../deno.lock", import.meta.url)),
    );
    const { npm } = v.parse(v.object({ npm: v.record(v.string(), v.unknown()) }), lock);
    const id = Object.keys(npm).find((name) => name.startsWith("yaml@"));
    assert(id);
    await Deno.writeTextFile(`${folder}/main.ts`, `import "npm:${id}";\n`);
    await Deno.writeTextFile(`${folder}/deno.json`, '{"nodeModulesDir":"none"}');
    await Deno.writeTextFile(
      `${folder}/deno.lock`,
      JSON.stringify({
        version: "5",
        specifiers: { [`npm:${id}`]: id.slice("yaml@".length) },
        npm: { [id]: npm[id] },
      }),
    );
    const program = { form: "modules", main: `${folder}/main.ts`, root: folder } as const;
    const before = await measureProgram(program);
    assertEquals(await measureProgram(program), before);
    await Deno.remove(`${folder}/deno.lock`);
    const error = await assertRejects(() => measureProgram(program), BackendError);
    assertEquals(error.code, "io");
    await assertRejects(() => Deno.stat(`${folder}/deno.lock`), Deno.errors.NotFound);
  }));

Deno.test("measureProgram() of modules refuses a graph with a hole", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/main.ts`, 'import "./missing.ts";\n');
    const program = { form: "modules", main: `${folder}/main.ts`, root: folder } as const;
    const error = await assertRejects(() => measureProgram(program), BackendError);
    assert(error.message.includes("missing.ts"));
  }));

Deno.test({
  name: "openAsyncSha384() gives the digest, and refuses use after its end" +
    (openAsyncSha384() === undefined ? " (skipped: no libcrypto here)" : ""),
  ignore: openAsyncSha384() === undefined,
  fn: async () => {
    const hash = openAsyncSha384();
    assert(hash);
    await hash.update(new Uint8Array(utf8("ab")));
    await hash.update(new Uint8Array(utf8("c")));
    assertEquals(hash.digest().toHex(), sha384(utf8("abc")));
    await assertRejects(() => hash.update(new Uint8Array(1)), Error, "closed");
    using disposed = openAsyncSha384();
    disposed?.[Symbol.dispose]();
    await assertRejects(async () => await disposed?.update(new Uint8Array(1)), Error, "closed");
  },
});
