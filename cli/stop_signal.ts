/** SIGTERM and SIGINT: the first asks a command to stop, the second ends it at once with 130. */
import { EXIT } from "./command.ts";

export interface StopSignal extends Disposable {
  readonly requested: boolean;
  /** Aborted by the first signal. */
  readonly signal: AbortSignal;
  wait(): Promise<void>;
  /** Waits that long at the most; true as soon as the stop was asked for. */
  within(ms: number): Promise<boolean>;
  /** Asks to stop, as the first signal does. */
  request(): void;
}

export function watchStopSignals(): StopSignal {
  const stopped = Promise.withResolvers<void>();
  const controller = new AbortController();
  let requested = false;
  const request = (): void => {
    requested = true;
    controller.abort(new Error("asked to stop"));
    stopped.resolve();
  };
  const onSignal = (): void => {
    if (requested) Deno.exit(EXIT.interrupted);
    request();
  };
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) Deno.addSignalListener(signal, onSignal);
  return {
    get requested() {
      return requested;
    },
    signal: controller.signal,
    wait: () => stopped.promise,
    async within(ms) {
      const waited = Promise.withResolvers<void>();
      const timer = setTimeout(waited.resolve, ms);
      await Promise.race([stopped.promise, waited.promise]);
      clearTimeout(timer);
      return requested;
    },
    request,
    [Symbol.dispose]() {
      for (const signal of signals) Deno.removeSignalListener(signal, onSignal);
    },
  };
}
