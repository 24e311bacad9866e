import { assertEquals } from "@std/assert";
import { ed25519 } from "@noble/curves/ed25519.js";
import { isWeakEd25519Key } from "./ed25519_key.ts";

const small = [
  "0100000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000080",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0000000000000000000000000000000000000000000000000000000000000080",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
];

Deno.test("isWeakEd25519Key() knows every point of small order, whichever way it is written", () => {
  for (const key of small) assertEquals(isWeakEd25519Key(Uint8Array.fromHex(key)), true, key);
});

Deno.test("isWeakEd25519Key() refuses y of 2^255 - 19 and more, not what is below", () => {
  for (const first of [0xed, 0xee, 0xf0, 0xff]) {
    for (const last of [0x7f, 0xff]) {
      const key = new Uint8Array(32).fill(0xff);
      [key[0], key[31]] = [first, last];
      assertEquals(isWeakEd25519Key(key), true, key.toHex());
    }
  }
  const below = new Uint8Array(32).fill(0xff);
  [below[0], below[31]] = [0xeb, 0x7f];
  assertEquals(isWeakEd25519Key(below), false);
});

Deno.test("isWeakEd25519Key() takes the keys that people have", () => {
  for (let seed = 0; seed < 16; seed++) {
    const key = ed25519.getPublicKey(new Uint8Array(32).fill(seed));
    assertEquals(isWeakEd25519Key(key), false, String(seed));
  }
});
