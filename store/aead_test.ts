import { assert, assertEquals, assertRejects } from "@std/assert";
import * as v from "valibot";
import { aeadSuite, seal } from "../tests/conformance/aead_suite.ts";
import { AeadError, type AeadProvider } from "./aead.ts";
import { libcryptoAead } from "./aead/libcrypto.ts";
import { nodeCryptoAead } from "./aead/node_crypto.ts";
import { selectAead } from "./aead/select.ts";
import { webCryptoAead } from "./aead/webcrypto.ts";

const VECTORS = new URL("../../shared/vectors/wycheproof/aes_gcm_test.json", import.meta.url);

const providers: AeadProvider[] = [webCryptoAead(), nodeCryptoAead()];
const fast = libcryptoAead();
if (fast.available) providers.push(fast.provider);
else {
  Deno.test({ name: `libcrypto: not tested here: ${fast.reason}`, ignore: true, fn() {} });
}

for (const provider of providers) {
  aeadSuite(provider);
  wycheproof(provider);
}

Deno.test("libcryptoAead() says why where no library loads", () => {
  const result = libcryptoAead(() => ({ loaded: false, reason: "libnothing.so: not found" }));
  assertEquals(result, { available: false, reason: "libnothing.so: not found" });
});

Deno.test("selectAead() gives what is asked for by name", () => {
  assertEquals(selectAead("webcrypto").provider.name, "webcrypto");
  assertEquals(selectAead("node:crypto").provider.name, "node:crypto");
  const auto = selectAead("auto");
  using provider = auto.provider;
  assertEquals(provider.name, fast.available ? "libcrypto" : "node:crypto");
  assert(auto.detail.length > 0);
});

function wycheproof(provider: AeadProvider): void {
  const present = exists(VECTORS);
  Deno.test({
    name: `AeadProvider ${provider.name}: Wycheproof AES-GCM, 256-bit keys and 96-bit nonces${
      present ? "" : " (skipped: the vectors are not beside this project)"
    }`,
    ignore: !present,
    async fn() {
      const file = v.parse(FILE, JSON.parse(await Deno.readTextFile(VECTORS)));
      let ran = 0;
      for (const group of file.testGroups) {
        if (group.keySize !== 256 || group.ivSize !== 96 || group.tagSize !== 128) continue;
        for (const test of group.tests) {
          ran++;
          using key = await provider.importKey(Uint8Array.fromHex(test.key));
          const nonce = Uint8Array.fromHex(test.iv);
          const aad = Uint8Array.fromHex(test.aad);
          const sealed = Uint8Array.fromHex(test.ct + test.tag);
          if (test.result === "valid") {
            const message = Uint8Array.fromHex(test.msg);
            assertEquals(await seal(key, message, nonce, aad), sealed, `test ${test.tcId}`);
            assertEquals(await key.open(sealed, nonce, aad), message, `test ${test.tcId}`);
          } else {
            await assertRejects(
              async () => await key.open(sealed, nonce, aad),
              AeadError,
              undefined,
              `test ${test.tcId}`,
            );
          }
        }
      }
      assert(ran > 50, `only ${ran} vectors fit`);
    },
  });
}

const FILE = v.object({
  testGroups: v.array(v.object({
    keySize: v.number(),
    ivSize: v.number(),
    tagSize: v.number(),
    tests: v.array(v.object({
      tcId: v.number(),
      key: v.string(),
      iv: v.string(),
      aad: v.string(),
      msg: v.string(),
      ct: v.string(),
      tag: v.string(),
      result: v.picklist(["valid", "invalid", "acceptable"]),
    })),
  })),
});

function exists(url: URL): boolean {
  try {
    return Deno.statSync(url).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
