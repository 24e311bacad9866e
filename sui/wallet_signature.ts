/**
 * Signatures of Sui wallets over personal messages. Ed25519 goes the short way through node:crypto;
 * the other schemes go through @mysten/sui, loaded when first met. All but zkLogin are judged
 * offline; zkLogin needs the chain, and a chain that cannot be asked throws.
 */
import { Buffer } from "node:buffer";
import { createPublicKey, verify } from "node:crypto";
import { blake2b } from "@noble/hashes/blake2.js";
import { addressFromBytes } from "./address.ts";
import { bcs } from "@mysten/bcs";

export type WalletScheme =
  | "ed25519"
  | "secp256k1"
  | "secp256r1"
  | "multisig"
  | "zklogin"
  | "passkey";

/** By the flag byte that begins a serialized signature. */
const SCHEMES: Readonly<Record<number, WalletScheme>> = {
  0x00: "ed25519",
  0x01: "secp256k1",
  0x02: "secp256r1",
  0x03: "multisig",
  0x05: "zklogin",
  0x06: "passkey",
};

export type WalletVerdict =
  | { readonly valid: true; readonly scheme: WalletScheme; readonly address: string }
  | {
    readonly valid: false;
    readonly code: "malformed" | "unsupported_scheme" | "wrong_address" | "wrong_signature";
    readonly reason: string;
  };

/** Asks the chain about a zkLogin signature, whose keys and epochs only it knows. */
export interface ZkLoginVerifier {
  /** @throws {LedgerUnavailable} when the chain cannot be asked */
  verifyPersonalMessage(
    message: Uint8Array,
    signature: string,
    address: string,
    signal: AbortSignal,
  ): Promise<boolean>;
}

/** Larger than any multisig, zkLogin or passkey signature of today. */
export const MAX_SIGNATURE_CHARACTERS = 16 * 1024;

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
/** Intent of a personal message: scope 3, version 0, app 0 (Sui). */
const PERSONAL_MESSAGE_INTENT = [3, 0, 0];
const ED25519_SPKI_PREFIX = Uint8Array.fromHex("302a300506032b6570032100");

/**
 * Whether `signature` is the wallet's of `address` over `message`.
 *
 * @param message at most 64 KiB
 * @param signature serialized: base64 of flag, signature, public key
 * @param address 0x + 64 hex
 */
export async function verifyWalletSignature(
  message: Uint8Array,
  signature: string,
  address: string,
  options: { readonly zkLogin?: ZkLoginVerifier; readonly signal?: AbortSignal } = {},
): Promise<WalletVerdict> {
  if (signature.length > MAX_SIGNATURE_CHARACTERS || !BASE64.test(signature)) {
    return no("malformed", "the wallet signature is no base64 of a Sui signature");
  }
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = Uint8Array.fromBase64(signature, { lastChunkHandling: "strict" });
  } catch {
    return no("malformed", "the wallet signature is no base64 of a Sui signature");
  }
  const scheme = SCHEMES[bytes[0] ?? -1];
  if (scheme === undefined) {
    return no("unsupported_scheme", `signature flag ${bytes[0]} is of no known scheme`);
  }
  if (scheme === "ed25519") return verifyEd25519(message, bytes, address);
  if (scheme === "zklogin") return await verifyZkLogin(message, signature, address, options);
  return await verifyOffline(scheme, message, bytes, address);
}

/** blake2b-256 over intent and BCS bytes: what the wallet's key signs. */
export function personalMessageDigest(message: Uint8Array): Uint8Array {
  return blake2b.create({ dkLen: 32 })
    .update(Uint8Array.from(PERSONAL_MESSAGE_INTENT))
    .update(bcs.byteVector().serialize(message).toBytes())
    .digest();
}

