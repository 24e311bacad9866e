/**
 * What time does to workers: the silent are lost and at last removed, the chain is asked again about
 * the others, and what they said is shown.
 */
import type { SealTokenClaims } from "../sui/seal_token.ts";
import { admit, admitAgain } from "./admission.ts";
import { ApiProblem } from "./problem.ts";
import { sessionsOf } from "./session_index.ts";
import { changeState, type Entry } from "./worker_entry.ts";
import type { WorkerRoster } from "./worker_roster.ts";
import type { WorkerStatusWriter } from "./worker_status.ts";
import type { SweepResult } from "./worker_types.ts";

/** Tokens asked about in one sweep; the rest are due the next time. */
const MAX_REVALIDATIONS = 64;
/** Workers changed at a time. */
const AT_ONCE = 128;

/** One look at all workers; called by a timer. A call during a look waits for that one. */
export function createWorkerSweep(
  roster: WorkerRoster,
  status: WorkerStatusWriter,
): () => Promise<SweepResult> {
  const { options } = roster;
  const openedAtMs = options.clock();

  function isSilent({ record, heartbeat }: Entry, now: number): boolean {
    if (record.state !== "ready" && record.state !== "active") return false;
    // Nobody is lost for what could not be heard while the master was down.
    const heard = Math.max(
      record.state_changed_at_ms,
      heartbeat?.received_at_ms ?? 0,
      openedAtMs,
    );
    return now - heard > options.heartbeatTimeoutMs;
  }

  /** Lost, or refused, for so long that nobody expects it back. */
  function isForgotten({ record }: Entry, now: number): boolean {
    if (record.state !== "lost" && record.state !== "refused") return false;
    return now - Math.max(record.state_changed_at_ms, openedAtMs) > options.removeAfterMs;
  }

  /** How the chain is asked again about a worker; undefined where its session or token is not known. */
  function again({ record, token }: Entry, now: number) {
    const { validator, proof } = options;
    const { node_id: nodeId, admission, session } = record;
    if (admission !== undefined && proof !== undefined && session !== undefined) {
      const held = { owner: record.owner, nodeKey: admission.node_key };
      return () => admitAgain(() => proof.readToken(admission.token_id, nodeId), held);
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

  /** Several at a time: they share the store's commits. */
  async function each(
    entries: readonly Entry[],
    change: (entry: Entry) => Promise<boolean>,
  ): Promise<string[]> {
    const changed: string[] = [];
    for (let i = 0; i < entries.length; i += AT_ONCE) {
      await Promise.all(
        entries.slice(i, i + AT_ONCE).map(async (entry) => {
          const { node_id: nodeId } = entry.record;
          if (await change(entry)) changed.push(nodeId);
        }),
      );
    }
    return changed;
  }

  async function sweep(): Promise<SweepResult> {
    const now = options.clock();
    const silent: Entry[] = [];
    const forgotten: Entry[] = [];
    for (const entry of roster.entries()) {
      const { record } = entry;
      if (!sessionsOf(record).some((session) => now < session.expires_at_ms)) {
        roster.index.end(record.node_id);
      }
      if (isForgotten(entry, now)) forgotten.push(entry);
      else if (isSilent(entry, now)) silent.push(entry);
    }
    // Looked at again: somebody may have beaten, or come back, while others were written.
    const lost = await each(
      silent,
      async (entry) =>
        isSilent(entry, now) && await roster.write(entry, changeState(entry.record, "lost", now)),
    );
    const removed = await each(
      forgotten,
      async (entry) => isForgotten(entry, now) && await roster.remove(entry),
    );
    await status.flush();
    const { refused, unreachable } = await revalidate(now);
    return { lost, removed, refused, unreachable };
  }

  let running: Promise<SweepResult> | undefined;
  return () => {
    running ??= sweep().finally(() => {
      running = undefined;
    });
    return running;
  };
}
