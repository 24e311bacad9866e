/** For tests: a master that executes requests of the chain and writes their results back, in lives. */
import { getLogger } from "@logtape/logtape";
import { type ChainExecutor, createChainExecutor } from "../../api/chain_executor.ts";
import { openReplayGate, type ReplayDecision } from "../../api/chain_replay.ts";
import { createAuthorizer } from "../../api/k8s/authorize.ts";
import { createK8sService } from "../../api/k8s/service.ts";
import { createResultWriter, type WriteBackStatus } from "../../api/result_writer.ts";
import { signerSeed } from "../../api/result_outbox.ts";
import { createSessionTokens } from "../../api/session_tokens.ts";
import { openWorkers } from "../../api/workers.ts";
import { createMemoryMedium, type MemoryMedium } from "../../store/logs/memory.ts";
import type { Store } from "../../store/mod.ts";
import { K8sAPIResultEvent } from "../../sui/chain_event.ts";
import { createChainListener } from "../../sui/events.ts";
import { createResultSigner, type ResultSigner } from "../../sui/result_signer.ts";
import { HEARTBEAT_TIMEOUT_MS, randomBytes, REQUESTER, SESSION_TTL_MS } from "./api.ts";
import { type Crash, crashAt, crashingLog } from "./crash.ts";
import { FakeChain } from "./sui/chain.ts";
import { FakeGateway } from "./sui/gateway.ts";
import { MemoryLedger } from "./sui/memory_ledger.ts";
import { MemoryWriter } from "./sui/memory_writer.ts";
import { createTestSealer } from "./test_sealer.ts";
import { openTestStore } from "./test_store.ts";

export const GAS_BUDGET = 10_000_000n;
const GRANT = {
  address: REQUESTER,
  namespaces: ["default"],
  verbs: ["create", "get", "list", "update", "delete"],
  resources: ["configmaps"],
};

/** A result as it stands on chain. */
export interface Recorded {
  readonly requestId: string;
  readonly by: string;
  readonly success: boolean;
  readonly output: string;
  readonly error: string;
}

export interface Life extends AsyncDisposable {
  readonly store: Store;
  readonly executor: ChainExecutor;
  readonly address: string;
  /** Applies the chain's events until there are no more, or one cannot be applied. */
  follow(): Promise<"followed" | "held">;
  /** Writes until nothing waits, or a try fails, or nothing may be written. */
  write(): Promise<WriteBackStatus>;
}

export interface LifeOptions {
  readonly medium?: MemoryMedium;
  readonly sealer?: ReturnType<typeof createTestSealer>;
  readonly crash?: Crash;
  readonly decision?: ReplayDecision;
}

/** What a test breaks on purpose. */
export interface WriteBackBreakage {
  readonly signer?: (real: ResultSigner) => ResultSigner;
  readonly store?: (real: Store) => Store;
}

export class WriteBackWorld {
  readonly chain: FakeChain;
  readonly gateway: FakeGateway;
  readonly ledger: MemoryLedger;
  readonly writer: MemoryWriter;
  readonly medium = createMemoryMedium();
  readonly sealer = createTestSealer();
  /** Moves on by itself: every step of the chain is a moment later. */
  now = 1_790_000_000_000;
  capId: string | undefined;
  readonly #breakage: WriteBackBreakage;

  constructor(breakage: WriteBackBreakage = {}) {
    const clock = () => this.now;
    this.chain = new FakeChain({ clock });
    this.gateway = new FakeGateway({ chain: this.chain, clock });
    this.ledger = new MemoryLedger(this.chain);
    this.writer = new MemoryWriter(this.gateway);
    this.#breakage = breakage;
  }

  /** Results on chain, oldest first. */
  recorded(): readonly Recorded[] {
    return this.chain.events.filter(({ type }) => type.endsWith("::K8sAPIResultEvent"))
      .map(({ sender, contents }) => {
        const { request_id, success, output, error } = K8sAPIResultEvent.parse(contents);
        return { requestId: request_id, by: sender, success, output, error };
      });
  }

