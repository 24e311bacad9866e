/** Waiting and giving up, without leaving anything behind on signals that live long. */

/** Aborts `controller` when `source` does, until the function it returns is called. */
export function follow(source: AbortSignal | undefined, controller: AbortController): () => void {
  if (source === undefined) return () => {};
  const stop = () => controller.abort(source.reason);
  if (source.aborted) stop();
  source.addEventListener("abort", stop, { once: true });
  return () => source.removeEventListener("abort", stop);
}

/** Resolves after `ms`, or at once when the signal aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", done);
    resolve();
  };
  const timer = setTimeout(done, ms);
  signal?.addEventListener("abort", done);
  return promise;
}

/** Waits at most so long for events that are being applied when the listener is told to stop. */
const STOP_GRACE_MS = 900;

/** Resolves with `work`, or throws a moment after the signal aborted, whichever comes first. */
export async function withinGrace<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const { promise: expired, reject } = Promise.withResolvers<never>();
  const onAbort = () => {
    timer = setTimeout(
      () => reject(new Error("still being applied when told to stop")),
      STOP_GRACE_MS,
    );
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, expired]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    clearTimeout(timer);
  }
}
