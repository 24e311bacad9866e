/** For tests and benchmarks: the whole API over a real store in memory. */
import { getLogger } from "@logtape/logtape";
import type { Hono } from "@hono/hono";
import type { Bytes } from "../../backends/mod.ts";
import { createMemoryLog, openStore, type Store, webCryptoAead } from "../../store/mod.ts";
import { LedgerUnavailable } from "../../sui/ledger.ts";
import type { SealTokenClaims, TokenDecision, TokenValidator } from "../../sui/seal_token.ts";
import { createTestSealer } from "./test_sealer.ts";
import { type AdminOptions, createAdmin } from "../../api/admin/service.ts";
import { createApp } from "../../api/app.ts";
import { openAuditLog } from "../../api/audit/mod.ts";
import { type ChainExecutor, createChainExecutor } from "../../api/chain_executor.ts";
import {
  type ApiDeps,
  type ChainListenerStatus,
  DEFAULT_LIMITS,
  type NodeAttestor,
  type SuiGrant,
} from "../../api/deps.ts";
import type { ApiEnv } from "../../api/http.ts";
import { openEtcdAuthority } from "../../api/etcd/authority.ts";
import { createAuthorizer } from "../../api/k8s/authorize.ts";
import { createK8sService, type K8sService } from "../../api/k8s/service.ts";
import { NO_WRITE_BACK } from "../../api/result_writer.ts";
import { createSessionTokens, createTokenCheck } from "../../api/session_tokens.ts";
import { openWorkers, type Workers } from "../../api/workers.ts";

export const ADMIN_TOKEN = "test-admin-token-0123456789";
export const TOKEN_ID = `0x${"ab".repeat(32)}`;
export const SEAL_TOKEN = `seal_${TOKEN_ID}`;
export const REQUESTER = `0x${"cd".repeat(32)}`;

export function randomBytes(length: number): Bytes {
  return crypto.getRandomValues(new Uint8Array(length));
}

/** A real store over a log in memory. */
export function memoryStore(clock: () => number = Date.now): Promise<Store> {
  return openStore({
    log: createMemoryLog(),
    aead: webCryptoAead(),
    sealer: createTestSealer(),
    sealPolicy: "measurement",
    clock,
    random: randomBytes,
    mode: "create-or-open",
  });
}

/** A validator that answers what the test says, by token string. */
export class ScriptedValidator implements TokenValidator {
  readonly decisions = new Map<string, TokenDecision | Error>();
  calls = 0;

  admit(token: string, claims: Partial<SealTokenClaims> & { nodeId: string }): void {
    this.decisions.set(token, {
      valid: true,
      token: {
        tokenId: token.slice("seal_".length),
        owner: REQUESTER,
        nodeKeyHash: "00".repeat(32),
        permissions: [],
        stakeMist: 1_000_000_000n,
        stakeStatus: "active",
        expiresAtMs: Number.MAX_SAFE_INTEGER,
        ...claims,
      },
    });
  }

  validate({ token }: { token: string }): Promise<TokenDecision> {
    this.calls++;
    const decision = this.decisions.get(token) ??
      { valid: false, code: "not_found", reason: "no such token" };
    return decision instanceof Error ? Promise.reject(decision) : Promise.resolve(decision);
  }
}

export const CHAIN_DOWN: Error = new LedgerUnavailable("connection refused");

