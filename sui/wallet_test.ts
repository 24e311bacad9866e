import { assert, assertEquals, assertRejects } from "@std/assert";
import { Ed25519Keypair } from "@mysten/sui/keypairs/ed25519";
import { Secp256k1Keypair } from "@mysten/sui/keypairs/secp256k1";
import { Secp256r1Keypair } from "@mysten/sui/keypairs/secp256r1";
import fc from "fast-check";
import { loadWallet, WalletError } from "./wallet.ts";
import { verifyWalletSignature } from "./wallet_signature.ts";

const secret = new Uint8Array(32).fill(11);
const keypairs = [
  Ed25519Keypair.fromSecretKey(secret),
  Secp256k1Keypair.fromSecretKey(secret),
  Secp256r1Keypair.fromSecretKey(secret),
];
const keystore = JSON.stringify(
  [0, 1, 2].map((flag) => new Uint8Array([flag, ...secret]).toBase64()),
  undefined,
  2,
);
const message = new TextEncoder().encode("admit me\n");

Deno.test("loadWallet() signs with what the Sui tools write, in every scheme", async () => {
  for (const keypair of keypairs) {
    const address = keypair.toSuiAddress();
    const fromLine = await loadWallet(keypair.getSecretKey() + "\n");
    const fromKeystore = await loadWallet(keystore, address);
    for (const wallet of [fromLine, fromKeystore]) {
      assertEquals(wallet.address, address);
      const signature = await wallet.signPersonalMessage(message);
      assertEquals(await verifyWalletSignature(message, signature, address), {
        valid: true,
        scheme: wallet.scheme,
        address,
      });
    }
  }
  const [only] = JSON.parse(keystore);
  assertEquals((await loadWallet(JSON.stringify([only]))).scheme, "ed25519");
});

Deno.test("loadWallet() says why not, and shows no key", async () => {
  const line = keypairs[0]?.getSecretKey() ?? "";
  const cases: [string, string | undefined, string][] = [
    ["", undefined, "malformed"],
    ["{}", undefined, "malformed"],
    ["[]", undefined, "malformed"],
    ["[1]", undefined, "malformed"],
    [JSON.stringify([secret.toBase64()]), undefined, "malformed"],
    [line.slice(0, -1) + (line.endsWith("q") ? "p" : "q"), undefined, "malformed"],
    [JSON.stringify([new Uint8Array(33).fill(5).toBase64()]), undefined, "unsupported"],
    [
      JSON.stringify([new Uint8Array([1, ...new Uint8Array(32)]).toBase64()]),
      undefined,
      "malformed",
    ],
    [keystore, undefined, "ambiguous"],
    [keystore, "0x" + "a1".repeat(32), "not_found"],
  ];
  for (const [text, address, code] of cases) {
    const error = await assertRejects(() => loadWallet(text, address), WalletError);
    assertEquals(error.code, code, text.slice(0, 12));
    const shown = `${error.message} ${error.stack} ${Deno.inspect(error)}`;
    for (const hidden of [secret.toHex(), secret.toBase64().slice(0, 20), line.slice(12, 40)]) {
      assert(!shown.includes(hidden));
    }
  }
  await fc.assert(fc.asyncProperty(fc.string(), async (text) => {
    await assertRejects(() => loadWallet(text), WalletError);
  }));
});
