/** `serve --replay-events`: what becomes of the chain's requests after a restore or a recovery. */
import {
  openReplayGate,
  REPLAY_DECISIONS,
  ReplayDecided,
  type ReplayDecision,
  type ReplayGate,
} from "../../api/chain_replay.ts";
import type { Store } from "../../store/mod.ts";
import { UsageError } from "../command.ts";

export const REPLAY_HELP: readonly string[] = [
  "After a restore or a recovery requests of the chain are held, because they may have been executed",
  "before. Once, --replay-events says what becomes of them: skip passes over all up to the chain's",
  "tip, apply executes them (again). Slashings and revocations are applied in any case.",
];

/** @throws {UsageError} */
export function replayDecision(text: string | undefined): ReplayDecision | undefined {
  const decision = REPLAY_DECISIONS.find((one) => one === text);
  if (text !== undefined && decision === undefined) {
    throw new UsageError(`--replay-events "${text}": skip or apply is wanted`);
  }
  return decision;
}

/** @throws {UsageError} where it was decided otherwise before */
export async function replayGate(
  store: Store,
  decision: ReplayDecision | undefined,
): Promise<ReplayGate> {
  try {
    return await openReplayGate(store, decision);
  } catch (error) {
    if (error instanceof ReplayDecided) throw new UsageError(error.message);
    throw error;
  }
}