export interface TestApi extends AsyncDisposable {
  readonly app: Hono<ApiEnv>;
  readonly deps: ApiDeps;
  readonly store: Store;
  readonly workers: Workers;
  readonly k8s: K8sService;
  readonly executor: ChainExecutor;
  readonly validator: ScriptedValidator;
  /** Settable: milliseconds. */
  readonly time: { now: number };
  readonly chain: { status: ChainListenerStatus; wakes: number };
  /** A request as the admin; a body that is not a string is sent as JSON. */
  admin(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Response>;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
}

export interface TestApiOptions {
  readonly store?: Store;
  readonly withoutValidator?: boolean;
  readonly grants?: readonly SuiGrant[];
  readonly attestor?: NodeAttestor;
  readonly admin?: Partial<AdminOptions>;
  readonly deps?: Partial<ApiDeps>;
  readonly removeAfterMs?: number;
}

export const HEARTBEAT_TIMEOUT_MS = 90_000;
export const REMOVE_AFTER_MS = 3_600_000;
export const SESSION_TTL_MS = 3_600_000;

export async function testApi(options: TestApiOptions = {}): Promise<TestApi> {
  const time = { now: Date.UTC(2026, 10, 22, 12) };
  const clock = () => time.now;
  const store = options.store ?? await memoryStore(clock);
  const validator = new ScriptedValidator();
  const log = getLogger(["test"]);
  const k8s = createK8sService({
    store,
    clock,
    random: randomBytes,
    authorizer: createAuthorizer(options.grants ?? []),
  });
  const workers = await openWorkers({
    store,
    nodes: k8s.nodes,
    clock,
    sessions: createSessionTokens(await store.secret("session-token"), randomBytes),
    validator: options.withoutValidator === true ? undefined : validator,
    heartbeatTimeoutMs: HEARTBEAT_TIMEOUT_MS,
    removeAfterMs: options.removeAfterMs ?? REMOVE_AFTER_MS,
    sessionTtlMs: SESSION_TTL_MS,
    revalidateAfterMs: 60_000,
  });
  await k8s.bootstrap();
  const executor = createChainExecutor({ store, k8s, workers, clock, log });
  const chain = {
    wakes: 0,
    status: {
      state: "following",
      detail: "at checkpoint 7",
      cursor: undefined,
      lastEventAt: undefined,
      eventsApplied: 0,
      subscribed: 1,
    } satisfies ChainListenerStatus as ChainListenerStatus,
  };
  const audit = await openAuditLog(store, await store.secret("audit"), clock);
  const admin = createAdmin({
    key: undefined,
    replaceKey: () => Promise.resolve(),
    secret: await store.secret("admin-token"),
    audit,
    clock,
    random: randomBytes,
    tls: undefined,
    ...options.admin,
  });
  const isTestToken = createTokenCheck(ADMIN_TOKEN);
  const deps: ApiDeps = {
    version: "0.0.0-test",
    log,
    clock,
    random: randomBytes,
    store,
    tee: {
      kind: "SIMULATION",
      securityLevel: 1,
      covers: "none",
      measurement: new Uint8Array(48).fill(7),
      sealPolicies: ["measurement", "signer"],
      attests: true,
    },
    attestor: options.attestor ?? {
      enclaveId: "00".repeat(16),
      attestation: () => Promise.reject(new Error("this test has no attestor")),
    },
    chain: { status: () => chain.status, wake: () => void chain.wakes++ },
    chainTrust: "single",
    rollbackProtection: () => ({ level: "none", anchoredSequence: undefined }),
    admission: options.withoutValidator === true ? "not_configured" : "configured",
    registryProblem: () => undefined,
    verifier: undefined,
    workers,
    admissions: undefined,
    legacyBearerTokens: false,
    writeBack: () => NO_WRITE_BACK,
    countResults: () => Promise.resolve(),
    requestResults: (id) => executor.results(id),
    k8s,
    tracer: undefined,
    upstream: undefined,
    isAdminToken: (token) => isTestToken(token) || admin.verify(token) !== undefined,
    admin,
    audit,
    etcdAuthority: await openEtcdAuthority({ store, clock, random: randomBytes, names: [] }),
    stopping: () => false,
    limits: DEFAULT_LIMITS,
    ...options.deps,
  };
  const app = createApp(deps);
  const send = async (
    method: string,
    path: string,
    body: unknown,
    headers: Record<string, string>,
  ): Promise<Response> => {
    const init: RequestInit = { method, headers };
    if (body !== undefined) {
      init.body = typeof body === "string" ? body : JSON.stringify(body);
      init.headers = { "Content-Type": "application/json", ...headers };
    }
    return await app.request(path, init);
  };
  return {
    app,
    deps,
    store,
    workers,
    k8s,
    executor,
    validator,
    time,
    chain,
    admin: (method, path, body, headers) =>
      send(method, path, body, { Authorization: `Bearer ${ADMIN_TOKEN}`, ...headers }),
    post: (path, body, headers) => send("POST", path, body, headers ?? {}),
    async [Symbol.asyncDispose]() {
      await audit.settled();
      await store[Symbol.asyncDispose]();
    },
  };
}
