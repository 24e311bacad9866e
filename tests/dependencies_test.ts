/** docs/DEPENDENCIES.md, deno.json and the Deno that runs say the same. */
import { assert, assertEquals, assertMatch } from "@std/assert";

const ROOT = new URL("../", import.meta.url);

const readText = (path: string) => Deno.readTextFile(new URL(path, ROOT));

function record(value: unknown): Readonly<Record<string, unknown>> {
  assert(typeof value === "object" && value !== null);
  return Object.fromEntries(Object.entries(value));
}

/** `name` -> `version` of every npm package that the import map names. */
async function imported(): Promise<ReadonlyMap<string, string>> {
  const imports = record(record(JSON.parse(await readText("deno.json")))["imports"]);
  const packages = new Map<string, string>();
  for (const [name, target] of Object.entries(imports)) {
    if (typeof target !== "string" || target.startsWith("./")) continue;
    const match = /^npm:\/?((?:@[^/]+\/)?[^@/]+)@([^/]+)/.exec(target);
    assert(match !== null, `${name} -> ${target} is no npm package with a version`);
    packages.set(match[1] ?? "", match[2] ?? "");
  }
  return packages;
}

Deno.test("deno.json names exact versions only", async () => {
  for (const [name, version] of await imported()) {
    assertMatch(version, /^\d+\.\d+\.\d+(-[\w.]+)?$/, name);
  }
});

Deno.test("docs/DEPENDENCIES.md lists every package of deno.json with its version, and no other", async () => {
  const rows = (await readText("docs/DEPENDENCIES.md")).matchAll(/^\| `([^`]+)` \| (\S+) \|/gm);
  const listed = [...rows].map(([, name, version]) => `${name}@${version}`).sort();
  const wanted = [...await imported()].map(([name, version]) => `${name}@${version}`).sort();
  assertEquals(listed, wanted);
});

Deno.test("the pinned Deno is the one in the documents", async () => {
  const { optionalDependencies } = record(JSON.parse(await readText("tools/deno/package.json")));
  const pinned = record(optionalDependencies)["@deno/linux-x64-glibc"];
  assert(typeof pinned === "string");
  assert((await readText("docs/DEPENDENCIES.md")).includes(`| ${pinned} | \`tools/deno/`));
});

Deno.test("the toolchain's lock has a checksum for every package and names no registry", async () => {
  const lock = await readText("tools/deno/package-lock.json");
  const packages = record(record(JSON.parse(lock))["packages"]);
  for (const [path, entry] of Object.entries(packages)) {
    if (path !== "") assertMatch(String(record(entry)["integrity"]), /^sha512-/, path);
  }
  assert(!lock.includes("://"), "a URL");
});
