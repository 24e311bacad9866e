/** `nautilus serve`: the master, from the TEE up to the listener, and down again. */
import { setImmediate } from "node:timers";
import { createAdmissions } from "../api/admissions.ts";
import { createAdmin } from "../api/admin/service.ts";
import { createApp } from "../api/app.ts";
import { openAuditLog } from "../api/audit/mod.ts";
import type { ReplayDecision } from "../api/chain_replay.ts";
import { createChainExecutor } from "../api/chain_executor.ts";
import { DEFAULT_LIMITS, type RollbackProtection } from "../api/deps.ts";
import { createAuthorizer } from "../api/k8s/authorize.ts";
import { createK8sService } from "../api/k8s/service.ts";
import { OffloadingVerifier } from "../api/node_key_verifier.ts";
import { createSessionTokens, createTokenCheck } from "../api/session_tokens.ts";
import { createSignedSessions } from "../api/signed_sessions.ts";
import type { Bytes } from "../backends/mod.ts";
import { openWorkers } from "../api/workers.ts";
import { type Config, ConfigError } from "../config.ts";
import type { Store } from "../store/mod.ts";
import { VERSION } from "../version.ts";
import { openEtcdAuthority } from "../api/etcd/mod.ts";
import { banner } from "./master/banner.ts";
import { type ChainParts, openChain } from "./master/chain.ts";
import { type Command, type CommandIo, EXIT, type ExitCode } from "./command.ts";
import { startHousekeeping } from "./master/housekeeping.ts";
import { startLogging } from "./logging.ts";
import { openK3s } from "./master/k3s.ts";
import { openUpstream } from "./master/k8s_upstream.ts";
import { type Listeners, openListeners } from "./master/listeners.ts";
import { releaseBootMemory } from "./master/memory.ts";
import { type NodeTls, type OpenNode, openNode, systemRandom } from "./node/node.ts";
import { openVerifier } from "./policies.ts";
import { type EtcdListener, openEtcdListener } from "./master/etcd_listener.ts";
import {
  adminKubeconfig,
  type Endpoints,
  formatListen,
  makePrivateDirectory,
  removeFile,
  replaceFile,
  runtimeDirectory,
} from "./runtime_files.ts";
import { REPLAY_HELP, replayDecision, replayGate } from "./master/replay_events.ts";
import { replaceAdminKey } from "./node/sealed_config.ts";
import { connectionBudget, readLimits } from "./master/connection_budget.ts";
import { loadSettings, settingsHelp } from "./settings.ts";
import { createSteps } from "./node/steps.ts";
import { openTracer } from "./master/telemetry.ts";
import { type StopSignal, watchStopSignals } from "./stop_signal.ts";
import { openWorkerAppraiser } from "./worker_policy.ts";
import { openWriteBack } from "./master/write_back.ts";
import type { Logger } from "@logtape/logtape";

const SESSION_TTL_MS = 3_600_000;
const REVALIDATE_AFTER_MS = 60_000;
/** Simulated evidence costs some microseconds; there is no scarce hardware to protect. */
const SIMULATION_LIMITS = {
  ...DEFAULT_LIMITS,
  attestations: { perSecond: 5_000, burst: 10_000 },
};
/** Of the 10 s that stopping may take: the rest is for the chain reader and the log. */
const DRAIN_MS = 7_000;

export const serve: Command = {
  name: "serve",
  summary: "Run the master.",
  usage: [
    "Usage: nautilus serve [--replay-events skip|apply] [SETTINGS]",
    "",
    ...REPLAY_HELP,
    "",
    settingsHelp(),
  ].join("\n"),
  async run(io) {
    const { config, flags } = await loadSettings(io, io.args, { strings: ["replay-events"] });
    const replay = replayDecision(flags.strings["replay-events"]);
    await using logging = await startLogging({
      level: config.logLevel,
      terminal: io.stderrIsTerminal,
      write: io.stderr,
      fields: { node_id: config.nodeId, tee_mode: config.teeMode },
    });
    using stop = watchStopSignals();
    try {
      return await runMaster(io, config, logging.log, stop, replay);
    } catch (error) {
      if (error !== stop.signal.reason) throw error;
      logging.log.info("stopped while it waited for the store's key");
      return EXIT.done;
    }
  },
};

