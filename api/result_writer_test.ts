import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { getLogger } from "@logtape/logtape";
import { createMemoryMedium, type MemoryMedium } from "../store/logs/memory.ts";
import type { Store } from "../store/mod.ts";
import { K8sAPIResultEvent } from "../sui/chain_event.ts";
import type { ChainWriter } from "../sui/chain_writer.ts";
import { openGrpcLedger } from "../sui/grpc_ledger.ts";
import { openGrpcWriter } from "../sui/grpc_writer.ts";
import { LedgerUnavailable } from "../sui/ledger.ts";
import { createResultSigner, type ResultSigner, SignerNotReady } from "../sui/result_signer.ts";
import { REQUESTER } from "../tests/fakes/api.ts";
import { crashAt, crashingLog } from "../tests/fakes/crash.ts";
import { FakeChain } from "../tests/fakes/sui/chain.ts";
import { FakeGateway } from "../tests/fakes/sui/gateway.ts";
import { type FakeNode, startFakeNode } from "../tests/fakes/sui/server.ts";
import { createTestSealer } from "../tests/fakes/test_sealer.ts";
import { openTestStore } from "../tests/fakes/test_store.ts";
import { oldest, putOutbox, signerSeed } from "./result_outbox.ts";
import { createResultWriter, type ResultWriter, type WriteBackStatus } from "./result_writer.ts";

const BUDGET = 10_000_000n;
const NEVER = new AbortController().signal;
const SEED = new Uint8Array(32).fill(7);

interface World extends AsyncDisposable {
  readonly node: FakeNode;
  readonly gateway: FakeGateway;
  readonly writer: ChainWriter;
  readonly signer: ResultSigner;
  readonly capId: string;
  signerFor(capId: string, gasBudgetMist?: bigint): Promise<ResultSigner>;
  /** Result events on chain, by request id, in order. */
  recorded(): readonly string[];
}

async function world(): Promise<World> {
  const clock = () => 1_790_000_000_000;
  const gateway = new FakeGateway({ chain: new FakeChain({ clock }), clock });
  const node = await startFakeNode({ gateway });
  const ledger = await openGrpcLedger({ endpoint: node.url });
  const writer = await openGrpcWriter({ endpoint: node.url, timeoutMs: 5_000 });
  const { packageId, registryId } = gateway;
  const signerFor = (masterCapId: string, gasBudgetMist = BUDGET) =>
    createResultSigner({
      ledger,
      writer,
      packageId,
      registryId,
      masterCapId,
      gasBudgetMist,
      seed: SEED,
    });
  const { address } = await signerFor("0x" + "00".repeat(32));
  const { capId } = gateway.issueMasterCap(address);
  return {
    node,
    gateway,
    writer,
    capId,
    signer: await signerFor(capId),
    signerFor,
    recorded: () =>
      gateway.chain.events.filter(({ type }) => type.endsWith("::K8sAPIResultEvent"))
        .map(({ contents }) => K8sAPIResultEvent.parse(contents).request_id),
    async [Symbol.asyncDispose]() {
      await ledger[Symbol.asyncDispose]();
      await writer[Symbol.asyncDispose]();
      await node[Symbol.asyncDispose]();
    },
  };
}

let count = 0;

/** Puts a result into the outbox, as the executor does. */
async function queue(store: Store, requestId: string, checkpoint = 1n): Promise<void> {
  const delivery = {
    event: { kind: "unknown", type: "x" } as const,
    cursor: "c",
    previousCursor: undefined,
    dedupeKey: `digest${String(++count).padStart(9, "0")}/0`,
    checkpoint,
    sender: REQUESTER,
  };
  const result = {
    kind: "k8s_request",
    requestId,
    success: true,
    code: 201,
    digest: "ab".repeat(32),
  } as const;
  const operations = putOutbox(delivery, result, 12, Date.now());
  await store.txn({ compare: [], success: operations, failure: [] });
}

function schedule({ gateway }: World, requestId: string): void {
  gateway.schedule({
    requester: REQUESTER,
    requestId,
    method: "POST",
    resource: "ConfigMap",
    namespace: "default",
    name: "x",
    payload: "{}",
  });
}

/** Runs until the outbox is empty, or until a try has failed where that is wanted. */
async function run(
  store: Store,
  signer: ResultSigner,
  writer: Pick<ChainWriter, "execute">,
  until: "empty" | "failure",
): Promise<WriteBackStatus> {
  const stop = new AbortController();
  let seen: WriteBackStatus | undefined;
  let slept = 0;
  const results: ResultWriter = createResultWriter({
    store,
    signer,
    writer,
    clock: Date.now,
    log: getLogger(["test"]),
    sleep: () => {
      const status = results.status();
      if (++slept > 100) {
        seen = status;
        stop.abort(); // it hangs: whatever was expected is compared with this
      } else if (status.state === "failing" ? until === "failure" : status.waiting === 0) {
        seen = status;
        stop.abort();
      }
      return Promise.resolve();
    },
  });
  await results.run(stop.signal);
  assert(seen !== undefined);
  return seen;
}

