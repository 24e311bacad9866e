/** Wallets of every scheme that signs offline, from fixed seeds. */
import { bcs } from "@mysten/bcs";
import { parseSerializedSignature } from "@mysten/sui/cryptography";
import { Ed25519Keypair } from "@mysten/sui/keypairs/ed25519";
import { PasskeyPublicKey } from "@mysten/sui/keypairs/passkey";
import { Secp256k1Keypair } from "@mysten/sui/keypairs/secp256k1";
import { Secp256r1Keypair } from "@mysten/sui/keypairs/secp256r1";
import { MultiSigPublicKey } from "@mysten/sui/multisig";
import { publicKeyFromRawBytes, verifyPersonalMessageSignature } from "@mysten/sui/verify";
import { getZkLoginSignature } from "@mysten/sui/zklogin";
import { p256 } from "@noble/curves/nist.js";
import { sha256 } from "@noble/hashes/sha2.js";
import {
  personalMessageDigest,
  type WalletScheme,
  type ZkLoginVerifier,
} from "../../../sui/wallet_signature.ts";

export interface Wallet {
  readonly scheme: WalletScheme;
  readonly address: string;
  /** Serialized signature over a personal message, base64. */
  sign(message: Uint8Array): Promise<string>;
}

const seed = (byte: number) => new Uint8Array(32).fill(byte);

/** Ed25519 from a seed of one repeated byte. */
export function ed25519Wallet(byte: number): Wallet {
  const keypair = Ed25519Keypair.fromSecretKey(seed(byte));
  return {
    scheme: "ed25519",
    address: keypair.toSuiAddress(),
    sign: async (message) => (await keypair.signPersonalMessage(message)).signature,
  };
}

/** One wallet of each scheme. */
export function wallets(byte: number): readonly Wallet[] {
  const k1 = Secp256k1Keypair.fromSecretKey(seed(byte));
  const r1 = Secp256r1Keypair.fromSecretKey(seed(byte));
  const ed = Ed25519Keypair.fromSecretKey(seed(byte + 1));
  const multisig = MultiSigPublicKey.fromPublicKeys({
    threshold: 2,
    publicKeys: [
      { publicKey: ed.getPublicKey(), weight: 1 },
      { publicKey: k1.getPublicKey(), weight: 1 },
      { publicKey: r1.getPublicKey(), weight: 1 },
    ],
  });
  return [
    ed25519Wallet(byte),
    {
      scheme: "secp256k1",
      address: k1.toSuiAddress(),
      sign: async (message) => (await k1.signPersonalMessage(message)).signature,
    },
    {
      scheme: "secp256r1",
      address: r1.toSuiAddress(),
      sign: async (message) => (await r1.signPersonalMessage(message)).signature,
    },
    {
      scheme: "multisig",
      address: multisig.toSuiAddress(),
      sign: async (message) =>
        multisig.combinePartialSignatures([
          (await ed.signPersonalMessage(message)).signature,
          (await r1.signPersonalMessage(message)).signature,
        ]),
    },
    passkey(byte),
  ];
}

const PasskeyAuthenticator = bcs.struct("PasskeyAuthenticator", {
  authenticatorData: bcs.byteVector(),
  clientDataJson: bcs.string(),
  userSignature: bcs.byteVector(),
});

/** What a browser and its authenticator make of a personal message (SIP-9, WebAuthn). */
function passkey(byte: number): Wallet {
  const secret = seed(byte + 2);
  const publicKey = p256.getPublicKey(secret, true);
  return {
    scheme: "passkey",
    address: new PasskeyPublicKey(Uint8Array.from(publicKey)).toSuiAddress(),
    sign: (message) => {
      const challenge = Uint8Array.from(personalMessageDigest(message))
        .toBase64({ alphabet: "base64url", omitPadding: true });
      const clientDataJson = JSON.stringify({
        type: "webauthn.get",
        challenge,
        origin: "https://wallet.example",
        crossOrigin: false,
      });
      const authenticatorData = new Uint8Array(37).fill(5);
      const payload = new Uint8Array([
        ...authenticatorData,
        ...sha256(new TextEncoder().encode(clientDataJson)),
      ]);
      const signature = p256.sign(payload, secret);
      const userSignature = new Uint8Array([0x02, ...signature, ...publicKey]);
      const body = PasskeyAuthenticator.serialize({
        authenticatorData,
        clientDataJson,
        userSignature,
      }).toBytes();
      return Promise.resolve(new Uint8Array([0x06, ...body]).toBase64());
    },
  };
}

/** The shape of a zkLogin signature; its proof proves nothing. @param addressSeed decimal */
export async function zkLoginSignature(
  message: Uint8Array,
  { ephemeral = ed25519Wallet(5), addressSeed = "1234567890", maxEpoch = 10 }: {
    readonly ephemeral?: Wallet;
    readonly addressSeed?: string;
    readonly maxEpoch?: number;
  } = {},
): Promise<{ readonly address: string; readonly signature: string }> {
  const signature = getZkLoginSignature({
    inputs: {
      proofPoints: {
        a: ["1", "2", "1"],
        b: [["1", "2"], ["3", "4"], ["1", "0"]],
        c: ["5", "6", "1"],
      },
      issBase64Details: {
        value: "yJpc3MiOiJodHRwczovL2FjY291bnRzLmdvb2dsZS5jb20iLC",
        indexMod4: 1,
      },
      headerBase64: "eyJhbGciOiJSUzI1NiJ9",
      addressSeed,
    },
    maxEpoch: String(maxEpoch),
    userSignature: await ephemeral.sign(message),
  });
  const parsed = parseSerializedSignature(signature);
  if (parsed.signatureScheme !== "ZkLogin") throw new TypeError("another scheme");
  const address = publicKeyFromRawBytes("ZkLogin", parsed.publicKey).toSuiAddress();
  return { address, signature };
}

/** A zkLogin wallet whose ephemeral key is good until an epoch. */
export async function zkLoginWallet(
  byte: number,
  maxEpoch: number,
): Promise<Wallet & { readonly ephemeral: string }> {
  const of = { ephemeral: ed25519Wallet(byte), addressSeed: String(byte), maxEpoch };
  const { address } = await zkLoginSignature(new Uint8Array(1), of);
  return {
    scheme: "zklogin",
    address,
    ephemeral: of.ephemeral.address,
    sign: async (message) => (await zkLoginSignature(message, of)).signature,
  };
}

/**
 * What a full node says of zkLogin signatures, but for the proof: the address is the one that the
 * inputs make, its ephemeral key signed the message, and its epoch is not over.
 *
 * @param wallets whose ephemeral key belongs to which address, as the proof would show
 */
export function zkLoginJudge(
  wallets: readonly { readonly address: string; readonly ephemeral: string }[],
  chain: { readonly epoch: number },
): ZkLoginVerifier {
  return {
    async verifyPersonalMessage(message, signature, address) {
      const parsed = parseSerializedSignature(signature);
      if (parsed.signatureScheme !== "ZkLogin") return false;
      const { publicKey, zkLogin: { maxEpoch, userSignature } } = parsed;
      const owner = publicKeyFromRawBytes("ZkLogin", publicKey).toSuiAddress();
      if (owner !== address || Number(maxEpoch) < chain.epoch) return false;
      const inner = Uint8Array.from(userSignature).toBase64();
      const signer = await verifyPersonalMessageSignature(message, inner).catch(() => undefined);
      return wallets.some((one) =>
        one.address === address && one.ephemeral === signer?.toSuiAddress()
      );
    },
  };
}
