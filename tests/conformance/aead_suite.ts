/** What every AEAD provider must do, run over each of them: see store/aead_test.ts. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import type { Bytes } from "../../backends/mod.ts";
import { AeadError, type AeadKey, type AeadProvider } from "../../store/aead.ts";
import { webCryptoAead } from "../../store/aead/webcrypto.ts";

const RECORD_OVERHEAD = 16;

export async function seal(
  key: AeadKey,
  plaintext: Bytes,
  nonce: Bytes,
  aad: Bytes,
): Promise<Bytes> {
  const out = new Uint8Array(plaintext.length + RECORD_OVERHEAD);
  await key.sealInto(plaintext, nonce, aad, out);
  return out;
}

const bytes = (options: { minLength?: number; maxLength: number }) =>
  fc.uint8Array(options).map((value) => new Uint8Array(value));

export function aeadSuite(provider: AeadProvider): void {
  const title = `AeadProvider ${provider.name}`;

  Deno.test(`${title}: gives the bytes of the reference and opens them`, async () => {
    const reference = webCryptoAead();
    await fc.assert(
      fc.asyncProperty(
        bytes({ minLength: 32, maxLength: 32 }),
        bytes({ minLength: 12, maxLength: 12 }),
        bytes({ maxLength: 200 }),
        bytes({ maxLength: 2000 }),
        async (rawKey, nonce, aad, plaintext) => {
          using key = await provider.importKey(rawKey);
          using other = await reference.importKey(rawKey);
          const sealed = await seal(key, plaintext, nonce, aad);
          assertEquals(sealed, await seal(other, plaintext, nonce, aad));
          assertEquals(await key.open(sealed, nonce, aad), plaintext);
          assertEquals(await other.open(sealed, nonce, aad), plaintext);
        },
      ),
      { numRuns: 60 },
    );
  });

  Deno.test(`${title}: refuses one changed bit of key, nonce, aad, ciphertext or tag`, async () => {
    const parts = {
      key: new Uint8Array(32).fill(1),
      nonce: new Uint8Array(12).fill(2),
      aad: new Uint8Array(56).fill(3),
    };
    using key = await provider.importKey(parts.key);
    const sealed = await seal(key, new Uint8Array(50).fill(4), parts.nonce, parts.aad);
    const flips: [Bytes, number][] = [
      [parts.key, 32],
      [parts.nonce, 12],
      [parts.aad, 56],
      [sealed, sealed.length],
    ];
    for (const [part, length] of flips) {
      for (const at of [0, length >> 1, length - 1]) {
        part[at]! ^= 0x10;
        using opener = await provider.importKey(parts.key);
        const error = await assertRejects(
          async () => await opener.open(sealed, parts.nonce, parts.aad),
          AeadError,
        );
        assertEquals(error.code, "authentication");
        part[at]! ^= 0x10;
      }
    }
    assertEquals(
      await key.open(sealed, parts.nonce, parts.aad),
      new Uint8Array(50).fill(4),
    );
  });

  Deno.test(`${title}: refuses wrong lengths and a wiped key`, async () => {
    const usage = async (action: () => unknown, code: string) => {
      const error = await assertRejects(async () => await action(), AeadError);
      assertEquals(error.code, code);
    };
    const nonce = new Uint8Array(12);
    const empty = new Uint8Array(0);
    await usage(async () => await provider.importKey(new Uint8Array(31)), "usage");
    const key = await provider.importKey(new Uint8Array(32));
    await usage(() => key.sealInto(empty, new Uint8Array(16), empty, new Uint8Array(16)), "usage");
    await usage(() => key.sealInto(empty, nonce, empty, new Uint8Array(15)), "usage");
    await usage(() => key.open(new Uint8Array(16), new Uint8Array(11), empty), "usage");
    await usage(() => key.open(new Uint8Array(15), nonce, empty), "authentication");
    key[Symbol.dispose]();
    await usage(() => key.sealInto(empty, nonce, empty, new Uint8Array(16)), "usage");
    await usage(() => key.open(new Uint8Array(16), nonce, empty), "usage");
  });

  Deno.test(`${title}: seals views into larger buffers, and many at once`, async () => {
    using key = await provider.importKey(new Uint8Array(32).fill(9));
    const room = new Uint8Array(64 * 100);
    const plaintext = new Uint8Array(1000).map((_, i) => i);
    const nonces = Array.from({ length: 64 }, (_, i) => new Uint8Array(12).fill(i));
    await Promise.all(nonces.map((nonce, i) =>
      key.sealInto(
        plaintext.subarray(i, i + 84),
        nonce,
        plaintext.subarray(0, 56),
        room.subarray(i * 100, i * 100 + 100),
      )
    ));
    for (const [i, nonce] of nonces.entries()) {
      const opened = await key.open(
        room.subarray(i * 100, i * 100 + 100),
        nonce,
        plaintext.subarray(0, 56),
      );
      assertEquals(opened, plaintext.slice(i, i + 84));
    }
  });

  Deno.test(`${title}: HMAC-SHA-512 as RFC 4231`, () => {
    const text = (value: string): Bytes => new TextEncoder().encode(value);
    const vectors: [Bytes, Bytes, string][] = [
      [
        text("Jefe"),
        text("what do ya want for nothing?"),
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
      ],
      [
        new Uint8Array(131).fill(0xaa),
        text("Test Using Larger Than Block-Size Key - Hash Key First"),
        "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
      ],
    ];
    for (const [rawKey, message, expected] of vectors) {
      const key = provider.importMacKey(rawKey);
      const out = new Uint8Array(64);
      for (let again = 0; again < 2; again++) {
        key.digestInto(message, out);
        assertEquals(out.toHex(), expected);
      }
      key[Symbol.dispose]();
      assertThrows(() => key.digestInto(message, out));
    }
  });
}
