import { assertEquals } from "@std/assert";
import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import { attestationSignatureInput, enclaveId, reportData } from "./attestation.ts";
import type { Bytes } from "./mod.ts";

/** PKCS #8 and SPKI of an Ed25519 seed (RFC 8410). */
function ed25519(seedByte: number): { key: ReturnType<typeof createPrivateKey>; spki: Bytes } {
  const der = new Uint8Array(48);
  der.set(Uint8Array.fromHex("302e020100300506032b657004220420"));
  der.fill(seedByte, 16);
  const key = createPrivateKey({ key: der as never, format: "der", type: "pkcs8" });
  return {
    key,
    spki: new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" })),
  };
}

const sequence = (start: number): Bytes => Uint8Array.from({ length: 16 }, (_, i) => start + i);

Deno.test("reportData() gives the wire vector", async () => {
  const config = new TextEncoder().encode("config");
  const data = reportData({
    nonce: Uint8Array.fromHex("00112233445566778899aabbccddeeff"),
    bootId: new Uint8Array(16),
    identitySpki: ed25519(7).spki,
    tlsSpki: ed25519(9).spki,
    configDigest: new Uint8Array(await crypto.subtle.digest("SHA-256", config)),
    storeId: sequence(0xa0),
    incarnation: sequence(0xb0),
  });
  assertEquals(
    data.toHex(),
    "8b5440f1522c6abeceef2d7b4f71f8252f981f80df878ec65df92987f9e37a2b" +
      "495fe60b562ac7c0ad0efc8756a5c658974cbbb9a99aed1941c49beec3b22487",
  );
});

Deno.test("attestationSignatureInput() gives the wire vector when signed", () => {
  const signature = sign(
    null,
    attestationSignatureInput(new TextEncoder().encode('{"v":1}')),
    ed25519(7).key,
  );
  assertEquals(
    new Uint8Array(signature).toHex(),
    "7a27af42ae599df582b440465d4f88532498b10ab1361177c66099fa41fafaad" +
      "168727e9101bec2b81357a730b1cb88f738e8d86f8cf88e9e05a14ce47ba810a",
  );
});

Deno.test("reportData() changes with the freshness branch even when the bytes are the same", () => {
  const base = {
    bootId: sequence(1),
    identitySpki: new Uint8Array(44),
    tlsSpki: new Uint8Array(0),
    configDigest: new Uint8Array(32),
    storeId: sequence(2),
    incarnation: sequence(3),
  };
  const withNonce = reportData({ ...base, nonce: sequence(1) });
  const withBootId = reportData({ ...base, nonce: undefined });
  assertEquals(withNonce.length, 64);
  assertEquals(withNonce.toHex() === withBootId.toHex(), false);
  assertEquals(enclaveId(base.identitySpki).length, 32);
});
