import { assert, assertEquals } from "@std/assert";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { NodeKeys } from "./node_keys.ts";

const message = new TextEncoder().encode("beat");

function spkiOf(key: KeyObject): Uint8Array<ArrayBuffer> {
  return new Uint8Array(key.export({ type: "spki", format: "der" }));
}

function signer() {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  return {
    spki: spkiOf(publicKey),
    sign: () => new Uint8Array(sign(null, message, privateKey)),
  };
}

Deno.test("NodeKeys.verify() answers the same for keys that are ready, were given up, or are new", () => {
  const keys = new NodeKeys(3);
  const signers = Array.from({ length: 5 }, signer);
  const other = signer().sign();
  for (const which of [0, 0, 1, 2, 3, 4, 0, 4, 1, 1, 3]) {
    const one = signers[which];
    assert(one !== undefined);
    assert(keys.verify(one.spki, message, one.sign()));
    assertEquals(keys.verify(one.spki, message, other), false);
    assertEquals(keys.verify(one.spki, message.subarray(1), one.sign()), false);
    assert(keys.size <= 3);
  }
});

Deno.test("NodeKeys.verify() is false for what is no Ed25519 key, and keeps nothing of it", () => {
  const keys = new NodeKeys(3);
  const x25519 = spkiOf(generateKeyPairSync("x25519").publicKey);
  const p256 = spkiOf(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey);
  const { spki, sign } = signer();
  for (const bad of [x25519, p256, new Uint8Array(0), new Uint8Array(44), spki.subarray(1)]) {
    assertEquals(keys.verify(bad, message, sign()), false);
  }
  assertEquals(keys.verify(spki, message, new Uint8Array(63)), false);
  assertEquals(keys.size, 1);
});
