/**
 * Runs the built file the way an operator does: from an empty directory, with an empty HOME and
 * nothing in the environment but what a test says. `NAUTILUS_BINARY` names another file to test
 * (`make test-compile`); otherwise form (b) is built once, and again when a source is newer.
 */
import { start } from "../demo/process.ts";

const ROOT = new URL("../../", import.meta.url);
const BUILT = new URL("dist/test/nautilus", ROOT);
/** What goes into the built file. */
const SOURCES = [
  "main.ts",
  "thread_inbox.ts",
  "threads.ts",
  "thread_main.ts",
  "config.ts",
  "config_settings.ts",
  "config_values.ts",
  "version.ts",
  "deno.json",
  "deno.lock",
  "tools/build.ts",
  "tools/one_file.ts",
  "tools/v8_flags.ts",
];
const SOURCE_FOLDERS = ["api/", "backends/", "cli/", "std/", "store/", "sui/", "tools/launcher/"];
const READY_TIMEOUT_MS = 30_000;

/** The path of the file under test, built if need be. @throws {Error} with what the build said. */
export async function builtBinary(): Promise<string> {
  const given = Deno.env.get("NAUTILUS_BINARY");
  if (given !== undefined) return await Deno.realPath(given);
  if (await modified(BUILT) < await newestSource()) {
    const build = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "-A", "tools/build.ts", "--out", BUILT.pathname],
      cwd: ROOT,
      env: { NAUTILUS_BUILD_FORM: "b" },
    }).output();
    const said = new TextDecoder().decode(build.stdout) + new TextDecoder().decode(build.stderr);
    if (!build.success) throw new Error(`the file under test cannot be built:\n${said}`);
  }
  return BUILT.pathname;
}

async function newestSource(): Promise<number> {
  const files = SOURCES.map((path) => new URL(path, ROOT));
  for (const folder of SOURCE_FOLDERS) files.push(...filesBelow(new URL(folder, ROOT)));
  return Math.max(...await Promise.all(files.map(modified)));
}

function filesBelow(folder: URL): URL[] {
  return [...Deno.readDirSync(folder)].flatMap((entry) =>
    entry.isDirectory
      ? filesBelow(new URL(`${entry.name}/`, folder))
      : /_(test|bench)\.ts$/.test(entry.name)
      ? []
      : [new URL(entry.name, folder)]
  );
}

/** Milliseconds since the epoch; 0 for a file that is not there. */
async function modified(file: URL): Promise<number> {
  try {
    return (await Deno.stat(file)).mtime?.getTime() ?? 0;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

/** An empty place to run in; removed when disposed. */
export interface Place extends AsyncDisposable {
  /** The working directory, empty. */
  readonly cwd: string;
  /** `HOME`, empty. */
  readonly home: string;
  /** `NAUTILUS_DATA_DIR`; made by the program. Keep the place to start a second time on it. */
  readonly data: string;
}

export async function makePlace(): Promise<Place> {
  const root = await Deno.makeTempDir({ prefix: "nautilus integration " });
  const place = { cwd: `${root}/cwd`, home: `${root}/home`, data: `${root}/data` };
  await Deno.mkdir(place.cwd);
  await Deno.mkdir(place.home);
  return {
    ...place,
    [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }),
  };
}

/** The environment every run gets; a test's own comes on top. */
function environment(place: Place, env: Readonly<Record<string, string>>): Record<string, string> {
  return {
    HOME: place.home,
    PATH: "/usr/bin:/bin",
    TEE_MODE: "simulation",
    NAUTILUS_DATA_DIR: place.data,
    NAUTILUS_LISTEN: "127.0.0.1:0",
    ...env,
  };
}

export interface Finished {
  readonly code: number;
  readonly signal: Deno.Signal | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one command of the file to its end. */
export async function runBinary(
  place: Place,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  const { code, signal, stdout, stderr } = await new Deno.Command(await builtBinary(), {
    args: [...args],
    cwd: place.cwd,
    env: environment(place, env),
    clearEnv: true,
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, signal, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** A running master; killed when disposed. */
export interface Master extends AsyncDisposable {
  readonly pid: number;
  /** Where it listens, from endpoints.json: `http://127.0.0.1:port`. */
  readonly url: string;
  /** endpoints.json as it is. */
  readonly endpoints: Readonly<Record<string, unknown>>;
  /** Milliseconds from starting the process to its saying that it listens. */
  readonly readyMs: number;
  /** Everything printed so far, standard output and error in one. */
  output(): string;
  /** Sends a signal and waits for the end. */
  end(signal: Deno.Signal): Promise<Deno.CommandStatus>;
}

/**
 * Starts `nautilus serve ARGS` and waits until it says where it listens.
 * @throws {Error} with everything it printed when it ends or stays silent instead.
 */
export async function startMaster(
  place: Place,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Master> {
  const command = await builtBinary();
  const started = performance.now();
  const { running } = await start({
    command,
    args: ["serve", ...args],
    cwd: place.cwd,
    env: environment(place, env),
    ready: (line) => /^ +Listening +http/.test(line) ? line : undefined,
    timeoutMs: READY_TIMEOUT_MS,
  });
  const readyMs = performance.now() - started;
  try {
    const runtime = env["NAUTILUS_RUNTIME_DIR"] ?? `${env["NAUTILUS_DATA_DIR"] ?? place.data}/run`;
    const endpoints = asRecord(JSON.parse(await Deno.readTextFile(`${runtime}/endpoints.json`)));
    const url = endpoints["url"];
    if (typeof url !== "string") throw new Error("endpoints.json names no url");
    return {
      pid: running.pid,
      url,
      endpoints,
      readyMs,
      output: () => running.output(),
      end: async (signal) => {
        running.kill(signal);
        const status = await running.status;
        await running[Symbol.asyncDispose]();
        return status;
      },
      [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
    };
  } catch (error) {
    await running[Symbol.asyncDispose]();
    throw error;
  }
}

/** @throws {TypeError} when the value is not an object. */
export function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError(`expected an object, found ${JSON.stringify(value)}`);
  }
  return Object.fromEntries(Object.entries(value));
}
