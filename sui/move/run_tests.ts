/**
 * Builds the Move package and runs its unit tests with a compiler in WebAssembly.
 *
 * `SUI_FRAMEWORK=<folder> deno run -A sui/move/run_tests.ts`, where the folder holds the framework's
 * packages `move-stdlib` and `sui-framework` (and `sui-system`, `bridge`, `deepbook` where the
 * compiler asks for them), as in `crates/sui-framework/packages` of the Sui sources. Without it,
 * says so and exits 0: no registry carries these sources, and this project holds no copy of them.
 */
import { join } from "node:path";
import {
  initMovePackageBuilder,
  MovePackageFetcher,
  testMovePackage,
} from "@zktx.io/sui-move-builder/full";

const KEPT = /(^Move\.toml|^Move\.lock|\.move)$/;

/** Every manifest and source of a package, by its path within. Its own tests are left out. */
async function readPackage(root: string, folder = ""): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for await (const entry of Deno.readDir(join(root, folder))) {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory) {
      if (entry.name !== "build") Object.assign(files, await readPackage(root, path));
    } else if (KEPT.test(path)) {
      files[path] = await Deno.readTextFile(join(root, path));
    }
  }
  return files;
}

/** Serves framework packages from a folder, whatever repository and revision are asked for. */
class FolderFetcher extends MovePackageFetcher {
  readonly #framework: string;

  constructor(framework: string) {
    super();
    this.#framework = framework;
  }

  override async fetch(_git: string, _rev: string, subdir = ""): Promise<Record<string, string>> {
    const name = subdir.split("/").at(-1) ?? "";
    const files = await readPackage(join(this.#framework, name));
    return Object.fromEntries(
      Object.entries(files).filter(([path]) => !path.startsWith("tests/")),
    );
  }

  override async fetchFile(_git: string, _rev: string, path: string): Promise<string | null> {
    const [file = "", name = ""] = path.split("/").toReversed();
    try {
      return await Deno.readTextFile(join(this.#framework, name, file));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      throw error;
    }
  }

  override getResolvedSha(_git: string, rev: string): string {
    return rev;
  }
}

/** Exit code: 0 passed or skipped, 1 failed. */
async function main(): Promise<number> {
  const say = (text: string) => Deno.stdout.writeSync(new TextEncoder().encode(text + "\n"));
  const framework = Deno.env.get("SUI_FRAMEWORK");
  if (framework === undefined || framework === "") {
    say("SKIPPED: set SUI_FRAMEWORK to the folder with the Sui framework's Move packages");
    return 0;
  }
  await initMovePackageBuilder();
  const result = await testMovePackage({
    files: await readPackage(new URL(".", import.meta.url).pathname),
    fetcher: new FolderFetcher(framework),
    network: "mainnet",
  });
  if ("error" in result) {
    say(`${result.category ?? "failed"}: ${result.error}`);
    return 1;
  }
  say(result.output);
  return result.passed ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
