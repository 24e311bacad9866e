/** Results of chain requests, written back on chain where the master was given a MasterCap. */
import type { Logger } from "@logtape/logtape";
import { signerSeed } from "../../api/result_outbox.ts";
import {
  createResultWriter,
  NO_WRITE_BACK,
  type WriteBackStatus,
} from "../../api/result_writer.ts";
import type { Store } from "../../store/mod.ts";
import { sleep } from "../../sui/abort.ts";
import { parseEndpoint } from "../../sui/endpoint.ts";
import { openGrpcWriter } from "../../sui/grpc_writer.ts";
import type { Ledger } from "../../sui/ledger.ts";
import { createResultSigner } from "../../sui/result_signer.ts";
import { systemRandom } from "../random.ts";
import type { SealedConfig } from "../node/sealed_config.ts";

export interface WriteBack extends AsyncDisposable {
  /** Whether results are to be put into the outbox. */
  readonly isOn: boolean;
  status(): WriteBackStatus;
  /** Counts what waits, for `status`. */
  count(): Promise<void>;
  /** Begins to write; the function it returns stops it. */
  start(): () => Promise<void>;
}

/**
 * Opens nothing on the network. Transactions go to the first gRPC endpoint, reads to all.
 *
 * @param options.held why nothing may be written before the next start; undefined: it may
 */
export async function openWriteBack(options: {
  readonly sealed: SealedConfig;
  readonly store: Store;
  readonly ledger: Ledger | undefined;
  readonly held: string | undefined;
  readonly log: Logger;
}): Promise<WriteBack> {
  const { sealed, store, ledger, held, log } = options;
  const { suiMasterCap, contractAddress, suiRegistry, suiEndpoints } = sealed;
  if (suiMasterCap === null) return off(NO_WRITE_BACK.detail);
  if (ledger === undefined || contractAddress === null || suiRegistry === null) {
    return off("a MasterCap needs CONTRACT_ADDRESS, SUI_RPC_ENDPOINT and NAUTILUS_SUI_REGISTRY");
  }
  const fullNode = suiEndpoints.map(parseEndpoint).find(({ protocol }) => protocol === "grpc");
  if (fullNode === undefined) {
    return off("writing back needs a gRPC endpoint in SUI_RPC_ENDPOINT: GraphQL is only read");
  }
  const writer = await openGrpcWriter({ endpoint: fullNode.url });
  const signer = await createResultSigner({
    ledger,
    writer,
    packageId: contractAddress,
    registryId: suiRegistry,
    masterCapId: suiMasterCap,
    gasBudgetMist: BigInt(sealed.suiGasBudgetMist),
    seed: await signerSeed(store, systemRandom),
  });
  log.info("results are written back on chain", { signer: signer.address });
  const results = createResultWriter({
    store,
    signer,
    writer,
    clock: Date.now,
    log,
    held: () => held,
    sleep,
  });
  return {
    isOn: true,
    status: () => results.status(),
    count: () => results.count(),
    start() {
      const stop = new AbortController();
      const running = results.run(stop.signal);
      return async () => {
        stop.abort();
        await running;
      };
    },
    [Symbol.asyncDispose]: () => writer[Symbol.asyncDispose](),
  };
}

function off(detail: string): WriteBack {
  return {
    isOn: false,
    status: () => ({ ...NO_WRITE_BACK, detail }),
    count: () => Promise.resolve(),
    start: () => () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
