/** The HTTP API over the parts of this master: what each of its dependencies is here. */
import type { Tracer } from "@opentelemetry/api";
import type { Logger } from "@logtape/logtape";
import type { Admissions } from "../../api/admissions.ts";
import { type App, createApp } from "../../api/app.ts";
import { DEFAULT_LIMITS, type RollbackProtection } from "../../api/deps.ts";
import type { EtcdAuthority } from "../../api/etcd/mod.ts";
import type { K8sService } from "../../api/k8s/service.ts";
import type { Workers } from "../../api/workers.ts";
import type { VerifyServiceDeps } from "../../backends/verify_request.ts";
import type { Store } from "../../store/mod.ts";
import { VERSION } from "../../version.ts";
import type { OpenNode } from "../node/node.ts";
import { systemRandom } from "../random.ts";
import type { Administration } from "./administration.ts";
import type { Chain } from "./chain.ts";
import type { ChainRequests } from "./chain_requests.ts";
import type { UpstreamCluster } from "./kubernetes.ts";

/** Simulated evidence costs some microseconds; there is no scarce hardware to protect. */
const SIMULATION_LIMITS = {
  ...DEFAULT_LIMITS,
  attestations: { perSecond: 5_000, burst: 10_000 },
};

export function createMasterApp(parts: {
  readonly node: Pick<OpenNode, "store" | "tee" | "sealed" | "attestor">;
  readonly chain: Pick<Chain, "trust" | "validator" | "registry">;
  readonly requests: ChainRequests;
  readonly workers: Workers;
  readonly admissions: Admissions | undefined;
  readonly k8s: K8sService;
  readonly cluster: UpstreamCluster;
  readonly administration: Administration;
  readonly etcdAuthority: EtcdAuthority;
  readonly verifier: VerifyServiceDeps | undefined;
  readonly tracer: Tracer | undefined;
  /** `true` from the moment that the process was asked to stop. */
  readonly stopping: () => boolean;
  readonly log: Logger;
}): App {
  const { node: { store, tee, sealed, attestor }, chain, requests, cluster } = parts;
  const { admin, audit, isAdminToken } = parts.administration;
  return createApp({
    version: VERSION,
    log: parts.log,
    clock: Date.now,
    random: systemRandom,
    store,
    tee,
    attestor,
    chain: requests.view,
    chainTrust: chain.trust,
    rollbackProtection: () => rollbackProtection(store),
    admission: chain.validator === undefined ? "not_configured" : "configured",
    registryProblem: () => chain.registry.problem(),
    verifier: parts.verifier,
    workers: parts.workers,
    admissions: parts.admissions,
    k3s: cluster.k3s,
    legacyBearerTokens: sealed.legacyBearerTokens,
    writeBack: () => requests.writeBackStatus(),
    countResults: () => requests.countResults(),
    requestResults: (requestId) => requests.results(requestId),
    k8s: parts.k8s,
    tracer: parts.tracer,
    upstream: cluster.upstream,
    isAdminToken,
    admin,
    audit,
    etcdAuthority: parts.etcdAuthority,
    stopping: parts.stopping,
    limits: tee.kind === "SIMULATION" ? SIMULATION_LIMITS : DEFAULT_LIMITS,
  });
}

function rollbackProtection(store: Store): RollbackProtection {
  const { protection, anchoredSequence } = store.stats().freshness;
  return { level: protection, anchoredSequence };
}
