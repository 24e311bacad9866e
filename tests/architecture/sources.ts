/** The project's TypeScript sources and what they import, read the simple way. */

export interface ImportLine {
  /** 1-based. */
  readonly line: number;
  /** As written. */
  readonly specifier: string;
  /** Path from the project root when it is a file of ours. */
  readonly file: string | undefined;
  /** Only types: gone at run time. */
  readonly typeOnly: boolean;
  /** `import()`: loaded when asked for. */
  readonly dynamic: boolean;
}

export interface SourceFile {
  /** Path from the project root, with `/`. */
  readonly path: string;
  readonly lines: readonly string[];
  readonly imports: readonly ImportLine[];
}

/** Folders that are not the program: made, installed or foreign. */
const SKIPPED = new Set(["node_modules", "dist", "data", "coverage", "docs"]);

/** Every `.ts` below `root`, in path order. */
export function readSources(root: URL): readonly SourceFile[] {
  return list(root, "").sort().map((path) =>
    parseSource(path, Deno.readTextFileSync(new URL(path, root)))
  );
}

function list(root: URL, folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder === "" ? "." : folder, root))].flatMap((entry) => {
    if (entry.isDirectory) {
      if (entry.name.startsWith(".") || SKIPPED.has(entry.name)) return [];
      return list(root, `${folder}${entry.name}/`);
    }
    return entry.isFile && entry.name.endsWith(".ts") ? [`${folder}${entry.name}`] : [];
  });
}

/**
 * Finds the imports of one file. It relies on `deno fmt`: statements begin in the first column, and
 * the specifier of a static one stands on the line with `from`.
 */
export function parseSource(path: string, text: string): SourceFile {
  const lines = text.split("\n");
  const imports: ImportLine[] = [];
  let statement: string | undefined;
  lines.forEach((line, index) => {
    if (/^(import|export)\b/.test(line)) statement = line;
    else if (statement !== undefined && /^\S/.test(line)) statement += line;
    const fixed = /^(?:import|export|\}).*?\bfrom "([^"]+)"/.exec(line) ??
      /^import "([^"]+)"/.exec(line);
    if (fixed !== null && statement !== undefined) {
      const typeOnly = /^(import|export) type\b/.test(statement);
      imports.push(importLine(path, index + 1, fixed[1] ?? "", typeOnly, false));
    }
    if (line.endsWith(";")) statement = undefined;
    if (/^\s*(\/\/|\*|\/\*)/.test(line)) return;
    for (const found of line.matchAll(/\bimport\("([^"]+)"\)/g)) {
      imports.push(importLine(path, index + 1, found[1] ?? "", false, true));
    }
  });
  return { path, lines, imports };
}

function importLine(
  path: string,
  line: number,
  specifier: string,
  typeOnly: boolean,
  dynamic: boolean,
): ImportLine {
  const file = specifier.startsWith(".")
    ? new URL(specifier, `file:///${path}`).pathname.slice(1)
    : undefined;
  return { line, specifier, file, typeOnly, dynamic };
}

/** Beside the sources, but not part of the program. */
export function isTestFile(path: string): boolean {
  return /_(test|bench)\.ts$/.test(path) || path.startsWith("tests/") || path.startsWith("tools/");
}

/**
 * Circular imports, each as the files along it. A type or a lazy import closes no circle: neither is
 * needed before the file can run.
 */
export function findCycles(sources: readonly SourceFile[]): readonly (readonly string[])[] {
  const edges = new Map(sources.map((source) => [
    source.path,
    source.imports.filter((i) => !i.typeOnly && !i.dynamic).flatMap((i) => i.file ?? []),
  ]));
  const done = new Set<string>();
  const cycles: string[][] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) {
      cycles.push([...trail.slice(start), path]);
      return;
    }
    if (done.has(path)) return;
    for (const next of edges.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const { path } of sources) visit(path, []);
  return cycles;
}
