/**
 * HPKE (RFC 9180), base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. Wraps a key to
 * a public key: a recovery key, or the ephemeral key of a host that asks for recovery.
 */
import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import type { Bytes } from "../backends/mod.ts";
import { StoreError } from "./errors.ts";

export const HPKE_PUBLIC_KEY_BYTES = 32;
export const HPKE_PRIVATE_KEY_BYTES = 32;

export interface HpkeKeyPair {
  /** 32 bytes, raw X25519. */
  readonly publicKey: Bytes;
  /** 32 bytes, raw X25519. */
  readonly privateKey: Bytes;
}

export interface HpkeWrap {
  /** 32 bytes. */
  readonly encapsulated: Bytes;
  /** The plaintext's length + 16. */
  readonly ciphertext: Bytes;
}

function suite(): CipherSuite {
  return new CipherSuite({
    kem: new DhkemX25519HkdfSha256(),
    kdf: new HkdfSha256(),
    aead: new Aes256Gcm(),
  });
}

export async function createHpkeKeyPair(): Promise<HpkeKeyPair> {
  const hpke = suite();
  const pair = await hpke.kem.generateKeyPair();
  return {
    publicKey: new Uint8Array(await hpke.kem.serializePublicKey(pair.publicKey)),
    privateKey: new Uint8Array(await hpke.kem.serializePrivateKey(pair.privateKey)),
  };
}

/** @throws {StoreError} `invalid_request` on what is no public key */
export async function hpkeSeal(
  publicKey: Bytes,
  info: Bytes,
  aad: Bytes,
  plaintext: Bytes,
): Promise<HpkeWrap> {
  if (publicKey.length !== HPKE_PUBLIC_KEY_BYTES) {
    throw new StoreError(
      "invalid_request",
      `recovery public key: ${publicKey.length} bytes, must be ${HPKE_PUBLIC_KEY_BYTES}`,
    );
  }
  const hpke = suite();
  try {
    const sender = await hpke.createSenderContext({
      recipientPublicKey: await hpke.kem.deserializePublicKey(publicKey),
      info,
    });
    return {
      encapsulated: new Uint8Array(sender.enc),
      ciphertext: new Uint8Array(await sender.seal(plaintext, aad)),
    };
  } catch (cause) {
    throw new StoreError("invalid_request", "recovery public key: cannot be sealed to", { cause });
  }
}

/** Undefined where key, info, aad or a byte is not what was sealed. */
export async function hpkeOpen(
  privateKey: Bytes,
  info: Bytes,
  aad: Bytes,
  wrap: HpkeWrap,
): Promise<Bytes | undefined> {
  const hpke = suite();
  try {
    const recipient = await hpke.createRecipientContext({
      recipientKey: await hpke.kem.deserializePrivateKey(privateKey),
      enc: wrap.encapsulated,
      info,
    });
    return new Uint8Array(await recipient.open(wrap.ciphertext, aad));
  } catch {
    // The library tells no cause that an attacker could not have chosen: it did not open.
    return undefined;
  }
}