async function runMaster(
  io: CommandIo,
  config: Config,
  bootLog: Logger,
  stop: StopSignal,
  replayEvents: ReplayDecision | undefined,
): Promise<ExitCode> {
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
  const k8s = createK8sService({
    store,
    clock: Date.now,
    random: systemRandom,
    authorizer: createAuthorizer(sealed.grants),
  });
  await using chain = await step(
    "admission",
    () => openChain(sealed, log),
    ({ state }) => ({ state }),
  );
  const sessionSecret = await store.secret("session-token");
  const proof = workerProof(node, chain, sessionSecret);
  using verifier = new OffloadingVerifier({
    spawnWorker: io.spawnWorker,
    soon: setImmediate,
    cores: navigator.hardwareConcurrency,
  });
  const appraiser = await openWorkerAppraiser(sealed, log, Date.now);
  const workers = await openWorkers({
    store,
    proof,
    appraiser,
    verifier,
    nodes: k8s.nodes,
    clock: Date.now,
    sessions: createSessionTokens(sessionSecret, systemRandom),
    validator: chain.validator,
    heartbeatTimeoutMs: config.heartbeatTimeoutSeconds * 1000,
    removeAfterMs: config.removeLostAfterSeconds * 1000,
    sessionTtlMs: SESSION_TTL_MS,
    revalidateAfterMs: REVALIDATE_AFTER_MS,
  });
  await k8s.bootstrap();
  await using writeBack = await openWriteBack(sealed, store, chain.ledger, log);
  const executor = createChainExecutor({
    store,
    k8s,
    workers,
    clock: Date.now,
    log,
    writeBack: writeBack.isOn,
  });
  const replay = await replayGate(store, replayEvents);
  if (replay.notice !== undefined) log.warn(replay.notice);
  const listener = chain.listener(executor, replay);
  const admissions = proof === undefined ? undefined : createAdmissions({
    facts: {
      clusterId: proof.clusterId,
      measurement: tee.measurement,
      identityKey: node.identityKey,
      tlsKey: node.tls?.identity.spki ?? new Uint8Array(0),
    },
    chainId: listener.chainId,
    validator: proof.validator,
    zkLogin: chain.zkLogin,
    workers,
    appraiser,
    clock: Date.now,
    random: systemRandom,
  });
  const audit = await openAuditLog(store, await store.secret("audit"), Date.now);
  const adminSecret = await store.secret("admin-token");
  const admin = createAdmin({
    key: sealed.adminKey ?? undefined,
    async replaceKey(key) {
      const { digest } = await replaceAdminKey(store, key);
      node.setConfigDigest(digest);
      log.info("the admin key was changed", { config_digest: digest.toHex() });
    },
    secret: adminSecret,
    audit,
    clock: Date.now,
    random: systemRandom,
    tls: node.tls?.identity,
  });
  // A token that never ends, for the kubeconfig: only where nothing is protected anyway.
  const adminToken = adminSecret.toHex();
  const isFixedToken = tee.kind === "SIMULATION" ? createTokenCheck(adminToken) : () => false;
  const etcdAuthority = await openEtcdAuthority({
    store,
    clock: Date.now,
    random: systemRandom,
    names: [
      config.nodeId,
      ...(config.etcdListen ? [config.etcdListen.host] : []),
      ...config.tlsNames,
    ],
  });
  const tracer = openTracer(io.env, sealed.telemetryEndpoint);
  using upstream = await step(
    "kubernetes",
    () => openUpstream(store, sealed, config),
    (opened) => ({
      upstream: opened?.origin ?? "embedded",
    }),
  );
  const k3s = await openK3s({
    sealed,
    upstream,
    store,
    workers,
    log,
    clock: Date.now,
    random: systemRandom,
  });
  const app = createApp({
    version: VERSION,
    log,
    clock: Date.now,
    random: systemRandom,
    store,
    tee,
    attestor: node.attestor,
    chain: listener.view,
    chainTrust: chain.trust,
    rollbackProtection: () => rollbackProtection(store),
    admission: chain.validator === undefined ? "not_configured" : "configured",
    verifier: await openVerifier(sealed.policies, Date.now),
    workers,
    admissions,
    k3s,
    legacyBearerTokens: sealed.legacyBearerTokens,
    writeBack: () => writeBack.status(),
    requestResults: (requestId) => executor.results(requestId),
    k8s,
    tracer,
    upstream,
    isAdminToken: (token) => isFixedToken(token) || admin.verify(token) !== undefined,
    admin,
    audit,
    etcdAuthority,
    stopping: () => stop.requested,
    limits: tee.kind === "SIMULATION" ? SIMULATION_LIMITS : DEFAULT_LIMITS,
  });
  const budget = connectionBudget(await readLimits());
  const listeners = await step(
    "api",
    () => openListeners(app, config, node, log, budget.http),
    ({ plain, tls }) => ({ ...(plain && { url: plain.url }), ...(tls && { tls_url: tls.url }) }),
  );
  const runtimeDir = runtimeDirectory(config, io);
  await makePrivateDirectory(runtimeDir);
  const etcd = await step(
    "etcd",
    () =>
      openEtcdListener({
        config,
        node,
        log,
        runtimeDir,
        authority: etcdAuthority,
        maxConnections: budget.etcd,
      }),
    (opened) => ({ addresses: opened?.server.addresses ?? [] }),
  );
  await using _etcd = etcd?.server;
  const files = await writeRuntimeFiles(
    runtimeDir,
    tee.kind === "SIMULATION"
      ? { path: `${config.dataDir}/admin.kubeconfig`, adminToken }
      : undefined,
    listeners,
    node.tls,
    etcd,
  );
  const stopChain = listener.start();
  const stopWriteBack = writeBack.start();
  const stopHousekeeping = startHousekeeping({
    store,
    workers,
    k3s,
    tls: node.tls,
    tlsServer: listeners.tls,
    etcd,
    env: io.env,
    log,
    onStoreFailure: () => stop.request(),
  });
  io.stdout(
    banner({ version: VERSION, config, tee, store, listeners, etcd, chain, replay, files }),
  );
  log.info("ready", { ms: Math.round(Date.now() - io.startedAt) });
  releaseBootMemory(io.env);

  await stop.wait();
  if (store.failure !== undefined) {
    log.fatal("the store failed, nothing more is accepted: {error}", { error: store.failure });
  }
  log.info("stopping: no new connections, open requests are finished", { drain_ms: DRAIN_MS });
  stopHousekeeping();
  const [closed] = await Promise.all([
    Promise.all(listeners.all.map((server) => server.close(DRAIN_MS))),
    stopChain(),
    stopWriteBack(),
    etcd?.server.close(),
  ]);
  await removeFile(files.endpoints);
  if (store.failure !== undefined) throw store.failure;
  log.info("stopped", { connections_cut: closed.reduce((sum, { cut }) => sum + cut, 0) });
  return EXIT.done;
}

