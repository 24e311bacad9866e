/** Who may be a worker here: by tokens of the chain, proof of their keys and evidence of their TEEs. */
import { setImmediate } from "node:timers";
import type { Logger } from "@logtape/logtape";
import { type Admissions, createAdmissions } from "../../api/admissions.ts";
import type { NodeObjects } from "../../api/k8s/node_objects.ts";
import { OffloadingVerifier } from "../../api/node_key_verifier.ts";
import { createSessionTokens } from "../../api/session_tokens.ts";
import { createSignedSessions } from "../../api/signed_sessions.ts";
import { openWorkers, type Workers } from "../../api/workers.ts";
import type { Bytes } from "../../backends/mod.ts";
import type { Config } from "../../config.ts";
import type { OpenNode } from "../node/node.ts";
import { systemRandom } from "../random.ts";
import { openWorkerAppraiser } from "../worker_policy.ts";
import type { Chain } from "./chain.ts";

const SESSION_TTL_MS = 3_600_000;
const REVALIDATE_AFTER_MS = 60_000;

export interface Admission extends Disposable {
  readonly workers: Workers;
  /**
   * Admission by proof; undefined where it is not possible.
   * @param chainId of the chain that is followed, base58
   */
  byProof(chainId: () => string | undefined): Admissions | undefined;
}

/** @throws {ConfigError} where what is demanded of workers contradicts itself; {StoreError} */
export async function openAdmission(options: {
  readonly node: OpenNode;
  readonly chain: Pick<Chain, "validator" | "zkLogin">;
  /** The Kubernetes Nodes that stand for workers. */
  readonly nodes: NodeObjects;
  readonly config: Pick<Config, "heartbeatTimeoutSeconds" | "removeLostAfterSeconds">;
  readonly spawnWorker: (name: string) => Worker;
  readonly log: Logger;
}): Promise<Admission> {
  const { node, chain, nodes, config, spawnWorker, log } = options;
  const { store, sealed, tee } = node;
  using undo = new DisposableStack();
  const sessionSecret = await store.secret("session-token");
  const proof = workerProof(node, chain, sessionSecret);
  const verifier = undo.use(
    new OffloadingVerifier({
      spawnWorker,
      soon: setImmediate,
      now: () => performance.now(),
      cores: navigator.hardwareConcurrency,
    }),
  );
  const appraiser = await openWorkerAppraiser(sealed, log, Date.now);
  const workers = await openWorkers({
    store,
    proof,
    appraiser,
    verifier,
    nodes,
    clock: Date.now,
    sessions: createSessionTokens(sessionSecret, systemRandom),
    validator: chain.validator,
    heartbeatTimeoutMs: config.heartbeatTimeoutSeconds * 1000,
    removeAfterMs: config.removeLostAfterSeconds * 1000,
    sessionTtlMs: SESSION_TTL_MS,
    revalidateAfterMs: REVALIDATE_AFTER_MS,
  });
  const opened = undo.move();
  return {
    workers,
    byProof: (chainId) =>
      proof === undefined ? undefined : createAdmissions({
        facts: {
          clusterId: proof.clusterId,
          measurement: tee.measurement,
          identityKey: node.identityKey,
          tlsKey: node.tls?.identity.spki ?? new Uint8Array(0),
        },
        chainId,
        validator: proof.validator,
        zkLogin: chain.zkLogin,
        workers,
        appraiser,
        clock: Date.now,
        random: systemRandom,
      }),
    [Symbol.dispose]: () => opened.dispose(),
  };
}

/** What admission by proof needs; undefined without a chain, a registry and a cluster id. */
function workerProof(
  { sealed, attestor }: Pick<OpenNode, "sealed" | "attestor">,
  { validator }: Pick<Chain, "validator">,
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
