/** The chain as this master sees it: the ledger, and who may join by it. */
import type { Logger } from "@logtape/logtape";
import type { ChainExecutor } from "../../api/chain_executor.ts";
import type { ReplayGate } from "../../api/chain_replay.ts";
import type { ChainTrust } from "../../api/deps.ts";
import { sleep } from "../../sui/abort.ts";
import type { Ledger } from "../../sui/ledger.ts";
import { openEndpoints } from "../../sui/open_endpoint.ts";
import { createQuorumLedger } from "../../sui/quorum_ledger.ts";
import { createSealTokenValidator, type SealTokenValidator } from "../../sui/seal_token.ts";
import { createQuorumZkLogin } from "../../sui/quorum_zk_login.ts";
import type { ZkLoginVerifier } from "../../sui/wallet_signature.ts";
import type { SealedConfig } from "../node/sealed_config.ts";
import { type ChainReader, createChainReader, noChainReader } from "./chain_reader.ts";
import { createRegistryWatch, NO_REGISTRY_WATCH, type RegistryWatch } from "./registry_watch.ts";

export interface Chain extends AsyncDisposable {
  /** One sentence for people. */
  readonly state: string;
  readonly validator: SealTokenValidator | undefined;
  /** Whether the registry that admits workers is one; reads nothing before it is started. */
  readonly registry: RegistryWatch;
  /** Undefined where zkLogin wallets are not accepted. */
  readonly zkLogin: ZkLoginVerifier | undefined;
  readonly trust: ChainTrust;
  /** Undefined without a chain. */
  readonly ledger: Ledger | undefined;
  /** Made once; reads nothing before it is started. */
  reader(executor: ChainExecutor, replay: ReplayGate): ChainReader;
}

/**
 * Opens nothing on the network: an endpoint that is down shows in `/health`, not here. Several
 * endpoints must give the same answers, or there is none.
 */
export async function openChain(sealed: SealedConfig, log: Logger): Promise<Chain> {
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
  const ledgers = await openEndpoints(suiEndpoints, pinned);
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
    registry: validator === undefined ? NO_REGISTRY_WATCH : createRegistryWatch({
      check: (signal) => validator.checkRegistry(signal),
      sleep,
      log,
    }),
    trust: others.length === 0 ? "single" : "quorum",
    reader: (executor, replay) =>
      createChainReader({
        ledger,
        endpoints: ledgers,
        packageId: contractAddress,
        chainId: sealed.suiChainId ?? undefined,
        maxChainAgeMs,
        validator,
        executor,
        replay,
        log,
      }),
    [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose](),
  };
}

function withoutChain(why: string): Chain {
  return {
    state: `no chain: ${why}`,
    validator: undefined,
    registry: NO_REGISTRY_WATCH,
    ledger: undefined,
    zkLogin: undefined,
    trust: "none",
    reader: () => noChainReader(why),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
