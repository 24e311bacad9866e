/**
 * Makes the `node:` imports of a bundle lazy. `deno bundle` wraps each module that is only reached
 * through `import()` so that it runs when it is first needed, but leaves imports of built-in modules
 * static at the top: every start and every Worker then loads node:http, node:crypto and all that
 * hangs on them (50-100 ms and 10 MB each). Here such an import becomes an assignment at the
 * beginning of the one module that asked for it, and `import("node:...")` a promise of the same.
 */

const REQUIRE =
  /^import \{ createRequire as (\w+) \} from "node:module";\nvar (\w+) = \1\(import\.meta\.url\);$/m;
const IMPORT = /^import (?:(\w+)|\{ ([^}]*) \}|\* as (\w+)) from "(node:[\w/]+)";$/;
const WRAPPER = /^var init_\w+ = __esm\(\{$/;
const BODY = /^ {2}(async )?"[^"]+"\(\) \{$/;

/** The rewritten bundle, and the imports that stay static because their module is not wrapped. */
export interface Rewritten {
  readonly text: string;
  readonly static: readonly string[];
}

/** @throws {TypeError} where the bundle is not laid out as `deno bundle` does it (unminified). */
export function makeBuiltinsLazy(bundle: string): Rewritten {
  const lines = bundle.replace(
    REQUIRE,
    (_all, _create, require) => `var ${require} = (name) => process.getBuiltinModule(name);`,
  ).replaceAll(
    /\bimport\("(node:[\w/]+)"\)/g,
    (_all, module) => `Promise.resolve(process.getBuiltinModule("${module}"))`,
  ).split("\n");
  const out: string[] = [];
  const kept: string[] = [];
  let pending: { readonly line: string; readonly names: string; readonly set: string }[] = [];
  let inWrapper = false;
  const giveUp = () => {
    out.push(...pending.map(({ line }) => line));
    kept.push(...pending.map(({ line }) => line));
    pending = [];
  };
  for (const line of lines) {
    const match = IMPORT.exec(line);
    if (match !== null) {
      pending.push({ line, ...assignment(match) });
      continue;
    }
    // A comment with the module's path begins the next module.
    if (line.startsWith("// ") && pending.length > 0) giveUp();
    if (WRAPPER.test(line)) inWrapper = true;
    if (pending.length > 0 && inWrapper && BODY.test(line)) {
      const wrapper = out.pop() ?? "";
      if (!WRAPPER.test(wrapper)) throw new TypeError(`the bundle has a wrapper of another form`);
      out.push(`var ${pending.map(({ names }) => names).join(", ")};`, wrapper, line);
      out.push(...pending.map(({ set }) => `    ${set}`));
      pending = [];
      inWrapper = false;
      continue;
    }
    out.push(line);
  }
  giveUp();
  return { text: out.join("\n"), static: kept };
}

function assignment(match: RegExpExecArray): { readonly names: string; readonly set: string } {
  const [, defaultName, named, namespace, module] = match;
  const whole = `process.getBuiltinModule("${module}")`;
  if (named === undefined) {
    const name = defaultName ?? namespace ?? "";
    return { names: name, set: `${name} = ${whole};` };
  }
  const pairs = named.split(", ").map((part) => part.split(" as "));
  const targets = pairs.map(([from, to]) => to === undefined ? from : `${from}: ${to}`);
  return {
    names: pairs.map(([from, to]) => to ?? from).join(", "),
    set: `({ ${targets.join(", ")} } = ${whole});`,
  };
}
