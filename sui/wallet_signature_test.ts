import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { FakeChain } from "../tests/fakes/sui/chain.ts";
import { FakeGateway } from "../tests/fakes/sui/gateway.ts";
import { startFakeNode } from "../tests/fakes/sui/server.ts";
import { ed25519Wallet, wallets, zkLoginSignature } from "../tests/fakes/sui/wallets.ts";
import { openGrpcLedger } from "./grpc_ledger.ts";
import { LedgerUnavailable } from "./ledger.ts";
import { MAX_SIGNATURE_CHARACTERS, verifyWalletSignature } from "./wallet_signature.ts";

const message = new TextEncoder().encode("admit me\n");
const other = new TextEncoder().encode("admit me!\n");

Deno.test("verifyWalletSignature() accepts every offline scheme, for its own address and message", async () => {
  const strangers = wallets(40);
  for (const [i, wallet] of wallets(11).entries()) {
    const signature = await wallet.sign(message);
    assertEquals(await verifyWalletSignature(message, signature, wallet.address), {
      valid: true,
      scheme: wallet.scheme,
      address: wallet.address,
    });
    const wrongMessage = await verifyWalletSignature(other, signature, wallet.address);
    assert(!wrongMessage.valid);
    assertEquals(wrongMessage.code, "wrong_signature", wallet.scheme);
    const stranger = strangers[i]?.address ?? "";
    const wrongAddress = await verifyWalletSignature(message, signature, stranger);
    assert(!wrongAddress.valid);
    assertEquals(wrongAddress.code, "wrong_address", wallet.scheme);
  }
});

Deno.test("verifyWalletSignature() judges Ed25519 as the SDK does", async () => {
  const { isValidPersonalMessageSignature } = await import("@mysten/sui/verify");
  const wallet = ed25519Wallet(11);
  const good = Uint8Array.fromBase64(await wallet.sign(message));
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 8, max: 97 * 8 - 1 }), async (bit) => {
      const changed = good.slice();
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const signature = changed.toBase64();
      const { valid } = await verifyWalletSignature(message, signature, wallet.address);
      const theirs = await isValidPersonalMessageSignature(message, signature, {
        address: wallet.address,
      });
      assertEquals(valid, theirs);
      assertEquals(valid, false);
    }),
    { numRuns: 60 },
  );
});

Deno.test("verifyWalletSignature() never takes a changed signature, whatever the scheme", async () => {
  const runs = Deno.env.get("NAUTILUS_NIGHTLY") === "1" ? 500 : 25;
  for (const wallet of wallets(11)) {
    const good = Uint8Array.fromBase64(await wallet.sign(message));
    const longer = new Uint8Array([...good, 0]).toBase64();
    assert(!(await verifyWalletSignature(message, longer, wallet.address)).valid, wallet.scheme);
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        // Passkeys sign over client data and authenticator data as given; both are covered.
        const changed = good.slice();
        changed[at % good.length] = (changed[at % good.length] ?? 0) ^ flip;
        const verdict = await verifyWalletSignature(message, changed.toBase64(), wallet.address);
        assert(!verdict.valid, `${wallet.scheme} byte ${at % good.length}`);
      }),
      { numRuns: runs },
    );
  }
});

Deno.test("verifyWalletSignature() refuses what is no signature, as a value", async () => {
  const wallet = ed25519Wallet(11);
  const good = await wallet.sign(message);
  const bad: [string, string][] = [
    ["", "malformed"],
    ["=", "malformed"],
    ["not base64!", "malformed"],
    [good + "\n", "malformed"],
    [good.slice(0, -4), "malformed"],
    ["A".repeat(MAX_SIGNATURE_CHARACTERS + 4), "malformed"],
    [Uint8Array.of(4, ...new Uint8Array(96)).toBase64(), "unsupported_scheme"],
    [Uint8Array.of(255).toBase64(), "unsupported_scheme"],
    [Uint8Array.of(5, 1, 2, 3).toBase64(), "unsupported_scheme"],
  ];
  for (const [signature, code] of bad) {
    const verdict = await verifyWalletSignature(message, signature, wallet.address);
    assert(!verdict.valid);
    assertEquals(verdict.code, code, signature.slice(0, 20));
  }
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(0, 1, 2, 3, 6),
      fc.uint8Array({ maxLength: 200 }),
      async (flag, bytes) => {
        const signature = new Uint8Array([flag, ...bytes]).toBase64();
        assert(!(await verifyWalletSignature(message, signature, wallet.address)).valid);
      },
    ),
  );
});

Deno.test("verifyWalletSignature() refuses a multisig below its threshold", async () => {
  const { MultiSigPublicKey } = await import("@mysten/sui/multisig");
  const { Ed25519Keypair } = await import("@mysten/sui/keypairs/ed25519");
  const keys = [1, 2, 3].map((byte) => Ed25519Keypair.fromSecretKey(new Uint8Array(32).fill(byte)));
  const multisig = MultiSigPublicKey.fromPublicKeys({
    threshold: 2,
    publicKeys: keys.map((key) => ({ publicKey: key.getPublicKey(), weight: 1 })),
  });
  const first = (await keys[0]?.signPersonalMessage(message))?.signature ?? "";
  const alone = multisig.combinePartialSignatures([first]);
  const verdict = await verifyWalletSignature(message, alone, multisig.toSuiAddress());
  assertEquals(verdict.valid, false);
});

Deno.test("verifyWalletSignature() asks the chain about zkLogin, and throws where it cannot", async () => {
  const { address, signature } = await zkLoginSignature(message);
  const chain = new FakeChain({ clock: Date.now });
  const gateway = new FakeGateway({ chain, clock: Date.now });
  await using node = await startFakeNode({ gateway });
  await using ledger = await openGrpcLedger({ endpoint: node.url });
  const verify = (text: Uint8Array, of = address) =>
    verifyWalletSignature(text, signature, of, { zkLogin: ledger.zkLogin });

  const unknown = await verify(message);
  assert(!unknown.valid && unknown.code === "wrong_signature");
  chain.zkLogin.set(signature, { address, message });
  assertEquals(await verify(message), { valid: true, scheme: "zklogin", address });
  const overAnother = await verify(other);
  assert(!overAnother.valid && overAnother.code === "wrong_signature");

  // What needs no chain is refused without it.
  const asked = node.calls.get("VerifySignature");
  const foreign = await verify(message, "0x" + "a1".repeat(32));
  assert(!foreign.valid && foreign.code === "wrong_address");
  const noise = Uint8Array.of(5, 1, 2, 3).toBase64();
  const malformed = await verifyWalletSignature(message, noise, address, {
    zkLogin: ledger.zkLogin,
  });
  assert(!malformed.valid && malformed.code === "malformed");
  assertEquals(node.calls.get("VerifySignature"), asked);
  const without = await verifyWalletSignature(message, signature, address);
  assert(!without.valid && without.code === "unsupported_scheme");

  for (const fault of [{ kind: "http_status", status: 503 }, { kind: "garbage" }] as const) {
    node.faults.set({ ...fault, times: 1 });
    await assertRejects(() => verify(message), LedgerUnavailable);
  }
});
