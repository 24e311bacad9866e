import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { BackendError } from "./errors.ts";
import { hardwareFactories } from "./hardware.ts";
import type { BackendFactory, ProbeResult, TeeType } from "./mod.ts";
import { createProbeHost } from "./probe.ts";
import { createRegistry } from "./registry.ts";

function factory(kind: TeeType, probe: () => Promise<ProbeResult>): BackendFactory {
  return { kind, securityLevel: 2, probe, open: () => Promise.reject(new Error("not here")) };
}
const yes = (): Promise<ProbeResult> =>
  Promise.resolve({ available: true, signals: [], reason: "found" });
const no = (): Promise<ProbeResult> =>
  Promise.resolve({ available: false, signals: [], reason: "no device" });
const never = (): never => {
  throw new Error("not while probing");
};
const simulation = factory("SIMULATION", yes);

Deno.test("createRegistry() refuses two of one kind, and the simulation in the wrong place", () => {
  for (
    const make of [
      () => createRegistry([factory("SEV", no), factory("SEV", yes)]),
      () => createRegistry([simulation]),
      () => createRegistry([], factory("SGX", yes)),
    ]
  ) assertEquals(assertThrows(make, BackendError).code, "duplicate");
});

Deno.test("hardwareFactories() stand in the original's order, then TDX and NITRO", () => {
  const registry = createRegistry(
    hardwareFactories({ host: createProbeHost(), spawnWorker: never, random: never, clock: never }),
    simulation,
  );
  assertEquals(registry.kinds, ["SGX", "SEV", "TrustZone", "TDX", "NITRO"]);
});

Deno.test("detect() asks all at once and answers in order", async () => {
  const started: TeeType[] = [];
  const gate = Promise.withResolvers<void>();
  const waiting = (kind: TeeType, last: boolean): BackendFactory =>
    factory(kind, async () => {
      started.push(kind);
      if (last) gate.resolve();
      await gate.promise; // the first is released only once the last has started
      return no();
    });
  const registry = createRegistry([
    waiting("SGX", false),
    waiting("SEV", false),
    waiting("TDX", true),
  ]);
  const found = await registry.detect();
  assertEquals(found.map(({ kind }) => kind), ["SGX", "SEV", "TDX"]);
  assertEquals(started, ["SGX", "SEV", "TDX"]);
});

Deno.test("detect() turns a probe that throws into a no with its reason", async () => {
  const registry = createRegistry([
    factory("SGX", () => Promise.reject(new Error("the disk is on fire"))),
    factory("SEV", yes),
  ]);
  const [sgx, sev] = await registry.detect();
  assertEquals(sgx?.probe.available, false);
  assert(sgx?.probe.reason.includes("the disk is on fire"));
  assertEquals((await registry.select("auto")).factory.kind, sev?.kind);
});

Deno.test("select() takes the first hardware there is, in auto and in production", async () => {
  const registry = createRegistry(
    [factory("SGX", no), factory("TDX", yes), factory("NITRO", yes)],
    simulation,
  );
  for (const mode of ["auto", "production"]) {
    const selection = await registry.select(mode);
    assertEquals(selection.factory.kind, "TDX");
    assertEquals(selection.detections.length, 3);
  }
});

Deno.test("select() never falls into the simulation, and names the way to it only in auto", async () => {
  const registry = createRegistry([factory("SGX", no)], simulation);
  const auto = await assertRejects(() => registry.select("auto"), BackendError);
  assertEquals(auto.code, "unavailable");
  assert(auto.message.includes("SGX: no device"));
  assert(auto.hint?.includes("TEE_MODE=simulation"));
  const production = await assertRejects(() => registry.select("production"), BackendError);
  assertEquals(production.code, "unavailable");
  assert(!production.hint?.includes("simulation"));
});

Deno.test("select() gives the simulation when asked by name, and asks no hardware", async () => {
  const registry = createRegistry(
    [factory("SGX", () => Promise.reject(new Error("must not be asked")))],
    simulation,
  );
  assertEquals(await registry.select("simulation"), { factory: simulation, detections: [] });
  const bare = createRegistry([]);
  assertEquals(
    (await assertRejects(() => bare.select("simulation"), BackendError)).code,
    "unavailable",
  );
});

Deno.test("select() refuses a typo with the value and what would be valid", async () => {
  const registry = createRegistry([factory("SEV", yes)], simulation);
  for (const mode of ["Simulation", "prod", "", "disabled"]) {
    const error = await assertRejects(() => registry.select(mode), BackendError);
    assertEquals(error.code, "config_invalid");
    assert(error.message.includes(JSON.stringify(mode)));
    assert(error.message.includes("auto, production, simulation"));
  }
});
