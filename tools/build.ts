/**
 * `make build` / `deno task build`: bundles main.ts and makes dist/nautilus of it.
 *
 * Form (a), `deno compile`, wherever its runtime part (denort) can be had: `DENORT_BIN`, or what Deno
 * downloads by itself. Otherwise form (b): launcher + this very Deno + bundle in one file (launcher/).
 * `NAUTILUS_BUILD_FORM=a|b` insists on one. What was made is started once before it gets its name.
 */
import { parseArgs } from "@std/cli/parse-args";
import { createHash } from "node:crypto";
import { makeBuiltinsLazy } from "./lazy_builtins.ts";
import { packOneFile, programScript } from "./one_file.ts";
import { V8_FLAGS } from "./v8_flags.ts";

const ROOT = new URL("../", import.meta.url);
/** What the Workers of form (b) run. */
const THREAD_ENTRY = new URL("thread_main.ts", ROOT).pathname;
const LAUNCHER_SOURCES = ["launcher.c", "elf_map.c", "environment.c"];

const LAUNCHER_FLAGS = [
  ...["-std=c11", "-Os", "-Wall", "-Wextra", "-Werror"],
  // No C library: it would set up thread state that the program sets up again.
  ...["-ffreestanding", "-nostdlib", "-static", "-fno-pie", "-no-pie"],
  ...["-fno-stack-protector", "-fno-asynchronous-unwind-tables"],
  ...["-Wl,-z,noexecstack", "-Wl,--build-id=none", "-s"],
];

/** A step that could not be done, in words for whoever builds. */
class BuildError extends Error {
  override readonly name = "BuildError";
}

interface BuildOptions {
  readonly entry: string;
  readonly out: string;
  readonly form: "a" | "b" | "auto";
}

async function build(options: BuildOptions): Promise<void> {
  const folder = options.out.slice(0, options.out.lastIndexOf("/"));
  await Deno.mkdir(folder, { recursive: true });
  const bundle = `${options.out}.js`;
  const made = `${options.out}.new`;
  await timed(
    `bundle    ${bundle}`,
    () => makeBundle(options.entry, bundle),
    bundle,
  );
  let form: "a" | "b" = "b";
  if (options.form !== "b") {
    try {
      await timed("form (a)  deno compile", () => compile(bundle, made), made);
      form = "a";
    } catch (error) {
      if (options.form === "a" || !(error instanceof BuildError)) throw error;
      print(`form (a)  not made: ${firstAndLast(error.message)}`);
    }
  }
  if (form === "b") {
    await timed(
      `form (b)  launcher + Deno ${Deno.version.deno} + bundle`,
      () => link(bundle, made),
      made,
    );
    await startOnce(made);
  }
  await Deno.rename(made, options.out);
  const file = await Deno.readFile(options.out);
  print(`made      ${options.out}, form (${form}), ${megabytes(file.length)}`);
  print(`measures  ${measurement(file)}`);
}

/**
 * One ES module with everything in it; the import map and the lock decide what that is. Built-in
 * modules become lazy (lazy_builtins.ts), paths of this machine's cache become package names, and all
 * of it ASCII: each isolate keeps the whole source text in memory, else at two bytes a character. Not
 * minified: esbuild 0.25.5 puts a `using` variable that is read once in the place where it is read,
 * and what it held is then never disposed (locks, files, the store).
 */
async function makeBundle(entry: string, bundle: string): Promise<void> {
  const bundling = ["bundle", "--quiet", "--frozen", "--platform", "deno", "--output"];
  const plain = `${bundle}.plain.js`;
  await deno([...bundling, plain, entry], "the bundle could not be made");
  const { text, static: kept } = makeBuiltinsLazy(await Deno.readTextFile(plain));
  if (kept.length > 0) throw new BuildError(`loaded at every start: ${kept.join(" ")}`);
  await Deno.writeTextFile(bundle, asciiOnly(withoutCachePaths(text)));
  await Deno.remove(plain);
}

