/** `--on-assign CMD`: what the master assigns, as JSON on the standard input of the operator's program. */
import type { Logger } from "@logtape/logtape";
import type { PodChange } from "./worker_session.ts";

/** A program that takes longer is ended. */
const HOOK_TIMEOUT_MS = 60_000;

export type Hook = (nodeId: string, change: PodChange, signal: AbortSignal) => Promise<void>;

/** Runs the command with `sh -c`, one change at a time; its failure is logged, and the next follows. */
export function createHook(command: string | undefined, log: Logger): Hook {
  return async (nodeId, change, signal) => {
    const { type, uid } = change;
    log.info("assigned: {type}", { type, uid });
    if (command === undefined) return;
    const child = new Deno.Command("/bin/sh", {
      args: ["-c", command],
      stdin: "piped",
      stdout: "inherit",
      stderr: "inherit",
      signal: AbortSignal.any([signal, AbortSignal.timeout(HOOK_TIMEOUT_MS)]),
    }).spawn();
    const input = new TextEncoder().encode(
      JSON.stringify({ v: 1, type, node_id: nodeId, pod: change.object }) + "\n",
    );
    const writer = child.stdin.getWriter();
    try {
      await writer.write(input);
      await writer.close();
    } catch (error) {
      // A program that reads nothing has ended or closed its input: its status says the rest.
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
    }
    const { code } = await child.status;
    if (code !== 0) log.warn("--on-assign failed", { type, uid, code });
  };
}
