import type { ChainClient } from "../../sui/chain_client.ts";
import { openGraphqlLedger } from "../../sui/graphql_ledger.ts";
import { openGrpcLedger } from "../../sui/grpc_ledger.ts";
import type { Ledger } from "../../sui/ledger.ts";
import { createQuorumLedger } from "../../sui/quorum_ledger.ts";
import { MemoryLedger } from "../fakes/sui/memory_ledger.ts";
import { type FakeNode, startFakeNode } from "../fakes/sui/server.ts";
import { type LedgerFixture, testLedger } from "./ledger_suite.ts";

testLedger({
  name: "MemoryLedger",
  open: (gateway) => {
    const ledger = new MemoryLedger(gateway.chain);
    return Promise.resolve({
      ledger,
      setReachable: (reachable) => {
        ledger.unavailable = reachable ? undefined : "as told";
      },
      setLag: (checkpoints) => {
        ledger.lag = BigInt(checkpoints);
      },
      [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose](),
    });
  },
});

type Open = (node: FakeNode) => Promise<ChainClient>;

const GRPC: Open = ({ url }) => openGrpcLedger({ endpoint: url });
const GRAPHQL: Open = ({ graphqlUrl }) => openGraphqlLedger({ endpoint: graphqlUrl });

/** One endpoint, told to be away or behind. */
function single(name: string, open: Open): void {
  testLedger({
    name,
    open: async (gateway) => {
      const node = await startFakeNode({ gateway });
      const ledger = await open(node);
      return { ledger, ...toldBy(node), [Symbol.asyncDispose]: () => close(ledger, [node]) };
    },
  });
}

/** One of two is enough to make a quorum impossible, and to hold it back: the second. */
function quorum(name: string, open: readonly [Open, Open]): void {
  testLedger({
    name,
    open: async (gateway) => {
      const first = await startFakeNode({ gateway });
      const second = await startFakeNode({ gateway });
      const ledger = createQuorumLedger({
        ledgers: [await open[0](first), await open[1](second)],
        retryMs: 1,
      });
      return {
        ledger,
        ...toldBy(second),
        [Symbol.asyncDispose]: () => close(ledger, [first, second]),
      };
    },
  });
}

function toldBy(node: FakeNode): Pick<LedgerFixture, "setReachable" | "setLag"> {
  return {
    setReachable: (reachable) => {
      if (reachable) node.faults.clear();
      else node.faults.set({ kind: "http_status", status: 503 });
    },
    setLag: (checkpoints) => {
      node.faults.clear();
      if (checkpoints > 0) node.faults.set({ kind: "lag", checkpoints });
    },
  };
}

async function close(ledger: Ledger, nodes: readonly FakeNode[]): Promise<void> {
  await ledger[Symbol.asyncDispose]();
  await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()));
}

single("GrpcLedger", GRPC);
single("GraphqlLedger", GRAPHQL);
quorum("QuorumLedger over two gRPC nodes", [GRPC, GRPC]);
quorum("QuorumLedger over gRPC and a GraphQL node to be told", [GRPC, GRAPHQL]);
quorum("QuorumLedger over GraphQL and a gRPC node to be told", [GRAPHQL, GRPC]);
