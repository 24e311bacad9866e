import { assertEquals, assertStringIncludes } from "@std/assert";
import { configure, getLogger, type LogRecord, reset } from "@logtape/logtape";
import { admit } from "../../api/admission.ts";
import { ApiProblem } from "../../api/problem.ts";
import { LedgerUnavailable } from "../../sui/ledger.ts";
import { createSealTokenValidator } from "../../sui/seal_token.ts";
import { testApi } from "../../tests/fakes/api.ts";
import { FakeChain } from "../../tests/fakes/sui/chain.ts";
import { FakeGateway } from "../../tests/fakes/sui/gateway.ts";
import { MemoryLedger } from "../../tests/fakes/sui/memory_ledger.ts";
import { createRegistryWatch, type RegistryWatch } from "./registry_watch.ts";

/** Runs `rounds` looks, then stops. */
async function look(
  check: (round: number, signal: AbortSignal) => Promise<void>,
  rounds: number,
): Promise<
  { readonly watch: RegistryWatch; readonly warned: string[]; readonly slept: number[] }
> {
  const records: LogRecord[] = [];
  await configure({
    sinks: { list: (record) => void records.push(record) },
    loggers: [
      { category: ["test"], sinks: ["list"], lowestLevel: "debug" },
      { category: ["logtape", "meta"], lowestLevel: null },
    ],
    reset: true,
  });
  const slept: number[] = [];
  const { promise: enough, resolve } = Promise.withResolvers<void>();
  let round = 0;
  const watch = createRegistryWatch({
    check: (signal) => check(round++, signal),
    async sleep(ms, signal) {
      slept.push(ms);
      if (round < rounds) return;
      resolve();
      await new Promise<void>((over) =>
        signal.addEventListener("abort", () => over(), { once: true })
      );
    },
    log: getLogger(["test"]),
  });
  const stop = watch.start();
  await enough;
  await stop();
  await reset();
  const warned = records.filter(({ level }) => level === "warning")
    .map(({ properties }) => String(properties["problem"]));
  return { watch, warned, slept };
}

const NOWHERE = `0x${"7e".repeat(32)}`;

function world(pick?: (gateway: FakeGateway) => string, clusterId?: Uint8Array) {
  const clock = () => 1_790_000_000_000;
  const chain = new FakeChain({ clock });
  const gateway = new FakeGateway({ chain, clock });
  const registryId = pick?.(gateway) ?? gateway.registryId;
  const validator = createSealTokenValidator({
    ledger: new MemoryLedger(chain),
    packageId: gateway.packageId,
    registryId,
    ...(clusterId === undefined ? {} : { clusterId }),
    minimumStakeMist: 0n,
    clock,
    allowLegacyBearer: true,
  });
  return { registryId, validator };
}

Deno.test("createRegistryWatch() has nothing to say of a registry that is one", async () => {
  const { validator } = world();
  const { watch, warned, slept } = await look((_, signal) => validator.checkRegistry(signal), 2);
  assertEquals([watch.problem(), warned, slept], [undefined, [], [300_000, 300_000]]);
});

Deno.test("createRegistryWatch() names the registry and the reason, and warns once", async () => {
  const token = (gateway: FakeGateway) =>
    gateway.createToken({ owner: `0x${"a1".repeat(32)}`, nodeId: "n" }).tokenId;
  const cases: [ReturnType<typeof world>, string][] = [
    [world(() => NOWHERE), "no such object on chain"],
    [world(token), "::k8s_gateway::SealToken, expected shared"],
    [world(undefined, new Uint8Array(16).fill(9)), "expected 0909"],
  ];
  for (const [{ validator, registryId }, reason] of cases) {
    const { watch, warned, slept } = await look((_, signal) => validator.checkRegistry(signal), 3);
    assertStringIncludes(watch.problem() ?? "", registryId);
    assertStringIncludes(watch.problem() ?? "", reason);
    assertEquals(warned, [watch.problem()]);
    assertEquals(slept, [15_000, 15_000, 15_000]);
  }
});

Deno.test("createRegistryWatch() learns nothing from a chain that cannot be asked, and heals", async () => {
  const bad = world(() => NOWHERE).validator;
  const good = world().validator;
  const unheard = await look(() => Promise.reject(new LedgerUnavailable("down")), 2);
  assertEquals([unheard.watch.problem(), unheard.warned], [undefined, []]);
  const kept = await look(
    (round, signal) =>
      round === 0 ? bad.checkRegistry(signal) : Promise.reject(new LedgerUnavailable("down")),
    3,
  );
  assertEquals([kept.watch.problem()], kept.warned);
  const healed = await look(
    (round, signal) => (round === 0 ? bad : good).checkRegistry(signal),
    2,
  );
  assertEquals([healed.watch.problem(), healed.warned.length], [undefined, 1]);
});

Deno.test("admit() names a registry that cannot be used; /health is degraded by it", async () => {
  const { validator, registryId } = world(() => NOWHERE);
  const refusal = await admit(
    validator,
    { token: `seal_0x${"ab".repeat(32)}`, nodeId: "n" },
    0,
  ).then(() => undefined, (error: unknown) => error);
  if (!(refusal instanceof ApiProblem)) throw new Error(`no refusal: ${refusal}`);
  assertEquals([refusal.status, refusal.code], [502, "chain_protocol"]);
  assertStringIncludes(refusal.message, registryId);

  const problem = `registry ${registryId}: no such object on chain`;
  await using api = await testApi({ deps: { registryProblem: () => problem } });
  const health = await (await api.app.request("/health")).json();
  assertEquals([health.status, health.problems], ["degraded", [
    `nobody can be admitted: ${problem}`,
  ]]);
});
