/** SIGTERM and SIGINT: the first asks the master to stop, the second ends it at once with 130. */
import { EXIT } from "./command.ts";

export interface StopSignal extends Disposable {
  readonly requested: boolean;
  wait(): Promise<void>;
}

export function watchStopSignals(): StopSignal {
  const stopped = Promise.withResolvers<void>();
  let requested = false;
  const onSignal = (): void => {
    if (requested) Deno.exit(EXIT.interrupted);
    requested = true;
    stopped.resolve();
  };
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) Deno.addSignalListener(signal, onSignal);
  return {
    get requested() {
      return requested;
    },
    wait: () => stopped.promise,
    [Symbol.dispose]() {
      for (const signal of signals) Deno.removeSignalListener(signal, onSignal);
    },
  };
}
