/** What a command of the binary is, and the world it runs in; injected so that tests own it. */
import type { Bytes } from "../backends/mod.ts";
import { nearest } from "../config.ts";
import type { HardwareWorld } from "./node/tee.ts";

/** Exit codes (docs/OPERATIONS.md): others depend on them. */
export const EXIT = { done: 0, no: 1, usage: 2, environment: 3, interrupted: 130 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export interface CommandIo {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly stdoutIsTerminal: boolean;
  readonly stderrIsTerminal: boolean;
  readonly isRoot: boolean;
  readonly hostName: string;
  /** Milliseconds since the epoch when the process began, as near as the runtime tells. */
  readonly startedAt: number;
  stdout(text: string): void;
  stderr(text: string): void;
  /**
   * The measurement of the built file where it was begun before anything else was loaded (`serve`):
   * it takes as long as the rest of the boot. Awaited, and its failure thrown, where it is needed.
   */
  readonly measuring?: Promise<Bytes> | undefined;
  /** Another hardware than this machine's, in tests; main.ts has none to give. */
  readonly hardware?: HardwareWorld | undefined;
  /** Starts the program again in a Worker that dispatches on `name`. */
  spawnWorker(name: string): Worker;
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  /** Everything under `--help`, after the summary. */
  readonly usage: string;
  run(io: CommandIo): Promise<ExitCode>;
}

/** The command line cannot be understood. Exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly code = "usage";
}

export interface FlagSpec {
  readonly strings?: readonly string[];
  readonly switches?: readonly string[];
  /** Names of positional arguments; a trailing `?` marks an optional one. */
  readonly positionals?: readonly string[];
}

export interface Flags {
  readonly strings: Readonly<Record<string, string>>;
  readonly switches: ReadonlySet<string>;
  readonly positionals: readonly string[];
}

/** The part of @std/cli's parser that is used; injected to keep this file free of imports at start. */
export type ParseArgs = (
  args: readonly string[],
  options: {
    string: readonly string[];
    boolean: readonly string[];
    collect: readonly string[];
    unknown: (arg: string, key?: string) => boolean;
  },
) => { readonly _: readonly (string | number)[]; readonly [flag: string]: unknown };

/**
 * Flags by name, strictly: unknown, repeated, empty or surplus ones are refused.
 * @throws {UsageError} naming the flag.
 */
export function parseFlags(parseArgs: ParseArgs, args: readonly string[], spec: FlagSpec): Flags {
  const strings = spec.strings ?? [];
  const switches = spec.switches ?? [];
  const names = [...strings, ...switches];
  for (const arg of args) {
    const name = /^--([^=]+)=/.exec(arg)?.[1];
    if (name !== undefined && switches.includes(name)) {
      throw new UsageError(`--${name} takes no value`);
    }
  }
  const parsed = parseArgs(joinDashValues(args, strings), {
    string: [...strings, "_"],
    boolean: switches,
    collect: strings,
    unknown: (arg, key) => {
      if (arg === "-" || (key === undefined && !arg.startsWith("-"))) return true;
      const guess = nearest(arg.replace(/^-+/, "").replace(/=.*/, ""), names);
      throw new UsageError(
        `unknown flag ${arg}` + (guess === undefined ? "" : `; did you mean --${guess}?`),
      );
    },
  });
  const values: Record<string, string> = {};
  for (const name of strings) {
    const given: unknown = parsed[name];
    if (!Array.isArray(given) || given.length === 0) continue;
    if (given.length > 1) throw new UsageError(`--${name} is given ${given.length} times`);
    if (given[0] === "") throw new UsageError(`--${name} wants a value`);
    values[name] = String(given[0]);
  }
  const positionals = parsed._.map(String);
  const wanted = spec.positionals ?? [];
  const missing = wanted.filter((name) => !name.endsWith("?"))[positionals.length];
  if (missing !== undefined) throw new UsageError(`${missing} is missing`);
  if (positionals.length > wanted.length) {
    throw new UsageError(`unexpected argument "${positionals[wanted.length]}"`);
  }
  return {
    strings: values,
    switches: new Set(switches.filter((name) => parsed[name] === true)),
    positionals,
  };
}

/** `--limit -1` is a value that looks like a flag: the flag's own check says what is wrong with it. */
function joinDashValues(args: readonly string[], strings: readonly string[]): readonly string[] {
  const joined: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const [arg = "", next] = [args[i], args[i + 1]];
    const isFlag = arg.startsWith("--") && strings.includes(arg.slice(2));
    if (isFlag && next !== undefined && /^-(\d|$)/.test(next)) {
      joined.push(`${arg}=${next}`);
      i++;
    } else joined.push(arg);
  }
  return joined;
}
