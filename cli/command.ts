/** What a command of the binary is, and the world it runs in; injected so that tests own it. */
import type { Bytes } from "../backends/mod.ts";
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
  /** What its first argument may be; a failure is told with it. */
  readonly actions?: readonly string[];
  run(io: CommandIo): Promise<ExitCode>;
}

/** The command line cannot be understood. Exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly code = "usage";
}

/**
 * The answer is no: whoever was asked refuses, or what was shown is not what it must be. Exit code 1;
 * told like every failure.
 */
export class Refused extends Error {
  override readonly name: string = "Refused";
  readonly code: "refused" | "wrong_peer" = "refused";
  readonly hint: string | undefined;
  constructor(message: string, options: { cause?: unknown; hint?: string | undefined } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.hint = options.hint;
  }
}
