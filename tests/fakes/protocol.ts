/** For tests and benchmarks: the API with admission by proof, over a stand-in chain in memory. */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import type { Hono } from "@hono/hono";
import { getLogger } from "@logtape/logtape";
import { createAdmissions } from "../../api/admissions.ts";
import { createApp } from "../../api/app.ts";
import { type BeatPurpose, beatSignatureInput } from "../../api/beat_signature.ts";
import { createChainExecutor } from "../../api/chain_executor.ts";
import { DEFAULT_LIMITS } from "../../api/deps.ts";
import type { ApiEnv } from "../../api/http.ts";
import { createSessionTokens } from "../../api/session_tokens.ts";
import { createSignedSessions } from "../../api/signed_sessions.ts";
import type { WorkerAppraiser } from "../../api/worker_evidence.ts";
import { type K3sJoins, openK3sJoins } from "../../api/k3s_join.ts";
import type { KubernetesUpstream } from "../../api/k8s/upstream.ts";
import { openWorkers, type Workers } from "../../api/workers.ts";
import type { Bytes } from "../../backends/mod.ts";
import type { Store } from "../../store/mod.ts";
import type { AdmissionChallenge, AdmissionProof, MasterFacts } from "../../sui/admission.ts";
import { nodeKeyHash } from "../../sui/admission_message.ts";
import { proveAdmission, type SignedProof } from "../../sui/admission_proof.ts";
import { createChainListener } from "../../sui/events.ts";
import { createSealTokenValidator, type SealTokenValidator } from "../../sui/seal_token.ts";
import {
  HEARTBEAT_TIMEOUT_MS,
  memoryStore,
  randomBytes,
  REMOVE_AFTER_MS,
  SESSION_TTL_MS,
  testApi,
} from "./api.ts";
import { FakeChain } from "./sui/chain.ts";
import { FakeGateway, MIST_PER_SUI } from "./sui/gateway.ts";
import { MemoryLedger } from "./sui/memory_ledger.ts";
import { ed25519Wallet, type Wallet } from "./sui/wallets.ts";
import type { ZkLoginVerifier } from "../../sui/wallet_signature.ts";

const UNLIMITED = { perSecond: 1e9, burst: 1e9 };

export interface ProtocolWorker {
  readonly nodeId: string;
  readonly wallet: Wallet;
  readonly spki: Bytes;
  readonly tokenId: string;
  sign(input: Bytes): Bytes;
}

