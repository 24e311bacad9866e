import { FakeChain } from "../tests/fakes/sui/chain.ts";
import { FakeGateway, MIST_PER_SUI } from "../tests/fakes/sui/gateway.ts";
import { MemoryLedger } from "../tests/fakes/sui/memory_ledger.ts";
import { spawnFakeNode } from "../tests/fakes/sui/spawn.ts";
import { type BenchSpec, registerWithDeno } from "../tests/bench/harness.ts";
import { openEndpoints } from "./open_endpoint.ts";
import { createQuorumLedger } from "./quorum_ledger.ts";
import { createSealTokenValidator } from "./seal_token.ts";

const CLAIM = "100 checks/s at 100 ms in 4 KB";
const OWNER = "0x" + "a1".repeat(32);

/** In memory: what a check costs when the chain need not be asked. */
function memory(
  pick: (
    gateway: FakeGateway,
    validator: ReturnType<typeof createSealTokenValidator>,
  ) => Promise<() => Promise<unknown>>,
  allowLegacyBearer = true,
): BenchSpec["setup"] {
  return async () => {
    const chain = new FakeChain({ clock: Date.now });
    const gateway = new FakeGateway({ chain, clock: Date.now });
    const validator = createSealTokenValidator({
      ledger: new MemoryLedger(chain),
      packageId: gateway.packageId,
      registryId: gateway.registryId,
      minimumStakeMist: MIST_PER_SUI,
      clock: Date.now,
      cacheTtlMs: 3_600_000,
      negativeCacheTtlMs: 3_600_000,
      allowLegacyBearer,
    });
    const check = await pick(gateway, validator);
    return {
      run: async () => {
        for (let i = 0; i < 1000; i++) await check();
      },
    };
  };
}

type Endpoints = (url: string) => readonly string[];

const GRPC: Endpoints = (url) => [url];
const GRAPHQL: Endpoints = (url) => [`graphql+${url}/graphql`];
const BOTH: Endpoints = (url) => [...GRPC(url), ...GRAPHQL(url)];

/** Against a stand-in node in a process of its own; nothing is cached. */
const cold = (endpoints: Endpoints): BenchSpec["setup"] => async () => {
  const node = await spawnFakeNode();
  const tokens: { tokenId: string; nodeId: string }[] = [];
  for (let i = 0; i < 256; i++) {
    const nodeId = `node-${i}`;
    const made = await node.control("token", { owner: OWNER, node_id: nodeId });
    tokens.push({ tokenId: String(made["token_id"]), nodeId });
  }
  const clients = await openEndpoints(endpoints(node.url));
  const [only, ...others] = clients;
  if (only === undefined) throw new TypeError("no endpoint");
  const ledger = others.length === 0 ? only : createQuorumLedger({ ledgers: clients });
  const validator = createSealTokenValidator({
    ledger,
    packageId: node.packageId,
    registryId: node.registryId,
    minimumStakeMist: MIST_PER_SUI,
    clock: Date.now,
    cacheTtlMs: 0,
    negativeCacheTtlMs: 0,
    allowLegacyBearer: true,
  });
  let next = 0;
  return {
    run: async () => {
      const { tokenId = "", nodeId = "" } = tokens[next++ % tokens.length] ?? {};
      const decision = await validator.check(tokenId, nodeId);
      if (!decision.valid) throw new Error(decision.reason);
    },
    close: async () => {
      await ledger[Symbol.asyncDispose]();
      await node[Symbol.asyncDispose]();
    },
  };
};

export const benches: readonly BenchSpec[] = [
  {
    name: "cached",
    group: "token check",
    opsPerRun: 1000,
    claim: CLAIM,
    target: ">= 200,000/s",
    setup: memory(async (gateway, validator) => {
      const { token } = gateway.createToken({ owner: OWNER, nodeId: "node-a" });
      await validator.validate({ token, nodeId: "node-a" });
      return () => validator.validate({ token, nodeId: "node-a" });
    }),
  },
  {
    name: "cached, 10,000 tokens",
    group: "token check",
    opsPerRun: 1000,
    claim: CLAIM,
    target: ">= 200,000/s",
    setup: memory(async (gateway, validator) => {
      const all = Array.from({ length: 10_000 }, (_, i) => ({
        token: gateway.createToken({ owner: OWNER, nodeId: `node-${i}` }).token,
        nodeId: `node-${i}`,
      }));
      for (const one of all) await validator.validate(one);
      let next = 0;
      return () => validator.validate(all[next++ % all.length] ?? { token: "", nodeId: "" });
    }),
  },
  {
    name: "refused: unknown token, cached",
    group: "token check",
    opsPerRun: 1000,
    claim: CLAIM,
    setup: memory((_, validator) =>
      Promise.resolve(() =>
        validator.validate({ token: "seal_0x" + "77".repeat(32), nodeId: "node-a" })
      )
    ),
  },
  {
    name: "refused: bare id without --legacy-bearer-tokens",
    group: "token check",
    opsPerRun: 1000,
    claim: CLAIM,
    setup: memory(
      (_, validator) =>
        Promise.resolve(() =>
          validator.validate({ token: "seal_0x" + "77".repeat(32), nodeId: "node-a" })
        ),
      false,
    ),
  },
  { name: "cold, 1 in flight", group: "token check", claim: CLAIM, setup: cold(GRPC) },
  {
    name: "cold, 16 in flight",
    group: "token check",
    claim: CLAIM,
    inFlight: 16,
    setup: cold(GRPC),
  },
  {
    name: "cold, 64 in flight",
    group: "token check",
    claim: CLAIM,
    inFlight: 64,
    target: ">= 1,500/s",
    setup: cold(GRPC),
  },
  { name: "cold by GraphQL, 1 in flight", group: "token check", setup: cold(GRAPHQL) },
  {
    name: "cold by GraphQL, 64 in flight",
    group: "token check",
    inFlight: 64,
    setup: cold(GRAPHQL),
  },
  {
    name: "cold, gRPC and GraphQL agree, 64 in flight",
    group: "token check",
    inFlight: 64,
    setup: cold(BOTH),
  },
];

registerWithDeno(benches, import.meta);
