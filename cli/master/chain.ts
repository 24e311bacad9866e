/** The chain's half of the master: validator and reader where a contract and an endpoint are set. */
import type { Logger } from "@logtape/logtape";
import type { ChainExecutor } from "../../api/chain_executor.ts";
import type { ReplayGate } from "../../api/chain_replay.ts";
import type { ChainListenerView, ChainTrust } from "../../api/deps.ts";
import { type ChainDelivery, createChainListener, EVENTS_IN_FLIGHT } from "../../sui/events.ts";
import { openGrpcLedger } from "../../sui/grpc_ledger.ts";
import type { Ledger } from "../../sui/ledger.ts";
import { createQuorumLedger } from "../../sui/quorum_ledger.ts";
import { createSealTokenValidator, type SealTokenValidator } from "../../sui/seal_token.ts";
import { createQuorumZkLogin } from "../../sui/quorum_zk_login.ts";
import type { ZkLoginVerifier } from "../../sui/wallet_signature.ts";
import type { SealedConfig } from "../node/sealed_config.ts";

const FORGET_INTERVAL_MS = 60_000;

export interface ChainParts extends AsyncDisposable {
  /** One sentence for people. */
  readonly state: string;
  readonly validator: SealTokenValidator | undefined;
  /** Undefined where zkLogin wallets are not accepted. */
  readonly zkLogin: ZkLoginVerifier | undefined;
  readonly trust: ChainTrust;
  /** Undefined without a chain. */
  readonly ledger: Ledger | undefined;
  listener(executor: ChainExecutor, replay: ReplayGate): {
    readonly view: ChainListenerView;
    /** Base58: the chain that is followed, once it has answered; undefined where it is another. */
    chainId(): string | undefined;
    /** Begins to read; the function it returns stops it. */
    start(): () => Promise<void>;
  };
}

/**
 * Opens nothing on the network: an endpoint that is down shows in `/health`, not here. Several
 * endpoints must give the same answers, or there is none.
 */
export async function openChain(sealed: SealedConfig, log: Logger): Promise<ChainParts> {
  const { contractAddress, suiEndpoints, suiRegistry } = sealed;
  if (contractAddress === null || suiEndpoints.length === 0) {
    return withoutChain(
      contractAddress === null ? "CONTRACT_ADDRESS is not set" : "SUI_RPC_ENDPOINT is not set",
    );
  }
  if (sealed.legacyBearerTokens) {
    log.warn("bearer Seal tokens are accepted: their ids are public, anybody can present one");
  }
  if (sealed.suiChainId === null) {
    log.warn("NAUTILUS_SUI_CHAIN_ID is not set: the chain of the first answer is believed");
  }
  const pinned = sealed.suiChainId === null ? {} : { chainId: sealed.suiChainId };
  const maxChainAgeMs = sealed.maxChainAgeSeconds * 1000;
  const ledgers = await Promise.all(
    suiEndpoints.map((endpoint) => openGrpcLedger({ endpoint, ...pinned })),
  );
  const [only, ...others] = ledgers;
  const ledger: Ledger = only !== undefined && others.length === 0
    ? only
    : createQuorumLedger({ ledgers });
  const from = suiEndpoints.join(" and ");
  const validator = suiRegistry === null ? undefined : createSealTokenValidator({
    ledger,
    packageId: contractAddress,
    registryId: suiRegistry,
    minimumStakeMist: BigInt(sealed.minimumStakeMist),
    clock: Date.now,
    maxChainAgeMs,
    allowLegacyBearer: sealed.legacyBearerTokens,
    ...(sealed.clusterId === null ? {} : { clusterId: Uint8Array.fromHex(sealed.clusterId) }),
  });
  const judges = ledgers.map(({ zkLogin }) => zkLogin);
  const [judge] = judges;
  const zkLogin = judges.length > 1 ? createQuorumZkLogin(judges) : judge;
  return {
    ledger,
    zkLogin: sealed.acceptZkLogin ? zkLogin : undefined,
    state: validator === undefined
      ? `events from ${from}; nobody is admitted, NAUTILUS_SUI_REGISTRY is not set`
      : `events and admission from ${from}`,
    validator,
    trust: others.length === 0 ? "single" : "quorum",
    listener(executor, replay) {
      const reader = createChainListener({
        ledger: telling(ledger, replay),
        packageId: contractAddress,
        cursorStore: executor.cursorStore,
        apply: async (delivery) => {
          if (validator !== undefined) forgetDecisions(validator, delivery);
          await executor.apply(delivery, replay.admit(delivery) === "skip");
        },
        clock: Date.now,
        ...pinned,
        maxChainAgeMs,
        maxInFlight: EVENTS_IN_FLIGHT,
        pageSize: 500,
        // Whoever is slashed is out within a second, without anybody's hint.
        pollIntervalMs: 500,
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
        chainId: () => {
          const { state, chainId } = reader.status();
          return state === "stopped" ? undefined : chainId;
        },
        start() {
          const stop = new AbortController();
          const running = reader.run(stop.signal);
          const forgetting = setInterval(() => {
            executor.forget().catch((error: unknown) =>
              log.error("old results of chain events could not be forgotten: {error}", { error })
            );
          }, FORGET_INTERVAL_MS);
          return async () => {
            clearInterval(forgetting);
            stop.abort();
            await running;
          };
        },
      };
    },
    [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose](),
  };
}

/** The reader asks where the chain stands before it reads events: the gate hears it first. */
function telling(ledger: Ledger, replay: ReplayGate): Ledger {
  return {
    async status(signal) {
      const status = await ledger.status(signal);
      await replay.reached(status.checkpoint);
      return status;
    },
    getObject: (...args) => ledger.getObject(...args),
    getDynamicField: (...args) => ledger.getDynamicField(...args),
    events: (...args) => ledger.events(...args),
    [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose](),
  };
}

/** A cached yes must not outlive the event that takes it back. */
function forgetDecisions(
  validator: SealTokenValidator,
  { event, checkpoint }: ChainDelivery,
): void {
  if (event.kind === "seal_token_revoked") validator.invalidate(event.tokenId, checkpoint);
  if (event.kind === "worker_status_changed") validator.invalidateNode(event.nodeId, checkpoint);
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
    ledger: undefined,
    zkLogin: undefined,
    trust: "none",
    listener: () => ({ view, chainId: () => undefined, start: () => () => Promise.resolve() }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
