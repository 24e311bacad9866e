import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import type { Attester, Bytes } from "../backends/mod.ts";
import { createTestSealer } from "../tests/fakes/test_sealer.ts";
import { commit, listing, openTestStore, put } from "../tests/fakes/test_store.ts";
import { StoreError } from "./errors.ts";
import { createMemoryLog, createMemoryMedium, type MemoryMedium } from "./logs/memory.ts";
import {
  acceptRecovery,
  createRecoveryKeyPair,
  createRecoveryRequest,
  decodeRecoveryRequest,
  decodeRecoveryResponse,
  recoveryReportData,
  rewrapForRecovery,
} from "./recovery.ts";
import type { Store } from "./types.ts";

/** Evidence that is only what it must bind. */
const attester: Attester = {
  attest: (reportData: Bytes) =>
    Promise.resolve({ mediaType: "test/evidence", data: reportData, endorsements: [] }),
};

const newTee = createTestSealer({ device: 2, measurement: 7 });

async function secrets(store: Store): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const purpose of ["identity", "tls", "session-token", "etcd-ca", "sui-signer"] as const) {
    found[purpose] = (await store.secret(purpose)).toHex();
  }
  return found;
}

async function refused(action: () => Promise<unknown>, code: string): Promise<StoreError> {
  const error = await assertRejects(action, StoreError);
  assertEquals(error.code, code);
  return error;
}

function overWire(document: unknown): unknown {
  return JSON.parse(JSON.stringify(document));
}

Deno.test("a recovery drill: the TEE is gone, the operator's key opens the store on another one", async () => {
  const medium = createMemoryMedium();
  const operator = await createRecoveryKeyPair();
  const second = await createRecoveryKeyPair();
  let before: Record<string, string>;
  {
    await using store = await openTestStore({
      log: createMemoryLog(medium),
      recoveryKeys: [operator.publicKey],
    });
    await commit(store, put("etcd", "a", "kept"));
    await store.addRecoveryKey(second.publicKey);
    await store.addRecoveryKey(second.publicKey);
    assertEquals(store.keyStatus().wraps.map((wrap) => wrap.type), [
      "sealer",
      "recovery",
      "recovery",
    ]);
    before = await secrets(store);
  }
  await refused(
    () => openTestStore({ log: createMemoryLog(medium), sealer: newTee }),
    "keyring_sealed_elsewhere",
  );
  for (const key of [operator, second]) {
    const { request, ephemeralPrivateKey } = await createRecoveryRequest(medium.keyring!, attester);
    // The operator appraises the evidence; here it is what it must bind.
    const seen = decodeRecoveryRequest(overWire(request));
    assertEquals(Uint8Array.fromBase64(seen.evidence.data), recoveryReportData(seen));
    const response = decodeRecoveryResponse(overWire(await rewrapForRecovery(seen, key)));
    const kek = await acceptRecovery(request, response, ephemeralPrivateKey);
    const copy: MemoryMedium = { ...medium, records: new Map(medium.records) };
    const open = () => openTestStore({ log: createMemoryLog(copy), sealer: newTee });
    let after: Record<string, string>;
    {
      await using recovered = await openTestStore({
        log: createMemoryLog(copy),
        sealer: newTee,
        recover: { kek },
      });
      assertEquals(await listing(recovered, "etcd"), ["a=kept"]);
      after = await secrets(recovered);
    }
    for (const renewed of ["identity", "tls", "session-token"]) {
      assertNotEquals(after[renewed], before[renewed], renewed);
    }
    for (const kept of ["etcd-ca", "sui-signer"]) assertEquals(after[kept], before[kept], kept);
    // From here on it is the new TEE's own; the recovery keys still hold, the old TEE is out.
    await using store = await open();
    assertEquals(await secrets(store), after);
    assertEquals(store.keyStatus().wraps.length, 3);
    await refused(() => openTestStore({ log: createMemoryLog(copy) }), "keyring_sealed_elsewhere");
  }
});

Deno.test("recovery refuses a wrong key, another request's answer and another store's KEK", async () => {
  const medium = createMemoryMedium();
  const operator = await createRecoveryKeyPair();
  const log = () => createMemoryLog(medium);
  await (await openTestStore({ log: log(), recoveryKeys: [operator.publicKey] }))
    [Symbol.asyncDispose]();
  const { request, ephemeralPrivateKey } = await createRecoveryRequest(medium.keyring!, attester);
  const stranger = await createRecoveryKeyPair();
  await refused(() => rewrapForRecovery(request, stranger), "invalid_request");
  const imposter = { publicKey: operator.publicKey, privateKey: stranger.privateKey };
  await refused(() => rewrapForRecovery(request, imposter), "keyring_altered");
  const response = await rewrapForRecovery(request, operator);
  const other = await createRecoveryRequest(medium.keyring!, attester);
  await refused(
    () => acceptRecovery(other.request, response, other.ephemeralPrivateKey),
    "invalid_request",
  );
  const altered = { ...request, keyring_sha256: "00".repeat(32) };
  await refused(() => rewrapForRecovery(altered, operator), "invalid_request");
  const before = structuredClone(medium);
  const foreign = new Uint8Array(32).fill(1);
  await refused(
    () => openTestStore({ log: log(), sealer: newTee, recover: { kek: foreign } }),
    "keyring_altered",
  );
  assertEquals(medium, before);
  assert((await acceptRecovery(request, response, ephemeralPrivateKey)).length === 32);
  // Who carries the answer can neither add the consent to a lost anchor nor take it away.
  const { accept_lost_anchor: consent, ...without } = await rewrapForRecovery(
    request,
    operator,
    true,
  );
  assertEquals(consent, true);
  await refused(() => acceptRecovery(request, without, ephemeralPrivateKey), "invalid_request");
  await refused(
    () => acceptRecovery(request, { ...response, accept_lost_anchor: true }, ephemeralPrivateKey),
    "invalid_request",
  );
});

Deno.test("recovery documents are decoded strictly", () => {
  for (const document of [null, {}, { v: 2 }, { v: 1, store_id: "xyz" }]) {
    assertThrows(() => decodeRecoveryRequest(document), StoreError);
    assertThrows(() => decodeRecoveryResponse(document), StoreError);
  }
});

Deno.test("addRecoveryKey() refuses what is no public key, and the store goes on", async () => {
  await using store = await openTestStore();
  await refused(() => store.addRecoveryKey(new Uint8Array(31)), "invalid_request");
  await commit(store, put("etcd", "a", "1"));
  assertEquals(store.keyStatus().keyringVersion, 1);
});
