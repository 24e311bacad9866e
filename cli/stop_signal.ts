/** SIGTERM and SIGINT: the first asks the master to stop, the second ends it at once with 130. */
import { EXIT } from "./command.ts";

export interface StopSignal extends Disposable {
  readonly requested: boolean;
  wait(): Promise<void>;
  /** Asks the master to stop, as the first signal does. */
  request(): void;
}

export function watchStopSignals(): StopSignal {
  const stopped = Promise.withResolvers<void>();
  let requested = false;
  const request = (): void => {
    requested = true;
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
    wait: () => stopped.promise,
    request,
    [Symbol.dispose]() {
      for (const signal of signals) Deno.removeSignalListener(signal, onSignal);
    },
  };
}
