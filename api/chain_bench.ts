/** Events of the chain, applied durably: from memory, and from a full node in another process. */
import { getLogger } from "@logtape/logtape";
import { openSqliteLog } from "../store/logs/sqlite.ts";
import { createChainListener, EVENTS_IN_FLIGHT } from "../sui/events.ts";
import { openGrpcLedger } from "../sui/grpc_ledger.ts";
import { type BenchSpec, registerWithDeno } from "../tests/bench/harness.ts";
import { testApi } from "../tests/fakes/api.ts";
import { spawnFakeNode } from "../tests/fakes/sui/spawn.ts";
import { openTestStore } from "../tests/fakes/test_store.ts";
import { createChainExecutor } from "./chain_executor.ts";

const GROUP = "chain events";
const EVENTS = 1_000;
const REQUESTER = `0x${"cd".repeat(32)}`;
const PAYLOAD = JSON.stringify({ data: { text: "x".repeat(800) } });

async function durableApi() {
  const directory = await Deno.makeTempDir({ prefix: "nautilus-bench-" });
  const store = await openTestStore({
    log: openSqliteLog({
      path: `${directory}/store.sqlite`,
      spawnWorker: (name) =>
        new Worker(new URL("../store/logs/sqlite_worker_entry.ts", import.meta.url), {
          type: "module",
          name,
        }),
    }),
  });
  const grant = {
    address: REQUESTER,
    namespaces: ["default"],
    verbs: ["create"],
    resources: ["configmaps"],
  };
  const { k8s, workers, ...api } = await testApi({ store, grants: [grant] });
  const log = getLogger(["bench"]);
  const executor = createChainExecutor({ store, k8s, workers, clock: Date.now, log });
  return {
    executor,
    close: async () => {
      await api[Symbol.asyncDispose]();
      await Deno.remove(directory, { recursive: true });
    },
  };
}

/** Object, result, index and cursor in one transaction, on disk when it counts. */
function applying(inFlight: number): BenchSpec["setup"] {
  return async () => {
    const { executor, close } = await durableApi();
    let count = 0;
    let cursor: string | undefined;
    const next = () => {
      const previousCursor = cursor;
      cursor = `cursor-${++count}`;
      return executor.apply({
        event: {
          kind: "k8s_request",
          request: {
            method: "POST",
            namespace: "default",
            resource: "ConfigMap",
            name: `from-the-chain-${count}`,
            path: undefined,
            payload: PAYLOAD,
            requester: REQUESTER,
            requestId: `r-${count}`,
            priority: 5,
            assignedWorker: undefined,
            sealTokenId: undefined,
            timestampMs: 1n,
          },
        },
        cursor,
        previousCursor,
        dedupeKey: `digest${count}/0`,
        checkpoint: 7n,
        sender: REQUESTER,
      });
    };
    return {
      run: async () => {
        const onTheWay = new Set<Promise<unknown>>();
        for (let i = 0; i < EVENTS; i++) {
          const work: Promise<unknown> = next().then(() => onTheWay.delete(work));
          onTheWay.add(work);
          while (onTheWay.size >= inFlight) await Promise.race(onTheWay);
        }
        await Promise.all(onTheWay);
      },
      close,
    };
  };
}

/**
 * From the chain's having `count` requests to the last of them being on disk here.
 *
 * @param pollIntervalMs as in the program for the lag; 1 for what can be sustained
 */
function following(count: number, pollIntervalMs: number): BenchSpec["setup"] {
  return async () => {
    const node = await spawnFakeNode();
    const ledger = await openGrpcLedger({ endpoint: node.url });
    const { executor, close } = await durableApi();
    let rounds = 0;
    let left = 0;
    let all = Promise.withResolvers<void>();
    const listener = createChainListener({
      ledger,
      packageId: node.packageId,
      cursorStore: executor.cursorStore,
      apply: async (delivery) => {
        await executor.apply(delivery);
        if (--left === 0) all.resolve();
      },
      clock: Date.now,
      pollIntervalMs,
      minPollIntervalMs: 1,
      maxInFlight: EVENTS_IN_FLIGHT,
    });
    const stop = new AbortController();
    const running = listener.run(stop.signal);
    return {
      run: async () => {
        left = count;
        all = Promise.withResolvers();
        await node.control("schedule", {
          requester: REQUESTER,
          method: "POST",
          resource: "ConfigMap",
          namespace: "default",
          name: `round-${++rounds}`,
          request_id: `round-${rounds}`,
          payload: PAYLOAD,
          count,
        });
        await all.promise;
      },
      close: async () => {
        stop.abort();
        await running;
        await ledger[Symbol.asyncDispose]();
        await node[Symbol.asyncDispose]();
        await close();
      },
    };
  };
}

export const benches: readonly BenchSpec[] = [
  {
    name: "chain event applied durably, one after the other",
    group: GROUP,
    opsPerRun: EVENTS,
    maxRuns: 5,
    setup: applying(1),
  },
  {
    name: "chain event applied durably, many on their way",
    group: GROUP,
    opsPerRun: EVENTS,
    maxRuns: 5,
    target: ">= 3,000/s",
    setup: applying(EVENTS_IN_FLIGHT),
  },
  {
    name: "chain event from a node in another process to the disk, sustained",
    group: GROUP,
    opsPerRun: 2 * EVENTS,
    maxRuns: 5,
    target: ">= 3,000/s",
    setup: following(2 * EVENTS, 1),
  },
  {
    name: "chain event lag: one, at the program's polling every 500 ms",
    group: GROUP,
    maxRuns: 20,
    setup: following(1, 500),
  },
];

registerWithDeno(benches, import.meta);