/** What admission by proof needs; undefined without a chain, a registry and a cluster id. */
function workerProof(
  { sealed, attestor }: OpenNode,
  { validator }: ChainParts,
  secret: Bytes,
) {
  if (validator === undefined || sealed.clusterId === null) return undefined;
  return {
    validator,
    clusterId: Uint8Array.fromHex(sealed.clusterId),
    signed: createSignedSessions({
      secret,
      issuer: attestor.enclaveId,
      audience: sealed.clusterId,
      random: systemRandom,
    }),
    random: systemRandom,
    readToken: (tokenId: string, nodeId: string) =>
      validator.check(tokenId, nodeId, { fresh: true }),
  };
}

function rollbackProtection(store: Store): RollbackProtection {
  const { protection, anchoredSequence } = store.stats().freshness;
  return { level: protection, anchoredSequence };
}

export interface RuntimeFiles {
  readonly endpoints: string;
  /** The simulation only. */
  readonly kubeconfig: string | undefined;
}

async function writeRuntimeFiles(
  directory: string,
  kubeconfig: { readonly path: string; readonly adminToken: string } | undefined,
  { plain, tls, main }: Listeners,
  nodeTls: NodeTls | undefined,
  etcd: EtcdListener | undefined,
): Promise<RuntimeFiles> {
  const endpoints: Endpoints = {
    pid: Deno.pid,
    url: (plain ?? main).url,
    listen: plain === undefined ? null : formatListen(plain),
    tls_listen: tls === undefined ? null : formatListen(tls),
    etcd_listen: etcd?.address === undefined ? null : formatListen(etcd.address),
  };
  const path = `${directory}/endpoints.json`;
  await replaceFile(path, JSON.stringify(endpoints, null, 2) + "\n");
  if (kubeconfig !== undefined) {
    await replaceFile(
      kubeconfig.path,
      adminKubeconfig({
        server: main.url,
        token: kubeconfig.adminToken,
        certificateAuthority: tls === undefined ? undefined : nodeTls?.identity.caPem,
      }),
    );
  }
  return { endpoints: path, kubeconfig: kubeconfig?.path };
}
