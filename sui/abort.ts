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