  /** A ConfigMap that a tenant wants. @param requester may it, unless it is another */
  schedule(requestId: string, name: string, requester = REQUESTER): void {
    this.gateway.schedule({
      requester,
      requestId,
      method: "POST",
      resource: "configmaps",
      namespace: "default",
      name,
      payload: JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", data: { of: requestId } }),
    });
  }

  /** Begins a life of the master over what the one before it left. */
  async open(options: LifeOptions = {}): Promise<Life> {
    const { medium = this.medium, sealer = this.sealer, crash = crashAt(undefined, 0) } = options;
    const clock = () => this.now;
    const log = getLogger(["test"]);
    const store = await openTestStore({ log: crashingLog(medium, crash), sealer });
    const k8s = createK8sService({
      store,
      clock,
      random: randomBytes,
      authorizer: createAuthorizer([GRANT]),
    });
    const workers = await openWorkers({
      store,
      nodes: k8s.nodes,
      clock,
      sessions: createSessionTokens(await store.secret("session-token"), randomBytes),
      validator: undefined,
      heartbeatTimeoutMs: HEARTBEAT_TIMEOUT_MS,
      removeAfterMs: HEARTBEAT_TIMEOUT_MS,
      sessionTtlMs: SESSION_TTL_MS,
      revalidateAfterMs: 60_000,
    });
    await k8s.bootstrap();
    const executor = createChainExecutor({ store, k8s, workers, clock, log, writeBack: true });
    const gate = await openReplayGate(store, options.decision);
    const seed = await signerSeed(store, randomBytes);
    const { packageId, registryId } = this.gateway;
    const sign = (masterCapId: string) =>
      createResultSigner({
        ledger: this.ledger,
        writer: this.writer,
        packageId,
        registryId,
        masterCapId,
        gasBudgetMist: GAS_BUDGET,
        seed,
      });
    const { address } = await sign("0x" + "00".repeat(32));
    this.capId ??= this.gateway.issueMasterCap(address).capId;
    const real = await sign(this.capId);
    const signer = this.#breakage.signer?.(real) ?? real;
    return {
      store,
      executor,
      address,
      follow: () => this.#follow(executor, gate),
      write: async () => {
        const stop = new AbortController();
        const results = createResultWriter({
          store: this.#breakage.store?.(store) ?? store,
          signer,
          writer: {
            execute: async (...given) => {
              await crash.step("execute");
              const execution = await this.writer.execute(given[0], given[1]);
              await crash.step("executed");
              return execution;
            },
          },
          clock,
          log,
          held: () => gate.isHeld ? gate.notice : undefined,
          sleep: () => {
            stop.abort();
            return Promise.resolve();
          },
        });
        await results.run(stop.signal);
        return results.status();
      },
      [Symbol.asyncDispose]: async () => await store[Symbol.asyncDispose](),
    };
  }

  async #follow(
    executor: ChainExecutor,
    gate: Awaited<ReturnType<typeof openReplayGate>>,
  ): Promise<"followed" | "held"> {
    const idle = new AbortController();
    let isHeld = false;
    const { ledger } = this;
    await createChainListener({
      ledger: {
        status: async (signal) => {
          const status = await ledger.status(signal);
          await gate.reached(status.checkpoint);
          return status;
        },
        getObject: (...given) => ledger.getObject(...given),
        getDynamicField: (...given) => ledger.getDynamicField(...given),
        events: (...given) => ledger.events(...given),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      },
      packageId: this.gateway.packageId,
      cursorStore: executor.cursorStore,
      apply: async (delivery) => {
        let what: "execute" | "skip";
        try {
          what = gate.admit(delivery);
        } catch (error) {
          isHeld = true;
          throw error;
        }
        await executor.apply(delivery, what === "skip");
      },
      clock: () => this.now,
      sleep: () => {
        idle.abort();
        return Promise.resolve();
      },
    }).run(idle.signal);
    return isHeld ? "held" : "followed";
  }
}
