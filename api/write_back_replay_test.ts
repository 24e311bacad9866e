/** A store that came back from elsewhere writes nothing on chain until the operator has decided. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  acceptRecovery,
  createMemoryLog,
  createRecoveryKeyPair,
  createRecoveryRequest,
  rewrapForRecovery,
} from "../store/mod.ts";
import type { MemoryMedium } from "../store/logs/memory.ts";
import { createTestSealer } from "../tests/fakes/test_sealer.ts";
import { openTestStore } from "../tests/fakes/test_store.ts";
import { GAS_BUDGET, type LifeOptions, WriteBackWorld } from "../tests/fakes/write_back_world.ts";

interface Restored {
  readonly world: WriteBackWorld;
  /** Of the restored store. */
  readonly where: Pick<LifeOptions, "medium" | "sealer">;
}

/**
 * A master executes `early` and `waiting`, and writes the first one back. A copy of its store is made;
 * then it executes and writes `late`. The copy comes back on another TEE.
 */
async function restored(): Promise<Restored> {
  const world = new WriteBackWorld();
  const operator = await createRecoveryKeyPair();
  await (await openTestStore({
    log: createMemoryLog(world.medium),
    sealer: world.sealer,
    recoveryKeys: [operator.publicKey],
  }))[Symbol.asyncDispose]();
  let copy: MemoryMedium;
  {
    await using master = await world.open();
    world.gateway.fund(master.address, 100n * GAS_BUDGET);
    world.schedule("early", "a");
    await master.follow();
    assertEquals((await master.write()).written, 1);
    world.schedule("waiting", "b");
    await master.follow();
    copy = structuredClone(world.medium);
    world.schedule("late", "c");
    await master.follow();
    // It dies with `waiting` unwritten and `late` written: the order is the chain's to choose.
    world.gateway.answer("late", master.address, "written by the former master");
  }
  const sealer = createTestSealer({ device: 2, measurement: 1 });
  const attester = {
    attest: () => Promise.resolve({ mediaType: "x", data: new Uint8Array(1), endorsements: [] }),
  };
  assert(copy.keyring !== undefined);
  const { request, ephemeralPrivateKey } = await createRecoveryRequest(copy.keyring, attester);
  const answer = await rewrapForRecovery(request, operator);
  const kek = await acceptRecovery(request, answer, ephemeralPrivateKey);
  const log = createMemoryLog(copy);
  await (await openTestStore({ log, sealer, recover: { kek } }))[Symbol.asyncDispose]();
  return { world, where: { medium: copy, sealer } };
}

const answered = (world: WriteBackWorld) => world.recorded().map(({ requestId }) => requestId);

Deno.test("held after a restore: nothing goes on chain, not even what waited before, however often it starts", async () => {
  const { world, where } = await restored();
  world.schedule("new", "d");
  for (let start = 0; start < 3; start++) {
    await using master = await world.open(where);
    assertEquals(await master.follow(), "held");
    const status = await master.write();
    assertEquals([status.state, status.waiting, status.written], ["held", 1, 0]);
    assertStringIncludes(status.detail, "--replay-events=skip");
    assertEquals(await master.executor.results("new"), []);
  }
  assertEquals(answered(world), ["early", "late"]);
});

for (const decision of ["skip", "apply"] as const) {
  Deno.test(`${decision} after a restore: what waited and what is executed is written exactly once`, async () => {
    const { world, where } = await restored();
    world.schedule("missed", "d");
    {
      await using held = await world.open(where);
      assertEquals(await held.follow(), "held");
      await held.write();
    }
    for (const given of [{ decision }, {}]) {
      await using master = await world.open({ ...where, ...given });
      assertEquals(await master.follow(), "followed");
      for (let i = 0; i < 5; i++) await master.write();
      const outcomes = async (id: string) =>
        (await master.executor.results(id)).map(({ writeBack }) => writeBack);
      const skipped = decision === "skip";
      assertEquals(await outcomes("waiting"), ["written"]);
      // The former master has answered it: that stands, whatever came of it here.
      assertEquals(await outcomes("late"), [skipped ? "off" : "answered"]);
      assertEquals(await outcomes("missed"), [skipped ? "off" : "written"]);
    }
    world.schedule("after", "e");
    await using master = await world.open(where);
    await master.follow();
    await master.write();
    const wanted = [
      "early",
      "late",
      "waiting",
      ...(decision === "apply" ? ["missed"] : []),
      "after",
    ];
    assertEquals(answered(world), wanted);
    assertEquals(world.writer.failed, 0, "and nothing was paid for twice");
  });
}
