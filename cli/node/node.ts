/** A node opened: TEE, store, sealed configuration, identity. What `serve` and `attest` share. */
import { createNodeAttestor, nodeIdentity } from "../../api/node_attestor.ts";
import type { NodeAttestor, TeeFacts } from "../../api/deps.ts";
import {
  type IssuedCertificate,
  openTlsIdentity,
  type TlsIdentity,
} from "../../api/tls/identity.ts";
import { BackendError, type Bytes } from "../../backends/mod.ts";
import type { Config } from "../../config.ts";
import type { ListenAddress } from "../../config_values.ts";
import type { Store } from "../../store/mod.ts";
import { systemRandom } from "../random.ts";
import { openData } from "./data.ts";
import type { OpenNodeOptions } from "./host.ts";
import { reconcileConfig } from "./reconcile_config.ts";
import type { SealedConfig } from "./sealed_config.ts";

const REATTEST_AFTER_MS = 3_600_000;

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