function verifyEd25519(
  message: Uint8Array,
  bytes: Uint8Array<ArrayBuffer>,
  address: string,
): WalletVerdict {
  if (bytes.length !== 97) {
    return no("malformed", `an Ed25519 signature has 97 bytes, this has ${bytes.length}`);
  }
  const publicKey = bytes.subarray(65);
  const flagged = new Uint8Array(33);
  flagged.set(publicKey, 1);
  if (addressFromBytes(blake2b(flagged, { dkLen: 32 })) !== address) {
    return no("wrong_address", "the signature is of another address");
  }
  const spki = new Uint8Array(44);
  spki.set(ED25519_SPKI_PREFIX);
  spki.set(publicKey, 12);
  let good: boolean;
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
    good = verify(null, personalMessageDigest(message), key, bytes.subarray(1, 65));
  } catch {
    return no("malformed", "the signature names no Ed25519 key");
  }
  return good
    ? { valid: true, scheme: "ed25519", address }
    : no("wrong_signature", "the signature is not over this message");
}

async function verifyOffline(
  scheme: WalletScheme,
  message: Uint8Array,
  bytes: Uint8Array<ArrayBuffer>,
  address: string,
): Promise<WalletVerdict> {
  const [{ verifyPersonalMessageSignature }, { bcs: sui }] = await Promise.all([
    import("@mysten/sui/verify"),
    import("@mysten/sui/bcs"),
  ]);
  const signature = bytes.toBase64();
  let signer: string;
  try {
    // The SDK's readers pass over trailing bytes and the inner flag; one signature has one form.
    const body = bytes.slice(1);
    if (scheme === "multisig") assertCanonical(sui.MultiSig, body);
    if (scheme === "passkey") {
      assertCanonical(sui.PasskeyAuthenticator, body);
      const [...userSignature] = sui.PasskeyAuthenticator.parse(body).userSignature;
      if (userSignature[0] !== 0x02) throw new TypeError("the inner signature is not secp256r1");
    }
    // Offline: whatever this throws is about the signature.
    signer = (await verifyPersonalMessageSignature(message, signature)).toSuiAddress();
  } catch (error) {
    return no(
      "wrong_signature",
      `${scheme}: ${error instanceof Error ? error.message : "refused"}`,
    );
  }
  return signer === address
    ? { valid: true, scheme, address }
    : no("wrong_address", "the signature is of another address");
}

function assertCanonical<T>(
  type: { parse(bytes: Uint8Array): T; serialize(value: T): { toBytes(): Uint8Array } },
  bytes: Uint8Array,
): void {
  const again = type.serialize(type.parse(bytes)).toBytes();
  if (again.length !== bytes.length || again.some((byte, i) => byte !== bytes[i])) {
    throw new TypeError("the signature is not in its canonical form");
  }
}

async function verifyZkLogin(
  message: Uint8Array,
  signature: string,
  address: string,
  options: { readonly zkLogin?: ZkLoginVerifier; readonly signal?: AbortSignal },
): Promise<WalletVerdict> {
  if (options.zkLogin === undefined) {
    return no("unsupported_scheme", "zkLogin signatures are not accepted here");
  }
  const [{ parseSerializedSignature }, { publicKeyFromRawBytes }] = await Promise.all([
    import("@mysten/sui/cryptography"),
    import("@mysten/sui/verify"),
  ]);
  // What can be seen without the chain is seen first: strangers' noise goes no further.
  try {
    const parsed = parseSerializedSignature(signature);
    if (parsed.signatureScheme !== "ZkLogin") throw new TypeError("another scheme");
    if (!publicKeyFromRawBytes("ZkLogin", parsed.publicKey).verifyAddress(address)) {
      return no("wrong_address", "the signature is of another address");
    }
  } catch {
    return no("malformed", "the wallet signature is no zkLogin signature");
  }
  const signal = options.signal ?? new AbortController().signal;
  return await options.zkLogin.verifyPersonalMessage(message, signature, address, signal)
    ? { valid: true, scheme: "zklogin", address }
    : no("wrong_signature", "the chain does not confirm the zkLogin signature");
}

function no(
  code: Exclude<WalletVerdict, { valid: true }>["code"],
  reason: string,
): WalletVerdict {
  return { valid: false, code, reason };
}
