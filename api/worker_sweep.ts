/** What time does to workers: the silent are lost, and the chain is asked again about the others. */
import type { SealTokenClaims } from "../sui/seal_token.ts";
import { admit, admitProven } from "./admission.ts";
import { ApiProblem } from "./problem.ts";
import { sessionsOf } from "./session_index.ts";
import { changeState, type Entry } from "./worker_entry.ts";
import type { WorkerRoster } from "./worker_roster.ts";
import type { SweepResult } from "./worker_types.ts";

/** Tokens asked about in one sweep; the rest are due the next time. */
const MAX_REVALIDATIONS = 64;

/** One look at all workers; called by a timer. */
export function createWorkerSweep(roster: WorkerRoster): () => Promise<SweepResult> {
  const { options } = roster;
  const openedAtMs = options.clock();

  function isSilent({ record, heartbeat }: Entry, now: number): boolean {
    // Nobody is lost for what could not be heard while the master was down.
    const heard = Math.max(
      record.state_changed_at_ms,
      heartbeat?.received_at_ms ?? 0,
      openedAtMs,
    );
    return now - heard > options.heartbeatTimeoutMs;
  }

  /** How the chain is asked again about a worker; undefined where its session or token is not known. */
  function again({ record, token }: Entry, now: number) {
    const { validator, proof } = options;
    const { node_id: nodeId, admission, session } = record;
    if (admission !== undefined && proof !== undefined && session !== undefined) {
      return () => admitProven(() => proof.readToken(admission.token_id, nodeId));
    }
    return token === undefined ? undefined : () => admit(validator, { token, nodeId }, now);
  }

  async function revalidate(now: number): Promise<{ refused: string[]; unreachable: number }> {
    const refused: string[] = [];
    let unreachable = 0;
    const due = [...roster.entries()]
      .filter((entry) => now - entry.validatedAtMs >= options.revalidateAfterMs)
      .flatMap((entry) => {
        const ask = again(entry, now);
        return ask === undefined ? [] : [{ entry, ask }];
      })
      .sort((a, b) => a.entry.validatedAtMs - b.entry.validatedAtMs)
      .slice(0, MAX_REVALIDATIONS);
    await Promise.all(due.map(async ({ entry, ask }) => {
      const outcome = await asked(entry, ask, now);
      if (outcome === "refused") refused.push(entry.record.node_id);
      if (outcome === "unreachable") unreachable++;
    }));
    return { refused, unreachable };
  }

  async function asked(
    entry: Entry,
    ask: () => Promise<SealTokenClaims>,
    now: number,
  ): Promise<"refused" | "unreachable" | undefined> {
    const { session, owner } = entry.record;
    try {
      const claims = await ask();
      if (claims.owner === owner) entry.validatedAtMs = now;
      return undefined;
    } catch (error) {
      if (!(error instanceof ApiProblem)) throw error;
      if (error.status >= 500) return "unreachable";
      // The session may have been renewed while the chain was asked: then that answer counts.
      if (entry.record.session?.hash !== session?.hash) return undefined;
      const next = roster.refuse(entry.record, error.message);
      return await roster.write(entry, next) ? "refused" : undefined;
    }
  }

  return async () => {
    const now = options.clock();
    const lost: string[] = [];
    for (const entry of roster.entries()) {
      const { record } = entry;
      if (!sessionsOf(record).some((session) => now < session.expires_at_ms)) {
        roster.index.end(record.node_id);
      }
      if (record.state !== "ready" && record.state !== "active") continue;
      if (!isSilent(entry, now)) continue;
      if (await roster.write(entry, changeState(record, "lost", now))) lost.push(record.node_id);
    }
    const { refused, unreachable } = await revalidate(now);
    return { lost, refused, unreachable };
  };
}
