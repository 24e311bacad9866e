/** The way down: nothing new comes in, what is open is finished, and only then parts are closed. */
import type { Logger } from "@logtape/logtape";
import type { Store } from "../../store/mod.ts";
import type { Front } from "./front.ts";

/** Of the 10 s that stopping may take: the rest is for the chain reader and the log. */
const DRAIN_MS = 7_000;

/**
 * @param work what runs beside serving; it is stopped while requests are finished
 * @throws what the store failed with, once everybody has been let go
 */
export async function drain(options: {
  readonly front: Pick<Front, "close" | "withdraw">;
  readonly work: AsyncDisposableStack;
  readonly store: Pick<Store, "failure">;
  readonly log: Logger;
}): Promise<void> {
  const { front, work, store, log } = options;
  if (store.failure !== undefined) {
    log.fatal("the store failed, nothing more is accepted: {error}", { error: store.failure });
  }
  log.info("stopping: no new connections, open requests are finished", { drain_ms: DRAIN_MS });
  const [, { cut }] = await Promise.all([work.disposeAsync(), front.close(DRAIN_MS)]);
  await front.withdraw();
  if (store.failure !== undefined) throw store.failure;
  log.info("stopped", { connections_cut: cut });
}
