import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { ChainEvent } from "../sui/chain_event.ts";
import { createTestSealer } from "../tests/fakes/test_sealer.ts";
import { openTestStore } from "../tests/fakes/test_store.ts";
import {
  createMemoryLog,
  createMemoryMedium,
  createRecoveryKeyPair,
  createRecoveryRequest,
  type Store,
} from "../store/mod.ts";
import { acceptRecovery, rewrapForRecovery } from "../store/mod.ts";
import { openReplayGate, ReplayDecided, ReplayHeld } from "./chain_replay.ts";

const REQUEST: ChainEvent = {
  kind: "k8s_request",
  request: {
    method: "POST",
    namespace: "default",
    resource: "Pod",
    name: "web",
    path: undefined,
    payload: "{}",
    requester: `0x${"cd".repeat(32)}`,
    requestId: undefined,
    priority: 5,
    assignedWorker: undefined,
    sealTokenId: undefined,
    timestampMs: 1n,
  },
};
const REVOKED: ChainEvent = {
  kind: "seal_token_revoked",
  nodeId: "n",
  tokenId: `0x${"ab".repeat(32)}`,
  timestampMs: 1n,
};

const at = (checkpoint: bigint, event: ChainEvent = REQUEST) => ({ event, checkpoint });

/** A store that came back on another TEE, opened again and again. */
async function recovered(): Promise<{ open(): Promise<Store> }> {
  const medium = createMemoryMedium();
  const operator = await createRecoveryKeyPair();
  const log = () => createMemoryLog(medium);
  const sealer = createTestSealer({ device: 2, measurement: 1 });
  await (await openTestStore({ log: log(), recoveryKeys: [operator.publicKey] }))
    [Symbol.asyncDispose]();
  const attester = {
    attest: () => Promise.resolve({ mediaType: "x", data: new Uint8Array(1), endorsements: [] }),
  };
  const { request, ephemeralPrivateKey } = await createRecoveryRequest(medium.keyring!, attester);
  const kek = await acceptRecovery(
    request,
    await rewrapForRecovery(request, operator),
    ephemeralPrivateKey,
  );
  await (await openTestStore({ log: log(), sealer, recover: { kek } }))[Symbol.asyncDispose]();
  return { open: () => openTestStore({ log: log(), sealer }) };
}

Deno.test("openReplayGate() of a store that never came back from anywhere lets everything through", async () => {
  await using store = await openTestStore();
  const { sequence } = store.head();
  for (const decision of [undefined, "skip", "apply"] as const) {
    const gate = await openReplayGate(store, decision);
    assertEquals(gate.notice, undefined);
    await gate.reached(9n);
    assertEquals(gate.admit(at(1n)), "execute");
  }
  assertEquals(store.head().sequence, sequence);
});

Deno.test("openReplayGate() holds requests, and nothing else, over restarts until it is told", async () => {
  const { open } = await recovered();
  for (let start = 0; start < 70; start++) {
    await using store = await open();
    const gate = await openReplayGate(store, undefined);
    await gate.reached(9n);
    assertThrows(() => gate.admit(at(1n)), ReplayHeld, "--replay-events=skip");
    assertThrows(() => gate.admit(at(10n)), ReplayHeld);
    assertEquals(gate.admit(at(1n, REVOKED)), "execute");
  }
});

Deno.test("openReplayGate() skips up to the tip that the chain first showed after the decision", async () => {
  const { open } = await recovered();
  {
    await using store = await open();
    const gate = await openReplayGate(store, "skip");
    assertEquals(gate.admit(at(1n)), "skip");
    await gate.reached(9n);
    await gate.reached(20n);
    assertEquals([8n, 9n, 10n].map((tip) => gate.admit(at(tip))), ["skip", "skip", "execute"]);
    assertEquals(gate.admit(at(8n, REVOKED)), "execute");
  }
  await using store = await open();
  const gate = await openReplayGate(store, undefined);
  await gate.reached(30n);
  assertEquals([9n, 10n].map((tip) => gate.admit(at(tip))), ["skip", "execute"]);
  await openReplayGate(store, "skip");
  await assertRejects(() => openReplayGate(store, "apply"), ReplayDecided, "skip");
});

Deno.test("openReplayGate() executes everything after apply", async () => {
  const { open } = await recovered();
  {
    await using store = await open();
    await openReplayGate(store, undefined);
    assertEquals((await openReplayGate(store, "apply")).admit(at(1n)), "execute");
  }
  await using store = await open();
  const gate = await openReplayGate(store, undefined);
  assertEquals(gate.notice, undefined);
  assertEquals(gate.admit(at(1n)), "execute");
});
