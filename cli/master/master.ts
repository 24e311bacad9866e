/**
 * The master, part upon part in the order of its boot. Each part is given what it stands on and owns
 * what it opened; the last one opened is the first one closed, also where a boot ends half-way.
 */
import type { Logger } from "@logtape/logtape";
import type { ReplayDecision } from "../../api/chain_replay.ts";
import { type Config, ConfigError } from "../../config.ts";
import { VERSION } from "../../version.ts";
import type { CommandIo } from "../command.ts";
import { openNode } from "../node/node.ts";
import { createSteps } from "../node/steps.ts";
import { openVerifier } from "../node/policies.ts";
import type { StopSignal } from "../stop_signal.ts";
import { openAdministration } from "./administration.ts";
import { openAdmission } from "./admission.ts";
import { createMasterApp } from "./app.ts";
import { banner } from "./banner.ts";
import { openChain } from "./chain.ts";
import { openChainRequests } from "./chain_requests.ts";
import { drain } from "./drain.ts";
import { openMasterAuthority } from "./etcd_listener.ts";
import { openFront } from "./front.ts";
import { startHousekeeping } from "./housekeeping.ts";
import { createOwnKubernetes, openUpstreamCluster } from "./kubernetes.ts";
import { releaseBootMemory } from "./memory.ts";
import { openTracer } from "./telemetry.ts";

export interface MasterOptions {
  readonly io: CommandIo;
  readonly config: Config;
  readonly bootLog: Logger;
  readonly stop: StopSignal;
  /** What becomes of the chain's requests after a restore, where the operator says so now. */
  readonly replayEvents: ReplayDecision | undefined;
}

/**
 * Boots, serves until it is asked to stop, and drains.
 * @throws {ConfigError | UsageError | BootError}; the reason of `stop.signal` where it came while the
 *   store's key was waited for; what the store failed with
 */
export async function runMaster(options: MasterOptions): Promise<void> {
  const { io, config, bootLog, stop, replayEvents } = options;
  const step = createSteps(
    bootLog,
    () => performance.now(),
    (error) => error instanceof ConfigError,
  );
  await using node = await openNode({
    config,
    log: bootLog,
    step,
    spawnWorker: io.spawnWorker,
    hardware: io.hardware,
    stopped: stop.signal,
    measuring: io.measuring,
    mode: "create-or-open",
  });
  const { store, sealed, tee } = node;
  const log = bootLog.with({ tee_type: tee.kind });
  if (tee.kind === "SIMULATION") {
    log.warn("simulation: nothing here is protected; a production policy refuses this node");
  }

  const k8s = createOwnKubernetes(node);
  await using chain = await step(
    "admission",
    () => openChain(sealed, log),
    ({ state }) => ({ state }),
  );
  using admission = await openAdmission({
    node,
    chain,
    nodes: k8s.nodes,
    config,
    spawnWorker: io.spawnWorker,
    log,
  });
  const { workers } = admission;
  await k8s.bootstrap();
  await using requests = await openChainRequests({
    node,
    chain,
    k8s,
    workers,
    decision: replayEvents,
    log,
  });
  const administration = await openAdministration(node, log);
  const etcdAuthority = await openMasterAuthority(store, config);
  const tracer = openTracer(io.env, sealed.telemetryEndpoint);
  using cluster = await openUpstreamCluster({ step, node, workers, config, log });

  const app = createMasterApp({
    node,
    chain,
    requests,
    workers,
    admissions: admission.byProof(requests.chainId),
    k8s,
    cluster,
    administration,
    etcdAuthority,
    verifier: await openVerifier(sealed.policies, Date.now),
    tracer,
    stopping: () => stop.requested,
    log,
  });
  await using front = await openFront({
    step,
    app,
    config,
    node,
    authority: etcdAuthority,
    adminToken: administration.fixedToken,
    isProxy: cluster.upstream !== undefined,
    host: io,
    log,
  });
  await using work = new AsyncDisposableStack();
  work.defer(requests.start());
  work.defer(chain.registry.start());
  work.defer(startHousekeeping({
    store,
    workers,
    k3s: cluster.k3s,
    tls: node.tls,
    tlsServer: front.listeners.tls,
    etcd: front.etcd,
    env: io.env,
    log,
    onStoreFailure: () => stop.request(),
  }));
  io.stdout(
    banner({ version: VERSION, config, tee, store, front, chain, replay: requests.replay }),
  );
  log.info("ready", { ms: Math.round(Date.now() - io.startedAt) });
  releaseBootMemory(io.env);

  await stop.wait();
  await drain({ front, work, store, log });
}
