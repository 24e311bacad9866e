/**
 * The one file of form (b), its parts told apart by a footer.
 *
 *   [launcher ELF][zeroes to 64 KiB][runtime ELF][zeroes to 4 KiB]
 *   [program][code cache][thread program][loader][footer, 96 bytes]
 *
 * Footer: 16 bytes of magic, then offset and size of runtime, program, code cache, thread program and
 * loader, each a u64, little endian. launcher/launcher.c reads the same layout; the loader is the ES module that it starts.
 */

/** Where a part lies, in bytes from the start of the file. */
export interface Extent {
  readonly offset: number;
  readonly size: number;
}

export interface Layout {
  readonly runtime: Extent;
  readonly program: Extent;
  readonly codeCache: Extent;
  readonly threadProgram: Extent;
  readonly loader: Extent;
}

export interface Parts {
  readonly launcher: Uint8Array;
  readonly runtime: Uint8Array;
  /** The bundled program as a script; see `programScript`. */
  readonly program: Uint8Array;
  /** V8's code cache of the program (code_cache.ts). */
  readonly codeCache: Uint8Array;
  /** What its Workers run instead, as a script; small, and so without a code cache. */
  readonly threadProgram: Uint8Array;
}

const MAGIC = "nautilus-tee-b1\n";
const FOOTER_SIZE = 96;
/** The largest page size of the machines we know: the runtime is mapped from where it lies. */
const RUNTIME_ALIGNMENT = 65_536;
const PROGRAM_ALIGNMENT = 4096;

/** The whole file. */
export function packOneFile(parts: Parts): Uint8Array<ArrayBuffer> {
  const runtime = {
    offset: alignUp(parts.launcher.length, RUNTIME_ALIGNMENT),
    size: parts.runtime.length,
  };
  const program = {
    offset: alignUp(runtime.offset + runtime.size, PROGRAM_ALIGNMENT),
    size: parts.program.length,
  };
  const codeCache = { offset: program.offset + program.size, size: parts.codeCache.length };
  const threadProgram = {
    offset: codeCache.offset + codeCache.size,
    size: parts.threadProgram.length,
  };
  const loaderBytes = new TextEncoder().encode(loaderModule(program, codeCache, threadProgram));
  const loader = { offset: threadProgram.offset + threadProgram.size, size: loaderBytes.length };
  const footer = loader.offset + loader.size;
  const file = new Uint8Array(footer + FOOTER_SIZE);
  file.set(parts.launcher);
  file.set(parts.runtime, runtime.offset);
  file.set(parts.program, program.offset);
  file.set(parts.codeCache, codeCache.offset);
  file.set(parts.threadProgram, threadProgram.offset);
  file.set(loaderBytes, loader.offset);
  new TextEncoder().encodeInto(MAGIC, file.subarray(footer));
  const view = new DataView(file.buffer, footer + MAGIC.length);
  [runtime, program, codeCache, threadProgram, loader].forEach(({ offset, size }, i) => {
    view.setBigUint64(i * 16, BigInt(offset), true);
    view.setBigUint64(i * 16 + 8, BigInt(size), true);
  });
  return file;
}

/** Reads the footer back; `undefined` when the file is not of this form or does not add up. */
export function readLayout(file: Uint8Array): Layout | undefined {
  const footer = file.length - FOOTER_SIZE;
  if (footer < 0) return undefined;
  const magic = new TextDecoder("latin1").decode(file.subarray(footer, footer + MAGIC.length));
  if (magic !== MAGIC) return undefined;
  const view = new DataView(file.buffer, file.byteOffset + footer + MAGIC.length);
  const extent = (index: number): Extent => ({
    offset: Number(view.getBigUint64(index * 16, true)),
    size: Number(view.getBigUint64(index * 16 + 8, true)),
  });
  const layout = {
    runtime: extent(0),
    program: extent(1),
    codeCache: extent(2),
    threadProgram: extent(3),
    loader: extent(4),
  };
  const end = ({ offset, size }: Extent) => offset + size;
  const fits = end(layout.runtime) <= layout.program.offset &&
    end(layout.program) === layout.codeCache.offset &&
    end(layout.codeCache) === layout.threadProgram.offset &&
    end(layout.threadProgram) === layout.loader.offset && end(layout.loader) === footer;
  return fits ? layout : undefined;
}

/**
 * The bundle, an ES module, as a script whose value is a function of `import.meta`. Deno parses every
 * module it starts with a parser of its own before V8 does, 130 ms and 50 MB for this one, in each
 * Worker again; a script goes to V8 alone, and V8 takes a code cache for it (27 ms less each).
 *
 * @throws {TypeError} when the module imports or exports in a way that a script cannot.
 */
export function programScript(bundle: string): string {
  const body = bundle.replace(/(^|[;\n}])export ?\{[^}]*\};?/, "$1")
    .replaceAll(/\bimport\.meta\b/g, "__importMeta");
  // Types in JSDoc comments say import(…) and import nothing.
  const code = body.replaceAll(/^[ \t]*(?:\*|\/\/|\/\*\*).*$/gm, "");
  const left = /(?:^|[;}\n])\s*(?:import|export)\b ?[\w{*"'].{0,60}|\bimport\(.{0,60}/.exec(code);
  if (left !== null) throw new TypeError(`a script cannot hold ${JSON.stringify(left[0])}`);
  return `(async function (__importMeta) {"use strict";${body}\n})\n`;
}

/**
 * The module that the runtime is started with, in the main thread and in each Worker. What was read to
 * make the script is left behind with `load`: this module's own variables live as long as the program.
 */
function loaderModule(program: Extent, codeCache: Extent, threadProgram: Extent): string {
  return `function load() {
  const file = Deno.openSync("/proc/self/exe");
  const part = (offset, size) => {
    const bytes = new Uint8Array(size);
    file.seekSync(offset, Deno.SeekMode.Start);
    for (let at = 0; at < size;) {
      const count = file.readSync(bytes.subarray(at));
      if (count === null) throw new Error("the program file is cut short");
      at += count;
    }
    return bytes;
  };
  const { Script } = process.getBuiltinModule("node:vm");
  const script = (bytes, cachedData) =>
    new Script(new TextDecoder().decode(bytes), { filename: "nautilus.js", cachedData });
  try {
    return "DedicatedWorkerGlobalScope" in globalThis
      ? script(part(${threadProgram.offset}, ${threadProgram.size}))
      : script(
        part(${program.offset}, ${program.size}),
        part(${codeCache.offset}, ${codeCache.size}),
      );
  } finally {
    file.close();
  }
}
await load().runInThisContext()({ url: import.meta.url, main: import.meta.main });
`;
}

function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}