export interface ProtocolWorld extends AsyncDisposable {
  readonly store: Store;
  readonly chain: FakeChain;
  readonly gateway: FakeGateway;
  readonly ledger: MemoryLedger;
  /** What is demanded of workers from the next restart on. */
  appraiser: WorkerAppraiser | undefined;
  /** Settable: milliseconds. */
  readonly time: { now: number };
  /** Waits between what the chain said of a token and what is made of it. */
  afterCheck: () => Promise<void>;
  readonly app: Hono<ApiEnv>;
  readonly workers: Workers;
  readonly k3s: K3sJoins | undefined;
  readonly facts: MasterFacts;
  /** Everything that was answered with another status than 200. */
  readonly refusals: string[];
  /** @param wallet by default an Ed25519 one of the seed */
  worker(nodeId: string, seed: number, expiresAtMs?: number, wallet?: Wallet): ProtocolWorker;
  /** As after a crash: memory is gone, the store is there. */
  restart(): Promise<void>;
  /** Applies the chain's events until there are no more. */
  deliver(): Promise<void>;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Answer>;
  challenge(worker: ProtocolWorker): Promise<AdmissionChallenge>;
  prove(worker: ProtocolWorker, challenge: AdmissionChallenge): Promise<SignedProof>;
  /** The body of `register-worker`. @param evidence of the worker's own TEE, as on the wire */
  registration(proof: AdmissionProof, evidence?: unknown): Record<string, unknown>;
  register(proof: AdmissionProof): Promise<Answer>;
  /** Challenge, proof, registration. */
  join(worker: ProtocolWorker): Promise<Answer>;
  beat(worker: ProtocolWorker, session: string, sequence: number): Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export function signedHeaders(
  worker: Pick<ProtocolWorker, "sign">,
  purpose: BeatPurpose,
  sessionToken: string,
  sequence: number,
  body: Bytes,
): Record<string, string> {
  const input = beatSignatureInput({ purpose, sessionToken, sequence, body });
  return {
    "X-Seal-Token": sessionToken,
    "X-Nautilus-Sequence": String(sequence),
    "X-Nautilus-Signature": worker.sign(input).toBase64(),
  };
}

export function heartbeatBody(nodeId: string): string {
  return JSON.stringify({
    node_id: nodeId,
    timestamp: 1,
    stake_status: "unknown",
    stake_amount: 0,
    running_pods: 0,
    resource_usage: { cpu_percent: 1, memory_percent: 2, disk_percent: 3 },
  });
}

/** @param options `unlimited`: no rates, for benchmarks. */
export async function protocolWorld(
  options: {
    readonly unlimited?: boolean;
    readonly appraiser?: WorkerAppraiser;
    /** Where join tokens for K3s are made. */
    readonly upstream?: KubernetesUpstream;
    /** Where zkLogin wallets are accepted. */
    readonly zkLogin?: ZkLoginVerifier;
  } = {},
): Promise<ProtocolWorld> {
  const store = await memoryStore();
  const base = await testApi({ store });
  const { time } = base;
  const clock = () => time.now;
  const chain = new FakeChain({ clock });
  const gateway = new FakeGateway({ chain, clock });
  const ledger = new MemoryLedger(chain);
  const facts: MasterFacts = {
    chainId: chain.chainId,
    clusterId: Uint8Array.from(gateway.clusterId),
    measurement: new Uint8Array(48).fill(3),
    identityKey: newKey().spki,
    tlsKey: newKey().spki,
  };
  const refusals: string[] = [];
  async function start() {
    const secret = await store.secret("session-token");
    const real: SealTokenValidator = createSealTokenValidator({
      ledger,
      packageId: gateway.packageId,
      registryId: gateway.registryId,
      minimumStakeMist: MIST_PER_SUI,
      clock,
      allowLegacyBearer: false,
    });
    const check: SealTokenValidator["check"] = async (...args) => {
      const decision = await real.check(...args);
      await world.afterCheck();
      return decision;
    };
    const workers = await openWorkers({
      store,
      appraiser: world.appraiser,
      nodes: base.k8s.nodes,
      clock,
      sessions: createSessionTokens(secret, randomBytes),
      proof: {
        signed: createSignedSessions({
          secret,
          issuer: "ab".repeat(16),
          audience: facts.clusterId.toHex(),
          random: randomBytes,
        }),
        random: randomBytes,
        readToken: (tokenId, nodeId) => check(tokenId, nodeId, { fresh: true }),
      },
      validator: real,
      heartbeatTimeoutMs: HEARTBEAT_TIMEOUT_MS,
      removeAfterMs: REMOVE_AFTER_MS,
      sessionTtlMs: SESSION_TTL_MS,
      revalidateAfterMs: 60_000,
    });
    const admissions = createAdmissions({
      facts,
      chainId: () => facts.chainId,
      validator: { check },
      workers,
      appraiser: world.appraiser,
      zkLogin: options.zkLogin,
      clock,
      random: randomBytes,
    });
    const executor = createChainExecutor({
      store,
      k8s: base.k8s,
      workers,
      clock,
      log: getLogger(["test"]),
    });
    const k3s = options.upstream === undefined ? undefined : await openK3sJoins({
      store,
      upstream: options.upstream,
      workers,
      serverUrl: "https://k3s.test:6443",
      caHash: "c5".repeat(32),
      clock,
      random: randomBytes,
      log: getLogger(["test"]),
    });
    const app = createApp({
      ...base.deps,
      k3s,
      workers,
      admissions,
      limits: options.unlimited === true
        ? { ...DEFAULT_LIMITS, challenges: UNLIMITED, registrations: UNLIMITED }
        : DEFAULT_LIMITS,
    });
    return { workers, app, executor, validator: real, k3s };
  }

  const world: ProtocolWorld = {
    appraiser: options.appraiser,
    store,
    chain,
    gateway,
    ledger,
    time,
    facts,
    refusals,
    afterCheck: () => Promise.resolve(),
    get app() {
      return open.app;
    },
    get workers() {
      return open.workers;
    },
    get k3s() {
      return open.k3s;
    },
    worker(nodeId, seed, expiresAtMs, wallet = ed25519Wallet(seed)) {
      const { spki, key } = newKey();
      const { tokenId } = gateway.createToken({
        owner: wallet.address,
        nodeId,
        nodeKeyHash: Uint8Array.fromHex(nodeKeyHash(spki)),
        ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
      });
      const signer = (input: Bytes) => new Uint8Array(sign(null, input, key));
      return { nodeId, wallet, spki, tokenId, sign: signer };
    },
    async restart() {
      open = await start();
    },
    async deliver() {
      const idle = new AbortController();
      const { executor, validator } = open;
      await createChainListener({
        ledger,
        packageId: gateway.packageId,
        cursorStore: executor.cursorStore,
        apply: async (delivery) => {
          const { event, checkpoint } = delivery;
          if (event.kind === "seal_token_revoked") validator.invalidate(event.tokenId, checkpoint);
          if (event.kind === "worker_status_changed") {
            validator.invalidateNode(event.nodeId, checkpoint);
          }
          await executor.apply(delivery);
        },
        clock,
        sleep: () => {
          idle.abort();
          return Promise.resolve();
        },
      }).run(idle.signal);
    },
    async post(path, body, headers = {}) {
      const response = await open.app.request(path, {
        method: "POST",
        headers: { "Content-Type": "application/json", ...headers },
        body: typeof body === "string" ? body : JSON.stringify(body),
      });
      const text = await response.text();
      if (response.status !== 200) refusals.push(text);
      return { status: response.status, body: JSON.parse(text) };
    },
    async challenge({ nodeId, wallet }) {
      const { body } = await world.post("/api/v1/admission/challenge", {
        node_id: nodeId,
        address: wallet.address,
      });
      const { challenge, issued_at_ms, expires_at_ms } = body;
      return {
        ...facts,
        nodeId,
        address: wallet.address,
        challenge: Uint8Array.fromHex(String(challenge)),
        issuedAtMs: Number(issued_at_ms),
        expiresAtMs: Number(expires_at_ms),
      };
    },
    prove: (worker, challenge) =>
      proveAdmission({
        challenge,
        appraised: facts,
        nodeId: worker.nodeId,
        tokenId: worker.tokenId,
        wallet: {
          address: worker.wallet.address,
          signPersonalMessage: (message) => worker.wallet.sign(message),
        },
        nodeKey: worker,
        nowMs: time.now,
      }),
    registration: (proof, evidence) => ({
      node_id: proof.nodeId,
      seal_token: `seal_${proof.tokenId}`,
      timestamp: 1,
      proof: {
        address: proof.address,
        node_key: proof.nodeKey.toBase64(),
        challenge: proof.challenge.toHex(),
        wallet_signature: proof.walletSignature,
        node_signature: proof.nodeSignature.toBase64(),
        ...(evidence === undefined ? {} : { evidence }),
      },
    }),
    register: (proof) => world.post("/api/v1/register-worker", world.registration(proof)),
    join: async (worker) =>
      await world.register(await world.prove(worker, await world.challenge(worker))),
    async beat(worker, session, sequence) {
      const body = heartbeatBody(worker.nodeId);
      const bytes = new TextEncoder().encode(body);
      const headers = signedHeaders(worker, "heartbeat", session, sequence, bytes);
      return await world.post("/api/v1/nodes/heartbeat", body, headers);
    },
    [Symbol.asyncDispose]: () => base[Symbol.asyncDispose](),
  };
  let open = await start();
  return world;
}

function newKey(): { readonly spki: Bytes; readonly key: KeyObject } {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  return {
    spki: new Uint8Array(publicKey.export({ type: "spki", format: "der" })),
    key: privateKey,
  };
}
