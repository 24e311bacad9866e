import { openGrpcLedger } from "../../sui/grpc_ledger.ts";
import { createQuorumLedger } from "../../sui/quorum_ledger.ts";
import { MemoryLedger } from "../fakes/sui/memory_ledger.ts";
import { startFakeNode } from "../fakes/sui/server.ts";
import { testLedger } from "./ledger_suite.ts";

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

testLedger({
  name: "GrpcLedger",
  open: async (gateway) => {
    const node = await startFakeNode({ gateway });
    const ledger = await openGrpcLedger({ endpoint: node.url });
    return {
      ledger,
      setReachable: (reachable) => {
        if (reachable) node.faults.clear();
        else node.faults.set({ kind: "http_status", status: 503 });
      },
      setLag: (checkpoints) => {
        node.faults.clear();
        if (checkpoints > 0) node.faults.set({ kind: "lag", checkpoints });
      },
      [Symbol.asyncDispose]: async () => {
        await ledger[Symbol.asyncDispose]();
        await node[Symbol.asyncDispose]();
      },
    };
  },
});

testLedger({
  name: "QuorumLedger over two gRPC nodes",
  open: async (gateway) => {
    const nodes = [await startFakeNode({ gateway }), await startFakeNode({ gateway })];
    const ledger = createQuorumLedger({
      ledgers: await Promise.all(nodes.map(({ url }) => openGrpcLedger({ endpoint: url }))),
      retryMs: 1,
    });
    const behind = nodes[1];
    return {
      ledger,
      // One of two is enough to make a quorum impossible, and to hold it back.
      setReachable: (reachable) => {
        if (reachable) behind?.faults.clear();
        else behind?.faults.set({ kind: "http_status", status: 503 });
      },
      setLag: (checkpoints) => {
        behind?.faults.clear();
        if (checkpoints > 0) behind?.faults.set({ kind: "lag", checkpoints });
      },
      [Symbol.asyncDispose]: async () => {
        await ledger[Symbol.asyncDispose]();
        await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()));
      },
    };
  },
});
