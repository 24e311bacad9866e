/** What the chain asks of this master: read, executed once, and answered on chain. */
import type { Logger } from "@logtape/logtape";
import { createChainExecutor } from "../../api/chain_executor.ts";
import type { ReplayDecision, ReplayGate } from "../../api/chain_replay.ts";
import type { StoredResult } from "../../api/chain_results.ts";
import type { ChainListenerView } from "../../api/deps.ts";
import type { K8sService } from "../../api/k8s/service.ts";
import type { WriteBackStatus } from "../../api/result_writer.ts";
import type { Workers } from "../../api/workers.ts";
import type { OpenNode } from "../node/node.ts";
import type { Chain } from "./chain.ts";
import { replayGate } from "./replay_events.ts";
import { openWriteBack } from "./write_back.ts";

export interface ChainRequests extends AsyncDisposable {
  readonly view: ChainListenerView;
  readonly replay: Pick<ReplayGate, "notice">;
  /** Base58: the chain that is followed, once it has answered; undefined where it is another. */
  chainId(): string | undefined;
  /** What became of the requests that carried an id. */
  results(requestId: string): Promise<readonly StoredResult[]>;
  writeBackStatus(): WriteBackStatus;
  /** Counts what waits to be written back, for `writeBackStatus`. */
  countResults(): Promise<void>;
  /** Begins to read and to write back; the function it returns stops both. */
  start(): () => Promise<void>;
}

/**
 * Reads and writes nothing on the network before it is started.
 * @param options.decision as the operator gave it at this start
 * @throws {UsageError} where replaying was decided otherwise before; {StoreError}
 */
export async function openChainRequests(options: {
  readonly node: Pick<OpenNode, "store" | "sealed">;
  readonly chain: Pick<Chain, "ledger" | "reader">;
  readonly k8s: K8sService;
  readonly workers: Workers;
  readonly decision: ReplayDecision | undefined;
  readonly log: Logger;
}): Promise<ChainRequests> {
  const { node: { store, sealed }, chain, k8s, workers, log } = options;
  await using undo = new AsyncDisposableStack();
  const replay = await replayGate(store, options.decision);
  if (replay.notice !== undefined) log.warn(replay.notice);
  const held = replay.isHeld ? replay.notice : undefined;
  const writeBack = undo.use(
    await openWriteBack({ sealed, store, ledger: chain.ledger, held, log }),
  );
  const executor = createChainExecutor({
    store,
    k8s,
    workers,
    clock: Date.now,
    log,
    writeBack: writeBack.isOn,
  });
  const reader = chain.reader(executor, replay);
  const opened = undo.move();
  return {
    view: reader.view,
    replay,
    chainId: () => reader.chainId(),
    results: (requestId) => executor.results(requestId),
    writeBackStatus: () => writeBack.status(),
    countResults: () => writeBack.count(),
    start() {
      const stopReader = reader.start();
      const stopWriteBack = writeBack.start();
      return async () => {
        await Promise.all([stopReader(), stopWriteBack()]);
      };
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}
