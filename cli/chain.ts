/** The chain's half of the master: validator and reader where a contract and an endpoint are set. */
import type { Logger } from "@logtape/logtape";
import type { ChainExecutor } from "../api/chain_executor.ts";
import type { ChainListenerView, ChainTrust } from "../api/deps.ts";
import { ConfigError } from "../config.ts";
import { createChainListener } from "../sui/events.ts";
import { openGrpcLedger } from "../sui/grpc_ledger.ts";
import { createSealTokenValidator } from "../sui/seal_token.ts";
import type { TokenValidator } from "../sui/seal_token_types.ts";
import type { SealedConfig } from "./sealed_config.ts";

export interface ChainParts extends AsyncDisposable {
  /** One sentence for people. */
  readonly state: string;
  readonly validator: TokenValidator | undefined;
  readonly trust: ChainTrust;
  listener(executor: ChainExecutor): {
    readonly view: ChainListenerView;
    /** Begins to read; the function it returns stops it. */
    start(): () => Promise<void>;
  };
}

/**
 * Opens nothing on the network: an endpoint that is down shows in `/health`, not here.
 * @throws {ConfigError} when only a part of the chain is configured.
 */
export async function openChain(sealed: SealedConfig, log: Logger): Promise<ChainParts> {
  const { contractAddress, suiEndpoints, suiRegistry } = sealed;
  const [endpoint] = suiEndpoints;
  if (contractAddress === null || endpoint === undefined) {
    return withoutChain(
      contractAddress === null ? "CONTRACT_ADDRESS is not set" : "SUI_RPC_ENDPOINT is not set",
    );
  }
  if (suiEndpoints.length > 1) {
    throw new ConfigError(
      "SUI_RPC_ENDPOINT: this release follows one endpoint; several would promise a quorum",
    );
  }
  if (sealed.legacyBearerTokens) {
    log.warn("bearer Seal tokens are accepted: their ids are public, anybody can present one");
  }
  const ledger = await openGrpcLedger({ endpoint });
  const validator = suiRegistry === null ? undefined : createSealTokenValidator({
    ledger,
    packageId: contractAddress,
    registryId: suiRegistry,
    minimumStakeMist: BigInt(sealed.minimumStakeMist),
    clock: Date.now,
    allowLegacyBearer: sealed.legacyBearerTokens,
    ...(sealed.clusterId === null ? {} : { clusterId: Uint8Array.fromHex(sealed.clusterId) }),
  });
  return {
    state: validator === undefined
      ? `events from ${endpoint}; nobody is admitted, NAUTILUS_SUI_REGISTRY is not set`
      : `events and admission from ${endpoint}`,
    validator,
    trust: "single",
    listener(executor) {
      const reader = createChainListener({
        ledger,
        packageId: contractAddress,
        cursorStore: executor.cursorStore,
        apply: async (delivery) => {
          await executor.apply(delivery);
        },
        clock: Date.now,
        log: {
          state: ({ state, detail }) => log.info(`chain reader ${state}`, { detail }),
          passedOver: ({ dedupeKey, event }) =>
            log.warn("a chain event is passed over", { event: dedupeKey, kind: event.kind }),
          failed: (error, retryInMs) =>
            log.warn("chain reader: a failure, tried again", { retry_in_ms: retryInMs, error }),
        },
      });
      return {
        view: reader,
        start() {
          const stop = new AbortController();
          const running = reader.run(stop.signal);
          return async () => {
            stop.abort();
            await running;
          };
        },
      };
    },
    [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose](),
  };
}

function withoutChain(why: string): ChainParts {
  const view: ChainListenerView = {
    status: () => ({
      state: "disabled",
      detail: why,
      cursor: undefined,
      lastEventAt: undefined,
      eventsApplied: 0,
    }),
    wake: () => {},
  };
  return {
    state: `no chain: ${why}`,
    validator: undefined,
    trust: "none",
    listener: () => ({ view, start: () => () => Promise.resolve() }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
