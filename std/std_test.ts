/** The declarations here are written by hand: what they promise must be what the package exports. */
import { assert, assertEquals } from "@std/assert";
import { parseArgs, type ParsedArgs } from "@std/cli/parse-args";
import { STATUS_CODE, STATUS_TEXT } from "@std/http/status";
import { parse } from "@std/jsonc";

/** Names of the values (not types) that a declaration file exports. */
function declaredValues(text: string): readonly string[] {
  const found = text.matchAll(/^export (?:declare )?(?:function|class|const) (\w+)/gm);
  return [...new Set([...found].map((match) => match[1] ?? ""))];
}

for (const name of ["assert", "cli_parse_args", "http_status", "jsonc"]) {
  Deno.test(`std/${name}.d.ts declares only what ${name}.ts exports`, async () => {
    const text = await Deno.readTextFile(new URL(`${name}.d.ts`, import.meta.url));
    const module: Record<string, unknown> = await import(
      new URL(`${name}.ts`, import.meta.url).href
    );
    const declared = declaredValues(text);
    assert(declared.length > 0, "no declarations were found");
    const missing = declared.filter((value) => module[value] === undefined);
    assertEquals(missing, []);
  });
}

Deno.test("std: every module here has its declarations, and is tested above", () => {
  const files = [...Deno.readDirSync(new URL(".", import.meta.url))].map(({ name }) => name);
  const modules = files.filter((name) => /^[a-z_]+\.ts$/.test(name) && !name.endsWith("_test.ts"));
  assertEquals(
    modules.sort(),
    ["assert.ts", "cli_parse_args.ts", "http_status.ts", "jsonc.ts"],
  );
  assertEquals(modules.filter((name) => !files.includes(name.replace(".ts", ".d.ts"))), []);
});

Deno.test("parseArgs() has the shape that is declared", () => {
  const flags: ParsedArgs = parseArgs(["a", "--out", "f", "--json", "-v", "--", "rest"], {
    string: ["out"],
    boolean: ["json"],
    alias: { verbose: "v" },
    "--": true,
  });
  assertEquals(flags["out"], "f");
  assertEquals([flags["json"], flags["verbose"], flags._], [true, true, ["a"]]);
});

Deno.test("STATUS_CODE holds the codes that are declared, with texts", async () => {
  const text = await Deno.readTextFile(new URL("http_status.d.ts", import.meta.url));
  const declared = [...text.matchAll(/^ {2}(\w+): (\d+);/gm)];
  assert(declared.length > 20);
  const codes: Record<string, number> = STATUS_CODE;
  for (const [, name, code] of declared) assertEquals(codes[name ?? ""], Number(code), name);
  assertEquals(STATUS_TEXT[STATUS_CODE.NotFound], "Not Found");
});

Deno.test("parse() reads comments and trailing commas, and throws on bad JSONC", () => {
  assertEquals(parse('{ "a": 1, /* b */ "c": [2,], // d\n}'), { a: 1, c: [2] });
  let thrown: unknown;
  try {
    parse('{ "a": }');
  } catch (error) {
    thrown = error;
  }
  assert(thrown instanceof SyntaxError);
});
