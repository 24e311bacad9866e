import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { BackendError } from "./errors.ts";
import type { Bytes } from "./mod.ts";
import {
  decodeSealedBlob,
  encodeSealedBlob,
  importSealingKey,
  MAX_PLAINTEXT_LENGTH,
  type SealedParts,
  sealWithKey,
  unsealWithKey,
} from "./sealing.ts";

const runs = Deno.env.get("NAUTILUS_NIGHTLY") === "1" ? 1_000_000 : 5_000;
const bytes = (length: number, fill: number): Bytes => new Uint8Array(length).fill(fill);
const owned = (data: Uint8Array): Bytes => new Uint8Array(data);

const partsArbitrary: fc.Arbitrary<SealedParts> = fc.record({
  kind: fc.constantFrom("SGX", "SEV", "TrustZone", "TDX", "NITRO", "SIMULATION"),
  policy: fc.constantFrom("measurement", "signer"),
  suite: fc.constantFrom("aes-256-gcm", "native"),
  keyId: fc.uint8Array({ minLength: 16, maxLength: 16 }).map(owned),
  sealedTo: fc.uint8Array({ maxLength: 255 }).map(owned),
  parameters: fc.uint8Array({ maxLength: 1024 }).map(owned),
  body: fc.uint8Array({ maxLength: 300 }).map(owned),
});

Deno.test("encodeSealedBlob() and decodeSealedBlob() are each other's inverse", () => {
  fc.assert(fc.property(partsArbitrary, (parts) => {
    assertEquals(decodeSealedBlob(encodeSealedBlob(parts), parts.kind), parts);
  }));
});

Deno.test("encodeSealedBlob() gives the documented bytes", () => {
  const blob = encodeSealedBlob({
    kind: "SEV",
    policy: "signer",
    suite: "aes-256-gcm",
    keyId: bytes(16, 0x11),
    sealedTo: bytes(2, 0x22),
    parameters: bytes(3, 0x33),
    body: bytes(4, 0x44),
  });
  assertEquals(
    blob.toHex(),
    "4e545342" + "01" + "02" + "02" + "01" + "11".repeat(16) + "02" + "2222" + "0003" + "333333" +
      "00000004" + "c3d1f41fe86f3528" + "44444444",
  );
});

Deno.test("encodeSealedBlob() refuses fields beyond their limits", () => {
  const parts: SealedParts = {
    kind: "SEV",
    policy: "signer",
    suite: "native",
    keyId: bytes(16, 1),
    sealedTo: bytes(0, 0),
    parameters: bytes(0, 0),
    body: bytes(0, 0),
  };
  assertThrows(() => encodeSealedBlob({ ...parts, keyId: bytes(15, 1) }), RangeError);
  assertThrows(() => encodeSealedBlob({ ...parts, sealedTo: bytes(256, 1) }), RangeError);
  assertThrows(() => encodeSealedBlob({ ...parts, parameters: bytes(1025, 1) }), RangeError);
});

Deno.test("decodeSealedBlob() answers any bytes with parts or a typed refusal", () => {
  const seed = encodeSealedBlob({
    kind: "SIMULATION",
    policy: "signer",
    suite: "native",
    keyId: bytes(16, 7),
    sealedTo: bytes(32, 8),
    parameters: bytes(5, 9),
    body: bytes(40, 10),
  });
  const arbitrary = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.record({ at: fc.nat(seed.length), with: fc.uint8Array({ maxLength: 64 }) }).map((edit) => {
      const out = seed.slice();
      out.set(edit.with.subarray(0, Math.max(0, out.length - edit.at)), edit.at);
      return out;
    }),
  );
  fc.assert(
    fc.property(arbitrary, (input) => {
      try {
        const parts = decodeSealedBlob(owned(input), "SIMULATION");
        assertEquals(encodeSealedBlob(parts), owned(input));
      } catch (error) {
        assert(error instanceof BackendError, String(error));
        assert(["malformed", "tampered", "foreign_device"].includes(error.code));
      }
    }),
    { numRuns: runs },
  );
});

Deno.test("decodeSealedBlob() refuses another kind of TEE by its name", () => {
  const blob = encodeSealedBlob({
    kind: "SGX",
    policy: "signer",
    suite: "native",
    keyId: bytes(16, 1),
    sealedTo: bytes(0, 0),
    parameters: bytes(0, 0),
    body: bytes(0, 0),
  });
  const error = assertThrows(() => decodeSealedBlob(blob, "SEV"), BackendError);
  assertEquals(error.code, "foreign_device");
  assert(error.message.includes("SGX") && error.message.includes("SEV"));
});

Deno.test("sealWithKey() binds every header field and the aad", async () => {
  const key = await importSealingKey(bytes(32, 1));
  const about = {
    kind: "SEV",
    policy: "measurement",
    sealedTo: bytes(48, 2),
    parameters: bytes(9, 3),
  } as const;
  let counter = 0;
  const random = (length: number): Bytes => bytes(length, ++counter);
  const aad = bytes(3, 4);
  const blob = await sealWithKey(key, about, bytes(10, 5), aad, random);
  const parts = decodeSealedBlob(blob, "SEV");
  assertEquals(await unsealWithKey(key, parts, aad), bytes(10, 5));
  const others: Partial<SealedParts>[] = [
    { policy: "signer" },
    { sealedTo: bytes(48, 9) },
    { parameters: bytes(8, 3) },
    { keyId: bytes(16, 0) },
    { kind: "SGX" },
  ];
  for (const other of others) {
    const error = await assertRejects(
      () => unsealWithKey(key, { ...parts, ...other }, aad),
      BackendError,
    );
    assertEquals(error.code, "tampered", JSON.stringify(other));
  }
});

Deno.test("sealWithKey() refuses what is too large and randomness that is too short", async () => {
  const key = await importSealingKey(bytes(32, 1));
  const about = {
    kind: "SEV",
    policy: "signer",
    sealedTo: bytes(0, 0),
    parameters: bytes(0, 0),
  } as const;
  const none = bytes(0, 0);
  await assertRejects(
    () => sealWithKey(key, about, bytes(MAX_PLAINTEXT_LENGTH + 1, 0), none, (n) => bytes(n, 0)),
    RangeError,
  );
  await assertRejects(() => sealWithKey(key, about, none, none, () => bytes(4, 0)), RangeError);
  await assertRejects(() => importSealingKey(bytes(16, 0)), RangeError);
});
