/**
 * Wakes whoever reads events when a node makes a new checkpoint known. What it says is not believed,
 * nor that it says anything: reading goes by the cursor and by the clock as without this. So a
 * subscription that cannot be had costs promptness and nothing else.
 */
import { follow, sleep } from "./abort.ts";
import { type ChainClient, SubscriptionUnsupported } from "./chain_client.ts";
import { LedgerUnavailable } from "./ledger.ts";

export interface CheckpointWatchLog {
  /** Checkpoints of an endpoint arrive. @param standing endpoints whose do */
  stands?(standing: number, endpoints: number): void;
  /** They do not any more, or do not yet; said again only after they did. */
  broken?(error: unknown, retryInMs: number): void;
  /** This endpoint has no subscription; said once. */
  unsupported?(error: SubscriptionUnsupported): void;
}

export interface CheckpointWatchOptions {
  /** Those without `checkpoints` are left out. */
  readonly endpoints: readonly Pick<ChainClient, "checkpoints">[];
  /** Cheap and harmless however often it is called; must not throw. */
  readonly wake: () => void;
  /** Milliseconds. */
  readonly clock: () => number;
  readonly log?: CheckpointWatchLog;
  /** After failures: doubled from `initialMs` to `maxMs`. Default 500 and 30000. */
  readonly backoff?: { readonly initialMs: number; readonly maxMs: number };
  /** A stream that says nothing for so long is given up. Default 10000: a chain makes several a second. */
  readonly silentAfterMs?: number;
  /** Before a node without subscription is asked again: it may have been renewed. Default 600000. */
  readonly unsupportedRetryMs?: number;
  /** Resolves after `ms` or when the signal aborts; never rejects. Default: a timer. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

export interface CheckpointWatch {
  /** Endpoints whose checkpoints arrive now. */
  standing(): number;
  /** Resolves when the signal aborted and every stream has ended. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

type Source = NonNullable<ChainClient["checkpoints"]>;

export function createCheckpointWatch(options: CheckpointWatchOptions): CheckpointWatch {
  const sources = options.endpoints.flatMap((endpoint): Source[] =>
    endpoint.checkpoints === undefined ? [] : [endpoint.checkpoints.bind(endpoint)]
  );
  const { initialMs, maxMs } = options.backoff ?? { initialMs: 500, maxMs: 30_000 };
  const { clock, log, silentAfterMs = 10_000, unsupportedRetryMs = 600_000 } = options;
  const pause = options.sleep ?? sleep;
  let standing = 0;

  /** One stream from its beginning to its end. @returns why it ended */
  async function listen(
    source: Source,
    onFirst: () => void,
    signal: AbortSignal,
  ): Promise<unknown> {
    const stream = new AbortController();
    const unlink = follow(signal, stream);
    let quiet = new AbortController();
    const expectMore = () => {
      quiet.abort();
      const mine = quiet = new AbortController();
      pause(silentAfterMs, mine.signal).then(() => {
        if (!mine.signal.aborted) {
          stream.abort(new LedgerUnavailable(`no checkpoint within ${silentAfterMs} ms`));
        }
      });
    };
    let stands = false;
    expectMore();
    try {
      for await (const _ of source(stream.signal)) {
        expectMore();
        if (!stands) {
          standing++;
          stands = true;
          onFirst();
        }
        options.wake();
      }
      return new LedgerUnavailable("the subscription ended");
    } catch (error) {
      return error;
    } finally {
      if (stands) standing--;
      quiet.abort();
      unlink();
      stream.abort();
    }
  }

  async function keep(source: Source, signal: AbortSignal): Promise<void> {
    let failures = 0;
    let said: "nothing" | "stands" | "broken" | "unsupported" = "nothing";
    while (!signal.aborted) {
      let stoodSinceMs: number | undefined;
      const error = await listen(source, () => {
        stoodSinceMs = clock();
        if (said !== "stands") log?.stands?.(standing, options.endpoints.length);
        said = "stands";
      }, signal);
      if (signal.aborted) return;
      if (error instanceof SubscriptionUnsupported) {
        if (said !== "unsupported") log?.unsupported?.(error);
        said = "unsupported";
        await pause(unsupportedRetryMs, signal);
        continue;
      }
      // One that says a word and breaks off, again and again, is asked ever more seldom.
      if (stoodSinceMs !== undefined && clock() - stoodSinceMs >= maxMs) failures = 0;
      const retryInMs = Math.min(maxMs, initialMs * 2 ** Math.min(failures, 20));
      failures++;
      if (said !== "broken") log?.broken?.(error, retryInMs);
      said = "broken";
      await pause(retryInMs, signal);
    }
  }

  return {
    standing: () => standing,
    run: async (signal) => {
      await Promise.all(sources.map((source) => keep(source, signal)));
    },
  };
}