Deno.test("run() writes every result on chain once, with a digest and no more, and pays for it", async () => {
  await using w = await world();
  await using store = await openTestStore();
  w.gateway.fund(w.signer.address, 1_000_000_000n);
  for (const id of ["a", "b", "c"]) {
    schedule(w, id);
    await queue(store, id);
  }
  const status = await run(store, w.signer, w.writer, "empty");
  assertEquals([status.state, status.written, status.givenUp], ["on", 3, 0]);
  assertEquals(w.recorded(), ["a", "b", "c"]);
  const event = w.gateway.chain.events.at(-1);
  assert(event !== undefined);
  const { timestamp: _, ...recorded } = K8sAPIResultEvent.parse(event.contents);
  assertEquals(recorded, {
    request_id: "c",
    assigned_worker: "",
    success: true,
    output: `sha256:${"ab".repeat(32)}`,
    error: "",
    execution_time_ms: 12n,
  });
  const [coin] = await w.writer.gasCoins(w.signer.address, NEVER);
  assert(coin !== undefined && coin.balanceMist < 1_000_000_000n);
});

Deno.test("run() hands the same transaction in again where the answer was lost", async () => {
  await using w = await world();
  await using store = await openTestStore();
  w.gateway.fund(w.signer.address, 1_000_000_000n);
  schedule(w, "a");
  await queue(store, "a");
  w.node.faults.set({ kind: "lost_answer", method: "ExecuteTransaction", times: 2 });
  const status = await run(store, w.signer, w.writer, "empty");
  assertEquals([status.written, status.failures], [1, 2]);
  assertEquals(w.recorded(), ["a"]);
});

Deno.test("run() leaves alone what the chain has, and gives up what the chain does not know", async () => {
  await using w = await world();
  await using store = await openTestStore();
  w.gateway.fund(w.signer.address, 1_000_000_000n);
  schedule(w, "a");
  for (const id of ["a", "a", "unheard of"]) await queue(store, id);
  const status = await run(store, w.signer, w.writer, "empty");
  assertEquals([status.written, status.answered, status.givenUp], [1, 1, 1]);
  assertEquals(w.recorded(), ["a"]);
  assertEquals(w.node.calls.get("ExecuteTransaction"), 1);
});

Deno.test("run() says what the signer lacks, and goes on once it has it", async () => {
  await using w = await world();
  await using store = await openTestStore();
  schedule(w, "a");
  await queue(store, "a");
  const poor = await run(store, w.signer, w.writer, "failure");
  assertStringIncludes(poor.detail, "holds 0 MIST for gas");
  assertStringIncludes(poor.detail, "NAUTILUS_SUI_GAS_BUDGET_MIST");
  assertEquals([poor.balanceMist, poor.gasBudgetMist], [0n, BUDGET]);
  // Neither coin would do alone; what is left of both does for one more.
  w.gateway.fund(w.signer.address, BUDGET * 3n / 4n);
  w.gateway.fund(w.signer.address, BUDGET * 3n / 4n);
  const others = w.gateway.issueMasterCap("0x" + "11".repeat(32)).capId;
  const foreign = w.gateway.issueMasterCap(w.signer.address, "0x" + "22".repeat(32)).capId;
  for (
    const [capId, why] of [[others, "not the signer's"], [foreign, "another registry"]] as const
  ) {
    const status = await run(store, await w.signerFor(capId), w.writer, "failure");
    assertEquals([status.state, status.waiting], ["failing", 1]);
    assertStringIncludes(status.detail, why);
  }
  assertEquals(w.recorded(), []);
  await run(store, w.signer, w.writer, "empty");
  assertEquals(w.recorded(), ["a"]);
});

Deno.test("run() says that cap or gas are missing before any result waits, and how much there is", async () => {
  await using w = await world();
  await using store = await openTestStore();
  const poor = await run(store, w.signer, w.writer, "failure");
  assertEquals([poor.state, poor.waiting, poor.balanceMist], ["failing", 0, 0n]);
  assertStringIncludes(poor.detail, `${w.signer.address} holds 0 MIST for gas`);
  w.gateway.fund(w.signer.address, BUDGET);
  const others = w.gateway.issueMasterCap("0x" + "11".repeat(32)).capId;
  const without = await run(store, await w.signerFor(others), w.writer, "failure");
  assertStringIncludes(without.detail, "not the signer's");
  assertEquals([without.balanceMist, without.masterCap], [BUDGET, others]);
  const ready = await run(store, w.signer, w.writer, "empty");
  assertEquals([ready.state, ready.detail, ready.balanceMist], ["on", "nothing waits", BUDGET]);
});

