import { type BenchSpec, registerWithDeno } from "../tests/bench/harness.ts";
import { spawnFakeNode } from "../tests/fakes/sui/spawn.ts";
import { K8sAPIRequestScheduledEvent } from "./chain_event.ts";
import { createChainListener } from "./events.ts";
import { openEndpoints } from "./open_endpoint.ts";
import { createQuorumLedger } from "./quorum_ledger.ts";

const SENDER = "0x" + "a1".repeat(32);
const EVENTS = 2000;

/** Reads and decodes events from a node in another process; applying them costs nothing here. */
function following(
  maxInFlight: number,
  endpoints: (url: string) => readonly string[],
): BenchSpec["setup"] {
  return async () => {
    const node = await spawnFakeNode();
    const clients = await openEndpoints(endpoints(node.url));
    const [only, ...others] = clients;
    if (only === undefined) throw new TypeError("no endpoint");
    const ledger = others.length === 0 ? only : createQuorumLedger({ ledgers: clients });
    const contents = K8sAPIRequestScheduledEvent.serialize({
      request_id: "r-1",
      method: "POST",
      resource: "ConfigMap",
      namespace: "default",
      name: "x",
      payload: JSON.stringify({ data: { text: "x".repeat(800) } }),
      seal_token: "0x" + "00".repeat(32),
      requester: SENDER,
      priority: 5,
      assigned_worker: "",
      timestamp: 1n,
    }).toBytes();
    await node.control("event", {
      sender: SENDER,
      name: "K8sAPIRequestScheduledEvent",
      contents: contents.toHex(),
      count: EVENTS,
    });
    return {
      run: async () => {
        let cursor: string | undefined;
        let left = EVENTS;
        const done = new AbortController();
        const listener = createChainListener({
          ledger,
          packageId: node.packageId,
          cursorStore: { load: () => Promise.resolve(cursor), save: () => Promise.resolve() },
          apply: (delivery) => {
            cursor = delivery.cursor;
            if (--left === 0) done.abort();
            return Promise.resolve();
          },
          clock: Date.now,
          maxInFlight,
        });
        await listener.run(done.signal);
        if (left !== 0) throw new Error(`${left} events left: ${listener.status().detail}`);
      },
      close: async () => {
        await ledger[Symbol.asyncDispose]();
        await node[Symbol.asyncDispose]();
      },
    };
  };
}

export const benches: readonly BenchSpec[] = [
  {
    name: "read and decode, 1 KB each, node in another process",
    group: "chain events",
    opsPerRun: EVENTS,
    bytesPerOp: 1024,
    maxRuns: 50,
    target: ">= 3,000/s",
    setup: following(1, (url) => [url]),
  },
  {
    name: "the same by GraphQL",
    group: "chain events",
    opsPerRun: EVENTS,
    bytesPerOp: 1024,
    maxRuns: 50,
    setup: following(1, (url) => [`graphql+${url}/graphql`]),
  },
  {
    name: "the same where gRPC and GraphQL agree",
    group: "chain events",
    opsPerRun: EVENTS,
    bytesPerOp: 1024,
    maxRuns: 50,
    setup: following(1, (url) => [url, `graphql+${url}/graphql`]),
  },
];

registerWithDeno(benches, import.meta);
