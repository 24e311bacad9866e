/** `--on-assign CMD`: what the master assigns, as JSON on the standard input of the operator's program. */
import type { Logger } from "@logtape/logtape";
import { processGroup } from "./worker_group.ts";
import type { PodChange } from "./worker_session.ts";

/** A program that takes longer is ended; asked to end, it has the grace. */
const LIMITS: HookLimits = { timeoutMs: 60_000, graceMs: 5_000 };

/** What the launcher tells its own runtime: nothing for other programs. */
const LAUNCHERS_OWN = /^(?:DENO|MALLOC)_/;

export interface HookLimits {
  readonly timeoutMs: number;
  /** From SIGTERM to SIGKILL. */
  readonly graceMs: number;
}

export interface HookOptions {
  /** Undefined: changes are logged only. */
  readonly command: string | undefined;
  readonly log: Logger;
  /** The worker's own environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly limits?: HookLimits;
}

/** Resolves when the program has ended, or was ended: by its time, or by the signal. */
export type Hook = (nodeId: string, change: PodChange, signal: AbortSignal) => Promise<void>;

/**
 * Runs the command with `sh -c` in a process group of its own, one change at a time; its failure is
 * logged, and the next follows. Nothing is started once the signal is aborted.
 */
export function createHook({ command, log, env, limits = LIMITS }: HookOptions): Hook {
  const inherited = Object.fromEntries(
    Object.entries(env).filter(([name]) => !LAUNCHERS_OWN.test(name)),
  );
  return async (nodeId, change, signal) => {
    if (signal.aborted) return;
    const { type, uid } = change;
    log.info("assigned: {type}", { type, uid });
    if (command === undefined) return;
    const child = new Deno.Command("/bin/sh", {
      args: ["-c", command],
      clearEnv: true,
      env: inherited,
      stdin: "piped",
      stdout: "inherit",
      stderr: "inherit",
      detached: true,
    }).spawn();
    using over = firstOf(signal, limits.timeoutMs);
    const writer = child.stdin.getWriter();
    const json = JSON.stringify({ v: 1, type, node_id: nodeId, pod: change.object });
    const given = give(writer, new TextEncoder().encode(json + "\n"));
    // Awaited below unless its time is over first.
    given.catch(() => {});
    const ended = await Promise.race([Promise.all([child.status, given]), over.promise]);
    if (typeof ended !== "string") {
      const [{ code }] = ended;
      if (code !== 0) log.warn("--on-assign failed", { type, uid, code });
      return;
    }
    log.warn("--on-assign was ended: {reason}", { type, uid, reason: ended });
    await processGroup(child.pid).end(limits.graceMs);
    // Whoever left the group may hold the pipe still: nobody waits for it.
    void writer.abort().catch(() => {});
    await child.status;
  };
}

async function give(
  writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>,
  input: Uint8Array<ArrayBuffer>,
): Promise<void> {
  try {
    await writer.write(input);
    await writer.close();
  } catch (error) {
    // A program that reads nothing has ended or closed its input: its status says the rest.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}

type Reason = "it took too long" | "the worker stops or lost its session";

/** Which comes first, the abort or the time; disposed of, neither is waited for. */
function firstOf(
  signal: AbortSignal,
  timeoutMs: number,
): { readonly promise: Promise<Reason> } & Disposable {
  const { promise, resolve } = Promise.withResolvers<Reason>();
  const aborted = () => resolve("the worker stops or lost its session");
  const timer = setTimeout(() => resolve("it took too long"), timeoutMs);
  signal.addEventListener("abort", aborted, { once: true });
  if (signal.aborted) aborted();
  return {
    promise,
    [Symbol.dispose]() {
      clearTimeout(timer);
      signal.removeEventListener("abort", aborted);
    },
  };
}
