/** Events of the chain, applied durably: from memory, and from a full node in another process. */
import { getLogger } from "@logtape/logtape";
import { selectAead } from "../store/aead/select.ts";
import { openSqliteLog } from "../store/logs/sqlite.ts";
import { createCheckpointWatch } from "../sui/checkpoint_watch.ts";
import { createChainListener, EVENTS_IN_FLIGHT, EVENTS_PER_PAGE } from "../sui/events.ts";
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
    // As the program chooses.
    aead: selectAead().provider,
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
        let onTheWay = 0;
        let wake = () => {};
        const until = async (isMet: () => boolean) => {
          while (!isMet()) await new Promise<void>((resolve) => wake = resolve);
        };
        const failed: unknown[] = [];
        for (let i = 0; i < EVENTS; i++) {
          onTheWay++;
          next().catch((error: unknown) => failed.push(error)).finally(() => {
            onTheWay--;
            wake();
          });
          if (onTheWay >= inFlight) await until(() => onTheWay < inFlight);
        }
        await until(() => onTheWay === 0);
        if (failed.length > 0) throw failed[0];
      },
      close,
    };
  };
}

/** How often the chain is asked, milliseconds, and whether its checkpoints wake the reader. */
interface Looks {
  readonly pollIntervalMs: number;
  readonly minPollIntervalMs: number;
  readonly isSubscribed: boolean;
}

/** As fast as it goes. */
const BUSY: Looks = { pollIntervalMs: 1, minPollIntervalMs: 1, isSubscribed: false };
/** As the program does. */
const SUBSCRIBED: Looks = { pollIntervalMs: 500, minPollIntervalMs: 50, isSubscribed: true };
const SLICE = 50;

/** As the program does where no endpoint makes checkpoints known. */
const POLLING: Looks = { ...SUBSCRIBED, isSubscribed: false };

/**
 * From the chain's having `count` requests to the last of them being on disk here.
 *
 * @param backlog rounds that the chain is ahead: it makes the next requests while these are applied
 */
function following(count: number, looks: Looks, backlog: number): BenchSpec["setup"] {
  return async () => {
    const node = await spawnFakeNode();
    const ledger = await openGrpcLedger({ endpoint: node.url });
    const { executor, close } = await durableApi();
    let rounds = 0;
    let applied = 0;
    let wanted = { count: 0, reached: () => {} };
    const listener = createChainListener({
      ledger,
      packageId: node.packageId,
      cursorStore: executor.cursorStore,
      apply: async (delivery) => {
        await executor.apply(delivery);
        if (++applied === wanted.count) wanted.reached();
      },
      clock: Date.now,
      pollIntervalMs: looks.pollIntervalMs,
      minPollIntervalMs: looks.minPollIntervalMs,
      maxInFlight: EVENTS_IN_FLIGHT,
      pageSize: EVENTS_PER_PAGE,
    });
    const watch = createCheckpointWatch({
      endpoints: looks.isSubscribed ? [ledger] : [],
      wake: () => listener.wake(),
      clock: Date.now,
    });
    /** In slices: a chain that makes thousands in one go serves nobody meanwhile. */
    const schedule = async () => {
      const round = ++rounds;
      for (let made = 0; made < count; made += SLICE) {
        await node.control("schedule", {
          requester: REQUESTER,
          method: "POST",
          resource: "ConfigMap",
          namespace: "default",
          name: `round-${round}-${made}`,
          request_id: `round-${round}-${made}`,
          payload: PAYLOAD,
          count: Math.min(SLICE, count - made),
        });
      }
    };
    for (let i = 0; i < backlog; i++) await schedule();
    const stop = new AbortController();
    const running = Promise.all([listener.run(stop.signal), watch.run(stop.signal)]);
    return {
      run: async () => {
        await Promise.all([
          schedule(),
          new Promise<void>((resolve) => {
            wanted = { count: (rounds - backlog) * count, reached: resolve };
            if (applied >= wanted.count) resolve();
          }),
        ]);
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
    setup: following(2 * EVENTS, BUSY, 1),
  },
  {
    name:
      "chain event: 2,000 made by a node in another process, then on the disk, from a standstill",
    group: GROUP,
    opsPerRun: 2 * EVENTS,
    maxRuns: 5,
    setup: following(2 * EVENTS, BUSY, 0),
  },
  {
    name: "chain event lag: one, woken by the node's checkpoints",
    group: GROUP,
    maxRuns: 50,
    target: "<= 100 ms",
    setup: following(1, SUBSCRIBED, 0),
  },
  {
    name: "chain event lag: one, at the program's polling every 500 ms alone",
    group: GROUP,
    maxRuns: 20,
    setup: following(1, POLLING, 0),
  },
];

registerWithDeno(benches, import.meta);