/** Where a package was cached when it was bundled is nobody's business, and differs by machine. */
function withoutCachePaths(text: string): string {
  return text.replaceAll(/^(\/\/ | {2}(?:async )?")\S*?\/npm\/[\w.-]+\//gm, "$1npm:");
}

/** Only comments can hold other characters: esbuild escapes them in code. */
function asciiOnly(text: string): string {
  return text.replaceAll(
    // deno-lint-ignore no-control-regex
    /[^\x00-\x7f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Form (a). @throws {BuildError} when there is no denort, or it does not fit this Deno. */
async function compile(bundle: string, made: string): Promise<void> {
  const denort = Deno.env.get("DENORT_BIN");
  const from = denort === undefined
    ? "no denort: DENORT_BIN is not set and Deno could not download it"
    : `DENORT_BIN=${denort} does not work`;
  const args = [
    "compile",
    "--quiet",
    "--allow-all",
    "--no-config",
    "--no-lock",
  ];
  await deno([...args, "--output", made, bundle], from);
  await startOnce(
    made,
    `${from}: what it made does not start (another version?)`,
  );
}

/** Form (b). */
async function link(bundle: string, made: string): Promise<void> {
  const launcher = await compileLauncher(`${made}.launcher`);
  const runtime = await Deno.readFile(Deno.execPath());
  const program = await scriptOf(bundle);
  const codeCache = await makeCodeCache(program, `${made}.script`);
  const threads = `${made}.threads.js`;
  await makeBundle(THREAD_ENTRY, threads);
  const threadProgram = await scriptOf(threads);
  await Deno.remove(threads);
  const file = packOneFile({ launcher, runtime, program, codeCache, threadProgram });
  await Deno.writeFile(made, file, { mode: 0o755 });
  await Deno.chmod(made, 0o755);
}

async function scriptOf(bundle: string): Promise<Uint8Array<ArrayBuffer>> {
  return new TextEncoder().encode(programScript(await Deno.readTextFile(bundle)));
}

/** In a process of its own, whose V8 is set up as the built file's is. */
async function makeCodeCache(program: Uint8Array, script: string): Promise<Uint8Array> {
  const cache = `${script}.cache`;
  const flags = `--v8-flags=${V8_FLAGS}`;
  const options = ["--quiet", "--allow-all", "--no-lock", "--no-code-cache", flags];
  const args = ["run", ...options, "tools/code_cache.ts", script, cache];
  await Deno.writeFile(script, program);
  await deno(args, "the code cache could not be made");
  await deno([...args, "--check"], "the code cache does not fit");
  const bytes = await Deno.readFile(cache);
  await Deno.remove(script);
  await Deno.remove(cache);
  return bytes;
}

async function compileLauncher(out: string): Promise<Uint8Array> {
  const compiler = Deno.env.get("CC") ?? "gcc";
  const sources = LAUNCHER_SOURCES.map((name) => new URL(`tools/launcher/${name}`, ROOT).pathname);
  try {
    await run(
      compiler,
      [...LAUNCHER_FLAGS, `-DV8_FLAGS="${V8_FLAGS}"`, "-o", out, ...sources],
      "the launcher does not compile",
    );
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new BuildError(
      `form (b) needs a C compiler, and there is no ${compiler} (or set CC)`,
    );
  }
  const bytes = await Deno.readFile(out);
  await Deno.remove(out);
  return bytes;
}

/** Starts what was made with nothing in its environment; it must know its own version. */
async function startOnce(
  made: string,
  message = "what was made does not start",
): Promise<void> {
  const output = await run(made, ["version"], message);
  print(`starts    ${output.trim().split("\n")[0] ?? ""}`);
}

/** SHA-384 over LP(file): the measurement that the simulation reports for this file. */
function measurement(file: Uint8Array): string {
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, file.length);
  return createHash("sha384").update(length).update(file).digest("hex");
}

function deno(args: readonly string[], message: string): Promise<string> {
  return run(Deno.execPath(), args, message);
}

/** Runs a command in the project root and gives its stdout. @throws {BuildError} with its stderr. */
async function run(
  command: string,
  args: readonly string[],
  message: string,
): Promise<string> {
  const child = new Deno.Command(command, {
    args: [...args],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  if (code === 0) return decoder.decode(stdout);
  const said = decoder.decode(stderr).split("\nStack backtrace:")[0]?.trim() ??
    "";
  throw new BuildError(`${message} (exit ${code}): ${said}`);
}

/** What failed and the innermost reason; Deno's chain of causes in between says less than it is long. */
function firstAndLast(message: string): string {
  const lines = message.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const first = lines[0]?.replace(/ \(exit \d+\): .*$/, "") ?? "";
  const last = lines.at(-1)?.replace(/^\d+: /, "") ?? "";
  return lines.length > 1 ? `${first}: ${last}` : message;
}

async function timed(
  label: string,
  job: () => Promise<void>,
  file: string,
): Promise<void> {
  const started = performance.now();
  await job();
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  print(`${label}: ${megabytes((await Deno.stat(file)).size)}, ${seconds} s`);
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

function parseOptions(args: readonly string[]): BuildOptions {
  const unknown: string[] = [];
  const flags = parseArgs(args, {
    string: ["entry", "out"],
    unknown: (arg) => void unknown.push(arg),
  });
  if (unknown.length > 0) {
    throw new BuildError(`unknown argument: ${unknown.join(" ")}`);
  }
  const text = (name: string, fallback: string) => {
    const value = flags[name];
    return new URL(
      typeof value === "string" && value !== "" ? value : fallback,
      ROOT,
    ).pathname;
  };
  const form = Deno.env.get("NAUTILUS_BUILD_FORM") ?? "auto";
  if (form !== "a" && form !== "b" && form !== "auto") {
    throw new BuildError(`NAUTILUS_BUILD_FORM=${form}: it is a, b or auto`);
  }
  return {
    entry: text("entry", "main.ts"),
    out: text("out", "dist/nautilus"),
    form,
  };
}

if (import.meta.main) {
  try {
    await build(parseOptions(Deno.args));
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    Deno.stderr.writeSync(
      new TextEncoder().encode(`build: ${error.message}\n`),
    );
    Deno.exit(1);
  }
}
