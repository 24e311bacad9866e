/**
 * The measurement of the running program (WIRE.md): SHA-384, 48 bytes.
 *
 * - As files: LP(bytes) of each, runtime first, then bundle. A file made by `deno compile` holds
 *   both, and is measured as one.
 * - Under `deno run`: LP(specifier) ‖ LP(bytes) of every module of the graph, sorted by specifier
 *   (UTF-16 code units). A local module's specifier is its path relative to the project's root with
 *   `./` before it, so that a checkout measures the same wherever it lies. An npm package stands
 *   with `npm:<name>@<version>` (and its peers, as deno.lock writes it) and the integrity from
 *   deno.lock, which Deno enforces; a `node:` module with no bytes, it is part of the runtime. The
 *   runtime itself is not in it: whoever edits code measures code.
 *
 * Nothing is remembered between starts: a cache would have to believe times that the host sets.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { pathToFileURL } from "node:url";
import * as v from "valibot";
import { lengthPrefixed } from "../attestation.ts";
import { BackendError } from "../errors.ts";
import { type AsyncSha384, openAsyncSha384 } from "../ffi/file_digest.ts";
import type { Bytes } from "../mod.ts";

/** What the running program consists of. */
export type Program =
  | { readonly form: "files"; readonly paths: readonly string[] }
  | {
    readonly form: "modules";
    /** The entry module, an absolute path. */
    readonly main: string;
    /** Folder of deno.json and deno.lock, absolute, without a slash at its end. */
    readonly root: string;
  };

/** Read and hashed in pieces of this size, so that 96 MB of runtime never lie in memory. */
const PIECE_LENGTH = 1 << 20;

const asBytes = (data: Uint8Array): Bytes => new Uint8Array(data);

/** node:crypto as the fallback: right, but it holds the event loop for 1-2 ms a piece. */
function syncSha384(): AsyncSha384 {
  const hash = createHash("sha384");
  return {
    update: (data) => {
      hash.update(data);
      return Promise.resolve();
    },
    digest: () => asBytes(hash.digest()),
    [Symbol.dispose]: () => {},
  };
}

function unreadable(what: string, cause?: unknown): BackendError {
  return new BackendError("io", `the program cannot be measured: ${what}`, {
    kind: "SIMULATION",
    ...(cause === undefined ? {} : { cause }),
  });
}

/**
 * Hashes LP(bytes) of a file while its next piece is read. The length comes first, so a file that
 * grows or shrinks meanwhile is refused.
 */
async function updateWithFile(digest: AsyncSha384, path: string): Promise<void> {
  using file = await Deno.open(path, { read: true });
  const { size, isFile } = await file.stat();
  if (!isFile || size >= 2 ** 32) throw unreadable(`${path} is no file below 4 GiB`);
  const prefix = new Uint8Array(4);
  new DataView(prefix.buffer).setUint32(0, size);
  await digest.update(prefix);
  let reading = new Uint8Array(PIECE_LENGTH);
  let hashing = new Uint8Array(PIECE_LENGTH);
  let update: Promise<void> = Promise.resolve();
  let total = 0;
  try {
    for (;;) {
      const count = await file.read(reading);
      await update;
      if (count === null) break;
      total += count;
      [reading, hashing] = [hashing, reading];
      update = digest.update(hashing.subarray(0, count));
    }
  } finally {
    await update.catch(() => undefined); // no buffer is freed under a running hash
  }
  if (total !== size) throw unreadable(`${path} changed while it was read`);
}

async function measureFiles(paths: readonly string[]): Promise<Bytes> {
  using digest = openAsyncSha384() ?? syncSha384();
  for (const path of paths) {
    try {
      await updateWithFile(digest, path);
    } catch (cause) {
      throw cause instanceof BackendError ? cause : unreadable(path, cause);
    }
  }
  return digest.digest();
}

const GraphSchema = v.object({
  modules: v.array(v.object({
    specifier: v.string(),
    local: v.optional(v.nullable(v.string())),
    error: v.optional(v.string()),
  })),
  npmPackages: v.optional(v.record(v.string(), v.object({ name: v.string() }))),
});
const LockSchema = v.object({
  npm: v.optional(v.record(v.string(), v.object({ integrity: v.string() }))),
});

function decode<S extends v.GenericSchema>(
  schema: S,
  text: string,
  what: string,
): v.InferOutput<S> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw unreadable(`${what} is no JSON`, cause);
  }
  const result = v.safeParse(schema, json);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw unreadable(`${what}, ${v.getDotPath(issue) ?? "as a whole"}: ${issue.message}`);
}

async function moduleGraph(main: string, root: string): Promise<string> {
  const command = new Deno.Command(Deno.execPath(), {
    // --frozen: measuring writes nothing. A URL: of a path Deno would decode the %.
    args: ["info", "--json", "--frozen", pathToFileURL(main).href],
    cwd: root,
    env: { NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  });
  const { success, stdout, stderr } = await command.output();
  if (!success) throw unreadable(`deno info: ${new TextDecoder().decode(stderr).trim()}`);
  return new TextDecoder().decode(stdout);
}

async function measureModules(main: string, root: string): Promise<Bytes> {
  const graph = decode(GraphSchema, await moduleGraph(main, root), "the answer of deno info");
  const base = `${pathToFileURL(root).href}/`;
  const entries: [specifier: string, bytes: Bytes][] = [];
  for (const module of graph.modules) {
    const { specifier, local } = module;
    if (module.error !== undefined) throw unreadable(`${specifier}: ${module.error}`);
    if (specifier.startsWith("npm:")) continue; // by its package, below
    if (specifier.startsWith("node:")) {
      entries.push([specifier, new Uint8Array(0)]);
      continue;
    }
    if (local === undefined || local === null) throw unreadable(`${specifier} has no local file`);
    const name = specifier.startsWith(base) ? `./${specifier.slice(base.length)}` : specifier;
    try {
      entries.push([name, await Deno.readFile(local)]);
    } catch (cause) {
      throw unreadable(local, cause);
    }
  }
  const packages = Object.keys(graph.npmPackages ?? {});
  if (packages.length > 0) {
    const path = `${root}/deno.lock`;
    const text = await Deno.readTextFile(path).catch((cause: unknown) => {
      throw unreadable(path, cause);
    });
    const locked = decode(LockSchema, text, path).npm ?? {};
    for (const id of packages) {
      const integrity = locked[id]?.integrity;
      if (integrity === undefined) throw unreadable(`npm:${id} is not in ${path}`);
      entries.push([`npm:${id}`, new TextEncoder().encode(integrity)]);
    }
  }
  entries.sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
  const hash = createHash("sha384");
  for (const [specifier, bytes] of entries) {
    hash.update(lengthPrefixed(new TextEncoder().encode(specifier), bytes));
  }
  return asBytes(hash.digest());
}

/**
 * Measures the program. Start it early and await it late: it takes 0.1-0.2 s and leaves the event
 * loop free.
 *
 * @throws {BackendError} `io` where a part of the program cannot be read: never a partial answer.
 */
export function measureProgram(program: Program): Promise<Bytes> {
  return program.form === "files"
    ? measureFiles(program.paths)
    : measureModules(program.main, program.root);
}
