/** docs/ARCHITECTURE.md as far as a machine can check it. Offenders are printed as file:line. */
import { findCycles, isTestFile, readSources, type SourceFile } from "./architecture/sources.ts";

/** Who may import whom; a room may always import itself. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  main: ["api", "store", "sui", "backends"],
  api: ["store", "sui", "backends"],
  store: ["backends"],
  sui: [],
  backends: [],
  std: [],
};

const MAX_LINES = 400;
/** Tests list cases; splitting them by length helps nobody read them. */
const MAX_TEST_LINES = 700;

/** Longer than that for now; each may only shrink, and leaves the list when it fits. */
const KNOWN_LONG: Readonly<Record<string, number>> = {};

const ROOT = new URL("../", import.meta.url);
const sources = readSources(ROOT);
const program = sources.filter((source) => !isTestFile(source.path));

/** main.ts, config.ts, version.ts and cli/ are one room: the one that wires. */
function roomOf(path: string): string {
  const folder = path.includes("/") ? path.slice(0, path.indexOf("/")) : "main";
  return folder === "cli" ? "main" : folder;
}

function expectNone(rule: string, offenders: readonly string[]): void {
  if (offenders.length === 0) return;
  throw new Error(`${rule}\n${offenders.map((offender) => `  ${offender}`).join("\n")}`);
}

/** The lines with those that begin inside a template literal made empty: they are text, not code. */
function withoutTemplates(lines: readonly string[]): readonly string[] {
  let inside = false;
  return lines.map((line) => {
    const began = inside;
    const comment = !inside && /^\s*(\/\/|\*|\/\*)/.test(line);
    if (!comment && (line.replaceAll("\\`", "").split("`").length - 1) % 2 === 1) inside = !inside;
    return began ? "" : line;
  });
}

/** Code lines that match, as `file:line: text`; comment lines do not count. */
function matching(files: readonly SourceFile[], pattern: RegExp): readonly string[] {
  return files.flatMap(({ path, lines }) =>
    withoutTemplates(lines).flatMap((line, index) =>
      !/^\s*(\/\/|\*|\/\*)/.test(line) && pattern.test(line)
        ? [`${path}:${index + 1}: ${line.trim()}`]
        : []
    )
  );
}

/** Imports that are there at run time and forbidden, as `file:line: specifier`. */
function importing(
  files: readonly SourceFile[],
  forbidden: (specifier: string) => boolean,
): readonly string[] {
  return files.flatMap(({ path, imports }) =>
    imports.filter((i) => !i.typeOnly && forbidden(i.specifier))
      .map((i) => `${path}:${i.line}: ${i.specifier}`)
  );
}

Deno.test("architecture: the sources are read at all", () => {
  const rooms = new Set(program.map(({ path }) => roomOf(path)));
  const missing = Object.keys(ARROWS).filter((room) => !rooms.has(room));
  expectNone("rooms without sources", missing);
  const imports = program.reduce((sum, source) => sum + source.imports.length, 0);
  if (imports < program.length) throw new Error(`only ${imports} imports were found`);
});

Deno.test("architecture: imports follow the arrows main -> api -> store -> backends, api -> sui", () => {
  const offenders = program.flatMap(({ path, imports }) => {
    const room = roomOf(path);
    const allowed = ARROWS[room];
    if (allowed === undefined) return [`${path}:1: no such room: ${room}`];
    return imports.flatMap(({ file, line }) => {
      if (file === undefined) return [];
      const target = roomOf(file);
      return target === room || allowed.includes(target) ? [] : [`${path}:${line}: ${file}`];
    });
  });
  expectNone("imports against the arrows", offenders);
});

/** Commands of several files: whoever needs a part of one, needs it below them. */
const FAMILIES = ["admin", "key", "store", "verify"] as const;

/** Floors of cli/, each path and who may stand on it. */
const FLOORS: readonly (readonly [floor: string, users: RegExp])[] = [
  ["cli/master/", /^cli\/(master\/|serve\.ts$)/],
  ["cli/serve.ts", /^main\.ts$/],
  ...FAMILIES.map((name) => [`cli/${name}/`, new RegExp(`^(main\\.ts$|cli/${name}/)`)] as const),
];

/** What commands share: how they read and write files, and how they talk to a master. */
const SHARED: readonly (readonly [floor: string, standsOn: RegExp])[] = [
  ["cli/files/", /^cli\/(files\/|command\.ts$)/],
  ["cli/client/", /^cli\/(client\/|files\/|command\.ts$|flags\.ts$)/],
];

Deno.test("architecture: the master stands on the node, only `serve` on the master, no family of commands on another", () => {
  const missing = [...FLOORS, ...SHARED].map(([floor]) => floor).filter((floor) =>
    !program.some(({ path }) => path.startsWith(floor))
  );
  expectNone("floors that are not there", missing);
  const offenders = FLOORS.flatMap(([floor, users]) =>
    program.filter(({ path }) => !users.test(path)).flatMap(({ path, imports }) =>
      imports.flatMap(({ file, line }) =>
        file?.startsWith(floor) === true ? [`${path}:${line}: ${file}`] : []
      )
    )
  );
  expectNone("imports of a command from elsewhere", offenders);
});

