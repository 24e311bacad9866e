/** A process group: a program that was started with `detached`, and whatever it started itself. */
import { kill } from "node:process";

/** How often it is looked whether anybody of the group is left. */
const LOOK_EVERY_MS = 20;

export interface ProcessGroup {
  /** SIGTERM to all of it, and after the grace SIGKILL to whoever is left. */
  end(graceMs: number): Promise<void>;
}

/** @param leader the process id of the program, which is the group's id as well */
export function processGroup(leader: number): ProcessGroup {
  return {
    async end(graceMs) {
      if (!signalGroup(leader, "SIGTERM")) return;
      const until = performance.now() + graceMs;
      while (performance.now() < until) {
        if (!signalGroup(leader, 0)) return;
        await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      }
      signalGroup(leader, "SIGKILL");
    },
  };
}

/** False where nobody of it is left. Signal 0 only looks. */
function signalGroup(leader: number, signal: "SIGTERM" | "SIGKILL" | 0): boolean {
  try {
    return kill(-leader, signal);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ESRCH") return false;
    throw error;
  }
}
