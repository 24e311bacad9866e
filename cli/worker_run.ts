/** `nautilus worker run`: in, beating, following, and in again after whatever went wrong. */
import type { Logger } from "@logtape/logtape";
import { EXIT, type ExitCode } from "./command.ts";
import type { Figures } from "./worker_figures.ts";
import type { Hook } from "./worker_hook.ts";
import { isFinal, JoinRefused } from "./worker_join.ts";
import { StreamRefused } from "./worker_link.ts";
import type { WorkerSession } from "./worker_session.ts";

/** As much of a session as staying takes. Its connection is ended with it. */
export type Session = Pick<WorkerSession, "beat" | "leave" | "pods"> & Disposable;

export interface RunOptions {
  readonly nodeId: string;
  readonly heartbeatMs: number;
  readonly log: Logger;
  /** Aborted when the process is asked to stop. */
  readonly stop: AbortSignal;
  readonly hook: Hook;
  join(): Promise<Session>;
  figures(): Promise<Figures>;
  /** 0 to 1. */
  random(): number;
}

const BACKOFF_MS = { first: 500, most: 30_000 } as const;

/** Runs until it is told to stop (0), or the answer is no for good (1). */
export async function runWorker(options: RunOptions): Promise<ExitCode> {
  const { log, stop, random } = options;
  const pods = new Set<string>();
  let delayMs: number = BACKOFF_MS.first;
  while (!stop.aborted) {
    try {
      using session = await unlessStopped(options.join(), stop);
      log.info("joined");
      const heard = await stay(session, options, pods);
      if (heard) delayMs = BACKOFF_MS.first;
      // A session that is lost at once must not become a storm of joining.
      else await pause(delayMs, stop);
      delayMs = heard ? delayMs : Math.min(BACKOFF_MS.most, delayMs * 2);
    } catch (error) {
      if (stop.aborted) break;
      if (isFinal(error)) {
        log.error("not admitted: {reason}", { reason: messageOf(error) });
        return EXIT.no;
      }
      const asked = error instanceof JoinRefused ? (error.retryAfterSeconds ?? 0) * 1000 : 0;
      const waitMs = Math.min(BACKOFF_MS.most, Math.max(asked, delayMs * (0.5 + random() / 2)));
      log.warn("cannot join, trying again", {
        reason: messageOf(error),
        retry_in_ms: Math.round(waitMs),
      });
      await pause(waitMs, stop);
      delayMs = Math.min(BACKOFF_MS.most, delayMs * 2);
    }
  }
  return EXIT.done;
}

/**
 * Beats and follows until the session is lost or the process is to stop (then it leaves).
 * @returns whether any heartbeat was taken.
 */
async function stay(
  session: Session,
  options: RunOptions,
  pods: Set<string>,
): Promise<boolean> {
  let heard = false;
  const { log, stop, heartbeatMs, nodeId, random } = options;
  const over = new AbortController();
  const until = AbortSignal.any([stop, over.signal]);
  const beating = (async () => {
    let retryMs: number = BACKOFF_MS.first;
    while (!until.aborted) {
      let waitMs = heartbeatMs;
      try {
        if (await session.beat(await options.figures(), pods.size, until)) {
          log.info("session renewed");
        }
        heard = true;
        retryMs = BACKOFF_MS.first;
      } catch (error) {
        if (until.aborted) return;
        if (error instanceof JoinRefused && isLost(error)) {
          log.warn("the session is lost", { reason: error.message });
          over.abort();
          return;
        }
        // Sooner than the next one is due, and not all workers at once.
        const asked = error instanceof JoinRefused ? (error.retryAfterSeconds ?? 0) * 1000 : 0;
        waitMs = Math.min(heartbeatMs, Math.max(asked, retryMs * (0.5 + random() / 2)));
        retryMs = Math.min(BACKOFF_MS.most, retryMs * 2);
        log.warn("a heartbeat failed", {
          reason: messageOf(error),
          retry_in_ms: Math.round(waitMs),
        });
      }
      await pause(waitMs, until);
    }
  })();
  const following = (async () => {
    let delayMs: number = BACKOFF_MS.first;
    while (!until.aborted) {
      try {
        for await (const change of session.pods(pods, until)) {
          if (until.aborted) return;
          if (change.type === "DELETED") pods.delete(change.uid);
          else pods.add(change.uid);
          await options.hook(nodeId, change, until);
          delayMs = BACKOFF_MS.first;
        }
      } catch (error) {
        if (until.aborted) return;
        const status = error instanceof StreamRefused ? error.status : undefined;
        if (status === 401 || (error instanceof JoinRefused && error.final)) {
          log.warn("the session is lost", { reason: messageOf(error) });
          over.abort();
          return;
        }
        log.warn("the watch failed, trying again", { reason: messageOf(error) });
        await pause(delayMs, until);
        delayMs = Math.min(BACKOFF_MS.most, delayMs * 2);
      }
    }
  })();
  await Promise.all([beating, following]);
  if (!stop.aborted) return heard;
  try {
    await session.leave();
    log.info("left");
  } catch (error) {
    log.warn("could not say goodbye", { reason: messageOf(error) });
  }
  return heard;
}

/**
 * Joining asks the master for evidence, which takes its time: nobody who stops waits for it. A
 * session that is won all the same ends with its lease.
 */
async function unlessStopped(joining: Promise<Session>, stop: AbortSignal): Promise<Session> {
  const stopped = Promise.withResolvers<never>();
  const aborted = () => stopped.reject(stop.reason);
  stop.addEventListener("abort", aborted, { once: true });
  if (stop.aborted) aborted();
  try {
    return await Promise.race([joining, stopped.promise]);
  } catch (error) {
    void joining.then((session) => session[Symbol.dispose](), () => {});
    throw error;
  } finally {
    stop.removeEventListener("abort", aborted);
  }
}

function isLost({ code }: JoinRefused): boolean {
  return [
    "session_unknown",
    "session_expired",
    "replayed",
    "wrong_node",
    "wrong_node_key",
    "signature_invalid",
  ]
    .includes(code) || code.startsWith("seal_token_");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Resolves after the time or when the signal aborts. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}
