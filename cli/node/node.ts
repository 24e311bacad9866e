/** A node opened: TEE, store, sealed configuration, identity. What `serve` and `attest` share. */
import { createNodeAttestor, nodeIdentity } from "../../api/node_attestor.ts";
import type { NodeAttestor, TeeFacts } from "../../api/deps.ts";
import {
  BackendError,
  type BackendFactory,
  type Bytes,
  type TeeBackend,
} from "../../backends/mod.ts";
import {
  type IssuedCertificate,
  openTlsIdentity,
  type TlsIdentity,
} from "../../api/tls/identity.ts";
import { type Config, ConfigError } from "../../config.ts";
import type { ListenAddress } from "../../config_values.ts";
import {
  acquireDataDirLock,
  type AnchorOptions,
  type DurableLog,
  fileAnchor,
  openSqliteLog,
  openStore,
  selectAead,
  type Store,
  StoreError,
} from "../../store/mod.ts";
import { readRecoveryPublicKeys, requireRecoveryChoice } from "../recovery_keys.ts";
import { finishRestore, isRestoreReady } from "./restore_swap.ts";
import { makePrivateDirectory } from "../runtime_files.ts";
import { reconcileConfig, requireAdminKey, type SealedConfig } from "./sealed_config.ts";
import type { Step } from "./steps.ts";
import {
  openHardware,
  requireSealing,
  sealingOf,
  selectTee,
  systemRandom,
  type TeeOptions,
} from "./tee.ts";
import { awaitStoreKey, type RecoveredKey } from "./unlock.ts";

export { systemRandom } from "./tee.ts";

export interface OpenNode extends AsyncDisposable {
  readonly tee: TeeFacts;
  readonly store: Store;
  readonly sealed: SealedConfig;
  /** Digest of the configuration that evidence binds from now on. */
  setConfigDigest(digest: Bytes): void;
  readonly attestor: NodeAttestor;
  /** SPKI of the key that signs the attestation. */
  readonly identityKey: Bytes;
  /** Undefined where the TLS listener is off. */
  readonly tls: NodeTls | undefined;
}

/** The node's TLS key and the certificate of the day, which the attestation shows. */
export interface NodeTls {
  readonly identity: TlsIdentity;
  current: IssuedCertificate;
}

export interface OpenNodeOptions extends TeeOptions {
  readonly step: Step;
  /** `open` refuses where there is no store; `read-only` also changes nothing in it. */
  readonly mode: "create-or-open" | "open" | "read-only";
  /** Recovery begins: the store is another TEE's, and the simulation makes a device of its own. */
  readonly newDevice?: boolean;
  /** Ends the waiting for a store's key, where the TEE has no sealing key. */
  readonly stopped?: AbortSignal;
}

const REATTEST_AFTER_MS = 3_600_000;

/** The master's file in the data directory. */
export function storePath(config: Config): string {
  return `${config.dataDir}/store.sqlite`;
}

/** The TEE and the still closed store of a data directory that nobody else holds. */
export interface OpenHost extends AsyncDisposable {
  readonly tee: TeeBackend;
  readonly log: DurableLog;
}

/** The TEE and the store of a data directory that nobody else holds. */
export interface OpenData extends AsyncDisposable {
  readonly tee: TeeBackend;
  readonly store: Store;
}

/**
 * Takes the lock and opens the TEE. What was opened is closed again when a later step fails.
 * @throws {ConfigError | BootError}
 */
export async function openHost(options: OpenNodeOptions): Promise<OpenHost> {
  const { config, step } = options;
  await using undo = new AsyncDisposableStack();
  // Asked before anything is made: where there is no TEE, nothing is left behind.
  const factory = await step("detect", () => selectTee(options), ({ kind }) => ({ kind }));
  if (options.mode === "create-or-open") refuseWithoutDisk(factory);
  await step("data directory", async () => {
    if (options.mode === "create-or-open") await makePrivateDirectory(config.dataDir);
    else await refuseWithoutStore(config);
    undo.use(await acquireDataDirLock(config.dataDir));
    await finishRestore(config.dataDir, config.anchorFile, Date.now());
  }, () => ({ path: config.dataDir }));
  // Its Worker starts while the TEE is opened; nothing is read before the store asks.
  const log = openSqliteLog({ path: storePath(config), spawnWorker: options.spawnWorker });
  undo.use(log);
  const tee = undo.use(
    await step("tee", () => openTee(factory, options), ({ kind, covers }) => ({ kind, covers })),
  );
  const opened = undo.move();
  return { tee, log, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() };
}