Deno.test("architecture: what commands share knows none of them, nor how a node is opened", () => {
  const offenders = SHARED.flatMap(([floor, standsOn]) =>
    program.filter(({ path }) => path.startsWith(floor)).flatMap(({ path, imports }) =>
      imports.flatMap(({ file, line }) =>
        file?.startsWith("cli/") === true && !standsOn.test(file)
          ? [`${path}:${line}: ${file}`]
          : []
      )
    )
  );
  expectNone("imports upwards within cli/", offenders);
});

Deno.test("architecture: the program imports no test code", () => {
  const offenders = program.flatMap(({ path, imports }) =>
    imports.flatMap(({ file, line }) =>
      file !== undefined && isTestFile(file) ? [`${path}:${line}: ${file}`] : []
    )
  );
  expectNone("test code in the program", offenders);
});

Deno.test("architecture: no circular imports", () => {
  expectNone("circular imports", findCycles(sources).map((cycle) => cycle.join(" -> ")));
});

Deno.test("architecture: imports go through deno.json: no npm:, jsr: or URL specifiers", () => {
  const offenders = importing(sources, (specifier) => /^(npm|jsr|https?):/.test(specifier));
  expectNone("imports around the import map", offenders);
});

Deno.test("architecture: store, sui and backends know no HTTP server", () => {
  const rooms = program.filter(({ path }) => ["store", "sui", "backends"].includes(roomOf(path)));
  const offenders = importing(
    rooms,
    (specifier) => specifier.startsWith("@hono/hono") || /^node:https?2?$/.test(specifier),
  );
  expectNone("HTTP below the API", offenders);
});

/** What reads the chain, what hands transactions in, and what makes them. */
const CHAIN_CLIENTS = ["sui/grpc_ledger.ts", "sui/grpc_writer.ts", "sui/result_signer.ts"];

Deno.test("architecture: only the three files that speak to the chain import a client of @mysten/sui", () => {
  const others = program.filter(({ path }) => !CHAIN_CLIENTS.includes(path));
  const offenders = importing(
    others,
    (specifier) => /^@mysten\/sui\/(grpc|client|jsonRpc|graphql|transactions)\b/.test(specifier),
  );
  expectNone("chain clients outside the ledger", offenders);
});

Deno.test("architecture: native memory is touched in backends/ffi/ only", () => {
  const others = sources.filter(({ path }) => !path.startsWith("backends/ffi/"))
    .filter(({ path }) => path !== "tests/architecture_test.ts");
  expectNone("FFI outside backends/ffi/", matching(others, /\bDeno\.(dlopen|Unsafe[A-Z])/));
});

/** How a line in the first column may begin: declarations, and the rest of what began above. */
const DECLARES =
  /^(import|export|const|function|async function|class|abstract|interface|type|declare)\b/;
const CONTINUES = /^($|\s|[})\]>|&?:.`]|extends\b|implements\b)/;
const RUNS_THE_PROGRAM = /^if \(import\.meta\.main\)/;

Deno.test("architecture: importing a file does nothing and holds no state", () => {
  const modules = program.filter(({ path }) => !path.endsWith("_worker_entry.ts"));
  const statements = modules.flatMap(({ path, lines }) =>
    withoutTemplates(lines).flatMap((line, index) =>
      [DECLARES, CONTINUES, RUNS_THE_PROGRAM, /^(\/\/|\/\*)/].some((form) => form.test(line))
        ? []
        : [`${path}:${index + 1}: ${line}`]
    )
  );
  const offenders = [
    ...statements,
    ...matching(program, /^export (let|var)\b/),
    ...matching(program, /^(export )?const [^=]*= (await\b|Deno\.)/),
    ...matching(program, /^(export )?const [^=]*= new (Map|Set)(<[^(]*>)?\(\)/),
    ...matching(program, /^(export )?const [^=]*= new (Worker|DatabaseSync|WebSocket)\b/),
  ];
  expectNone("work or state at import time", offenders);
});

Deno.test("architecture: types are not argued away", () => {
  // `any` itself is the linter's to find; here are the ways around it.
  const escapes = /\bas unknown as\b|\bas any\b/;
  const files = sources.filter(({ path }) => path !== "tests/architecture_test.ts")
    .filter(({ path }) => !path.endsWith(".d.ts"));
  const suppressed = files.flatMap(({ path, lines }) =>
    lines.flatMap((line, index) =>
      /deno-lint-ignore.*no-explicit-any|@ts-(ignore|nocheck|expect-error)/.test(line)
        ? [`${path}:${index + 1}: ${line.trim()}`]
        : []
    )
  );
  expectNone("types argued away", [...matching(files, escapes), ...suppressed]);
});

Deno.test("architecture: files have one job and one screenful of it", () => {
  const offenders = sources.flatMap(({ path, lines }) => {
    const count = lines.length - 1;
    const limit = isTestFile(path) ? MAX_TEST_LINES : MAX_LINES;
    const known = KNOWN_LONG[path];
    if (known !== undefined && count <= limit) return [`${path}: fits now: take it off the list`];
    const most = known ?? limit;
    return count > most ? [`${path}: ${count} lines, ${most} at most`] : [];
  });
  expectNone("files too long", offenders);
});

Deno.test("architecture: nothing is left for later in the sources", () => {
  const later = new RegExp(
    `\\b(${["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"].join("|")})\\b`,
  );
  const offenders = sources.flatMap(({ path, lines }) =>
    lines.flatMap((line, index) => later.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])
  );
  expectNone("unfinished work", offenders);
});
