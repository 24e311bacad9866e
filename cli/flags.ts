/** The flags of a command line, for every command alike. */
import { parseArgs } from "@std/cli/parse-args";
import { nearest } from "../config.ts";
import { UsageError } from "./command.ts";

export interface FlagSpec {
  readonly strings?: readonly string[];
  readonly switches?: readonly string[];
  /** Flags that take every argument up to the next flag, and may be repeated. */
  readonly lists?: readonly string[];
  /** Names of positional arguments; a trailing `?` marks an optional one, `…` any number. */
  readonly positionals?: readonly string[];
}

export interface Flags {
  readonly strings: Readonly<Record<string, string>>;
  readonly switches: ReadonlySet<string>;
  /** Empty where a flag is not given. */
  readonly lists: Readonly<Record<string, readonly string[]>>;
  readonly positionals: readonly string[];
}

/**
 * Flags by name, strictly: unknown, repeated, empty or surplus ones are refused.
 * @throws {UsageError} naming the flag.
 */
export function parseFlags(args: readonly string[], spec: FlagSpec): Flags {
  const { strings = [], switches = [], lists = [], positionals: wanted = [] } = spec;
  const names = [...strings, ...switches, ...lists];
  for (const arg of args) {
    const name = /^--([^=]+)=/.exec(arg)?.[1];
    if (name !== undefined && switches.includes(name)) {
      throw new UsageError(`--${name} takes no value`);
    }
  }
  const parsed = parseArgs(joinValues(args, strings, lists), {
    string: [...strings, ...lists, "_"],
    boolean: switches,
    collect: [...strings, ...lists],
    unknown: (arg, key) => {
      if (arg === "-" || (key === undefined && !arg.startsWith("-"))) return true;
      const guess = nearest(arg.replace(/^-+/, "").replace(/=.*/, ""), names);
      throw new UsageError(
        `unknown flag ${arg}` + (guess === undefined ? "" : `; did you mean --${guess}?`),
      );
    },
  });
  const valuesOf = (name: string): readonly string[] => {
    const given: unknown = parsed[name];
    const values = Array.isArray(given) ? given.map(String) : [];
    if (values.includes("")) throw new UsageError(`--${name} wants a value`);
    return values;
  };
  const values: Record<string, string> = {};
  for (const name of strings) {
    const [value, ...more] = valuesOf(name);
    if (more.length > 0) throw new UsageError(`--${name} is given ${more.length + 1} times`);
    if (value !== undefined) values[name] = value;
  }
  const positionals = parsed._.map(String);
  refuseCount(positionals, wanted);
  return {
    strings: values,
    switches: new Set(switches.filter((name) => parsed[name] === true)),
    lists: Object.fromEntries(lists.map((name) => [name, valuesOf(name)])),
    positionals,
  };
}

function refuseCount(given: readonly string[], wanted: readonly string[]): void {
  const missing = wanted.filter((name) => !/[?…]$/.test(name))[given.length];
  if (missing !== undefined) throw new UsageError(`${missing} is missing`);
  if (given.length > wanted.length && wanted.at(-1)?.endsWith("…") !== true) {
    throw new UsageError(`unexpected argument "${given[wanted.length]}"`);
  }
}

/**
 * `--limit -1` is a value that looks like a flag: the flag's own check says what is wrong with it.
 * `--endorsements A B` is the flag twice.
 */
function joinValues(
  args: readonly string[],
  strings: readonly string[],
  lists: readonly string[],
): readonly string[] {
  const joined: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? "";
    if (arg === "--") return [...joined, ...args.slice(i)];
    const name = arg.startsWith("--") ? arg.slice(2) : "";
    const next = args[i + 1];
    if (strings.includes(name) && next !== undefined && /^-(\d|$)/.test(next)) {
      joined.push(`${arg}=${next}`);
      i++;
    } else if (lists.includes(name)) {
      const from = i + 1;
      while (args[i + 1] !== undefined && !args[i + 1]?.startsWith("-")) i++;
      const values = args.slice(from, i + 1);
      joined.push(
        ...(values.length === 0 ? [`${arg}=`] : values.map((value) => `${arg}=${value}`)),
      );
    } else joined.push(arg);
  }
  return joined;
}

/** @throws {UsageError} naming the flag that is missing, and what it wants */
export function required(
  flags: Readonly<Record<string, string>>,
  name: string,
  value = "FILE",
): string {
  const given = flags[name];
  if (given === undefined) throw new UsageError(`--${name} ${value} is missing`);
  return given;
}