/**
 * Opens TEE and store. What was opened is closed again when a later step fails.
 * @param recoveredKek the KEK of a store whose TEE is gone, where it comes back on this one
 * @throws {ConfigError | BootError}
 */
export async function openData(
  options: OpenNodeOptions,
  recoveredKek?: (host: OpenHost) => Promise<RecoveredKey>,
): Promise<OpenData> {
  const { config, step } = options;
  await using undo = new AsyncDisposableStack();
  const host = undo.use(await openHost(options));
  const { tee, log } = host;
  const known = await exists(storePath(config));
  if (tee.kind !== "SIMULATION" && !known) requireAdminKey(config);
  const key = await recoveredKek?.(host) ??
    (known && tee.sealer === undefined ? await unlock(host, options) : undefined);
  const store = undo.use(
    await step("store", () => openSealedStore(options, tee, log, key), (opened) => ({
      store_id: opened.storeId.toHex(),
      sequence: opened.head().sequence.toString(),
    })).finally(() => key?.kek.fill(0)),
  );
  for (const name of store.stats().freshness.acceptedLost) {
    options.log.warn(
      "LOST ANCHOR ACCEPTED: {name} is gone; if this is an older copy of the store, nothing tells",
      { name },
    );
  }
  const opened = undo.move();
  return {
    tee,
    store,
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

/**
 * Opens the node, up to its first evidence.
 * @throws {ConfigError | BootError}
 */
export async function openNode(options: OpenNodeOptions): Promise<OpenNode> {
  const { config, log, step } = options;
  await using undo = new AsyncDisposableStack();
  const { tee, store } = undo.use(await openData(options));
  let configDigest: Bytes;
  const { sealed, digest, changed } = await step(
    "configuration",
    () => reconcileConfig(store, config, tee.kind === "SIMULATION"),
    (result) => ({ digest: result.digest.toHex() }),
  );
  configDigest = digest;
  if (changed) log.info("configuration sealed", { config_digest: digest.toHex() });
  const tls = config.tlsListen === undefined
    ? undefined
    : await step("tls", () => openTls(config, config.tlsListen, store), ({ current }) => ({
      certificate_ends: new Date(current.notAfterMs).toISOString(),
    }));
  // Last: the simulation hashes the program meanwhile, off this thread.
  const measurement = await step("measurement", () => tee.measurement(), (value) => ({
    measurement: value.toHex(),
  }));
  const facts: TeeFacts = {
    kind: tee.kind,
    securityLevel: tee.securityLevel,
    covers: tee.covers,
    measurement,
    sealPolicies: tee.sealer?.policies,
    attests: tee.attester !== undefined,
  };
  const identity = nodeIdentity(await store.secret("identity"));
  const attestor = await step("attestation", async () => {
    if (tee.attester === undefined) {
      throw new BackendError("unavailable", `${tee.kind} gives no evidence`, { kind: tee.kind });
    }
    const made = createNodeAttestor({
      tee: facts,
      attester: tee.attester,
      identity,
      tls: tls === undefined
        ? undefined
        : { spki: tls.identity.spki, certificate: () => tls.current.certificate },
      configDigest: () => configDigest,
      storeId: store.storeId,
      incarnation: store.incarnation,
      bootId: systemRandom(16),
      storeHead: () => store.head(),
      successors: () =>
        store.keyStatus().wraps.flatMap((wrap) =>
          wrap.type === "successor" ? [wrap.measurement] : []
        ),
      clock: Date.now,
      reattestAfterMs: REATTEST_AFTER_MS,
    });
    await made.attestation(undefined);
    return made;
  }, ({ enclaveId }) => ({ enclave_id: enclaveId }));
  const opened = undo.move();
  return {
    tee: facts,
    store,
    sealed,
    setConfigDigest(next) {
      configDigest = next;
    },
    attestor,
    identityKey: identity.spki,
    tls,
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

async function openTls(
  config: Config,
  listen: ListenAddress | undefined,
  store: Store,
): Promise<NodeTls> {
  const identity = await openTlsIdentity({
    store,
    clock: Date.now,
    random: systemRandom,
    names: [...new Set([config.nodeId, ...(listen ? [listen.host] : []), ...config.tlsNames])],
  });
  return { identity, current: identity.issue() };
}

/** @throws {BackendError} `unavailable` where a TEE has no place for a store */
function refuseWithoutDisk({ kind }: BackendFactory): void {
  if (kind !== "NITRO") return;
  throw new BackendError(
    "unavailable",
    "a Nitro enclave has no disk, no network and no sealing key: a master cannot run in it",
    {
      kind,
      hint: "it would need a store and a network over vsock from the parent instance, and a key " +
        "broker such as KMS; `nautilus detect` works here",
    },
  );
}

/** Looking for a store makes nothing: a mistyped directory stays as it was. */
async function refuseWithoutStore(config: Config): Promise<void> {
  if (await exists(storePath(config)) || await isRestoreReady(config.dataDir)) return;
  throw new StoreError("keyring_missing", `there is no store in ${config.dataDir}`, {
    hint: "set --data-dir to the data directory of a master; `nautilus serve` makes a new one",
  });
}

function openTee(factory: BackendFactory, options: OpenNodeOptions): Promise<TeeBackend> {
  const { config, newDevice } = options;
  if (factory.kind !== "SIMULATION") return openHardware(factory, options);
  return exists(storePath(config)).then((known) =>
    factory.open({ dataDir: config.dataDir, create: newDevice === true || !known })
  );
}

/** Where the TEE has no sealing key: the operator's recovery key opens what is there. */
async function unlock(host: OpenHost, options: OpenNodeOptions): Promise<RecoveredKey | undefined> {
  const { config, log, stopped, mode } = options;
  if (mode !== "create-or-open") requireSealing(host.tee, config);
  const { empty, head, keyring } = await host.log.start();
  if (empty && head === undefined && keyring === undefined) return undefined; // never was a store
  return await awaitStoreKey(host, { dataDir: config.dataDir, log, stopped });
}

async function openSealedStore(
  { config, mode }: OpenNodeOptions,
  tee: TeeBackend,
  log: DurableLog,
  key: RecoveredKey | undefined,
): Promise<Store> {
  const sealing = sealingOf(tee, config);
  let recoveryKeys: readonly Bytes[] = [];
  if (mode === "create-or-open") {
    const { empty, head, keyring } = await log.start();
    if (empty && head === undefined && keyring === undefined) {
      if (tee.kind !== "SIMULATION") requireRecoveryChoice(config, tee.sealer !== undefined);
      recoveryKeys = await readRecoveryPublicKeys(config.recoveryKey);
    }
  }
  return await openStore({
    log,
    aead: selectAead().provider,
    ...sealing,
    recoveryKeys,
    ...(key === undefined ? {} : { recover: key }),
    clock: Date.now,
    random: systemRandom,
    mode: mode === "create-or-open" ? mode : "open",
    readOnly: mode === "read-only",
    ...(mode === "read-only" ? { verify: "full" as const } : {}),
    anchors: anchorsOf(tee, config),
  });
}

/**
 * What tells a rollback here: the TEE's counter where it has one, and a file on another medium.
 * @throws {ConfigError} where the host's word would let go of an anchor
 */
function anchorsOf({ kind, counter }: TeeBackend, config: Config): AnchorOptions {
  if (config.acceptLostAnchor && kind !== "SIMULATION") {
    throw new ConfigError(
      "--accept-lost-anchor: whoever starts the program could hide a rollback with it, so here only " +
        "the operator's recovery key lets an anchor go (`nautilus key rewrap --accept-lost-anchor`)",
    );
  }
  return {
    // The simulation's counter is a file beside the store.
    ...(counter === undefined
      ? {}
      : { counter: { counter, protection: kind === "SIMULATION" ? "accident" : "host" } }),
    ...(config.anchorFile === undefined ? {} : { records: [fileAnchor(config.anchorFile)] }),
    acceptLost: config.acceptLostAnchor,
  };
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