Deno.test("count() tells what waits while the writer pauses; without cap or gas at most a minute", async () => {
  await using store = await openTestStore();
  const stop = new AbortController();
  const pauses: number[] = [];
  const waiting: number[] = [];
  const lacking = () => Promise.reject(new SignerNotReady("no gas", "send it SUI"));
  const results = createResultWriter({
    store,
    signer: {
      address: REQUESTER,
      masterCapId: REQUESTER,
      gasBudgetMist: BUDGET,
      check: lacking,
      state: () => Promise.resolve("open"),
      sign: lacking,
    },
    writer: { execute: lacking },
    clock: Date.now,
    log: getLogger(["test"]),
    async sleep(ms) {
      pauses.push(ms);
      await queue(store, `r${pauses.length}`);
      await results.count();
      waiting.push(results.status().waiting);
      if (pauses.length === 9) stop.abort();
    },
  });
  await results.run(stop.signal);
  assertEquals(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60].map((seconds) => seconds * 1000));
  assertEquals(waiting, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

Deno.test("run() waits for a node that stands before a request, instead of giving its result up", async () => {
  await using w = await world();
  await using store = await openTestStore();
  w.gateway.fund(w.signer.address, 1_000_000_000n);
  await queue(store, "a", w.gateway.chain.tip.sequence + 1n);
  const early = await run(store, w.signer, w.writer, "failure");
  assertStringIncludes(early.detail, "the node stands at checkpoint");
  assertEquals([early.waiting, early.givenUp], [1, 0]);
  schedule(w, "a");
  assertEquals((await run(store, w.signer, w.writer, "empty")).written, 1);
});

Deno.test("run() writes exactly once through a crash at every step", async () => {
  for (const step of ["append", "written", "appended", "execute", "executed"]) {
    for (let at = 0, died = true; died; at++) {
      await using w = await world();
      w.gateway.fund(w.signer.address, 1_000_000_000n);
      const medium = createMemoryMedium();
      const sealer = createTestSealer();
      const open = (crash = crashAt(undefined, 0), from: MemoryMedium = medium) =>
        openTestStore({ log: crashingLog(from, crash), sealer });
      {
        await using store = await open();
        for (const id of ["a", "b"]) {
          schedule(w, id);
          await queue(store, id);
        }
      }
      const crash = crashAt(step, at);
      const life = async () => {
        const store = await open(crash);
        await run(store, w.signer, {
          execute: async (...given) => {
            await crash.step("execute");
            const execution = await w.writer.execute(...given);
            await crash.step("executed");
            return execution;
          },
        }, "empty");
        return store;
      };
      const ended = await Promise.race([life(), crash.happened]);
      died = crash.dead;
      if (ended !== undefined) await ended[Symbol.asyncDispose]();
      await using store = await open();
      await run(store, w.signer, w.writer, "empty");
      assertEquals(w.recorded(), ["a", "b"], `${step} ${at}`);
      assertEquals((await oldest(store)).count, 0);
    }
  }
});

Deno.test("execute() is refused with a bad signature, objects of yesterday, and too little gas", async () => {
  await using w = await world();
  w.gateway.fund(w.signer.address, 30_000_000n);
  for (const id of ["a", "b"]) schedule(w, id);
  const result = { success: true, output: "", error: "", executionTimeMs: 0 };
  const a = await w.signer.sign({ ...result, requestId: "a" }, NEVER);
  const b = await w.signer.sign({ ...result, requestId: "b" }, NEVER);
  const bytes = (text: string) => Uint8Array.fromBase64(text);
  const refused = async (transaction: string, signature: string) => {
    const execution = await w.writer.execute(bytes(transaction), signature, NEVER);
    assertEquals(execution.status, "refused");
    return execution.status === "refused" ? execution.reason : "";
  };
  assertStringIncludes(await refused(b.transaction, a.signature), "invalid signature");
  assertEquals(await w.writer.execute(bytes(a.transaction), a.signature, NEVER), {
    status: "done",
  });
  // Gas and cap have moved on with the first.
  assertStringIncludes(await refused(b.transaction, b.signature), "unavailable for consumption");
  const poor = await w.signerFor(w.capId, 1_000n);
  const cheap = await poor.sign({ ...result, requestId: "b" }, NEVER);
  assertStringIncludes(await refused(cheap.transaction, cheap.signature), "gas budget");
  const twice = await w.signer.sign({ ...result, requestId: "a" }, NEVER);
  const execution = await w.writer.execute(bytes(twice.transaction), twice.signature, NEVER);
  assert(execution.status === "failed");
  assertStringIncludes(execution.reason, "EAnswered");
  const again = await w.writer.execute(bytes(a.transaction), a.signature, NEVER);
  assertEquals(again.status, "done");
  assertEquals(w.recorded(), ["a"]);
  await assertRejects(
    () =>
      w.signerFor(w.capId, 10n ** 18n).then((s) =>
        s.sign({
          ...result,
          requestId: "b",
        }, NEVER)
      ),
    SignerNotReady,
    "MIST for gas",
  );
  w.node.faults.set({ kind: "http_status", status: 503 });
  await assertRejects(() => w.writer.referenceGasPrice(NEVER), LedgerUnavailable);
});

Deno.test("signerSeed() makes one key and keeps it", async () => {
  await using store = await openTestStore();
  let asked = 0;
  const random = (length: number) => new Uint8Array(length).fill(++asked);
  const seed = await signerSeed(store, random);
  assertEquals([seed.length, await signerSeed(store, random)], [32, seed]);
});
