/** Recovery keys as files (X25519, RFC 8410). */
import { createPublicKey, type KeyObject } from "node:crypto";
import { sha256 } from "@noble/hashes/sha2.js";
import type { Bytes } from "../../backends/mod.ts";
import { ConfigError } from "../../config.ts";
import type { HpkeKeyPair } from "../../store/mod.ts";
import { readBoundedText } from "./bounded_read.ts";
import { readPrivateKey } from "./private_key.ts";
import { fileReason } from "./reason.ts";

/** DER of PKCS #8 and of SubjectPublicKeyInfo up to the 32 bytes of the key. */
const PKCS8_PREFIX = Uint8Array.fromHex("302e020100300506032b656e04220420");
const SPKI_PREFIX = Uint8Array.fromHex("302a300506032b656e032100");
const KEY_BYTES = 32;
const MAX_PEM_BYTES = 64 << 10;

/** What a key ring calls its recipient: SHA-256 of the raw public key (32 bytes), hex. */
export function recoveryFingerprint(publicKey: Bytes): string {
  return sha256(publicKey).toHex();
}

/** PEM of a key pair: PKCS #8 and SubjectPublicKeyInfo. */
export function recoveryPem({ privateKey, publicKey }: HpkeKeyPair): {
  readonly privatePem: string;
  readonly publicPem: string;
} {
  return {
    privatePem: pem("PRIVATE KEY", PKCS8_PREFIX, privateKey),
    publicPem: pem("PUBLIC KEY", SPKI_PREFIX, publicKey),
  };
}

function pem(label: string, prefix: Bytes, key: Bytes): string {
  const der = new Uint8Array([...prefix, ...key]);
  const text = `-----BEGIN ${label}-----\n${der.toBase64()}\n-----END ${label}-----\n`;
  der.fill(0);
  return text;
}

/**
 * Raw public keys (32 bytes) of the files that the configuration names.
 * @throws {ConfigError} naming the file: unreadable, no X25519 public key, a key that stands twice
 */
export async function readRecoveryPublicKeys(paths: readonly string[]): Promise<readonly Bytes[]> {
  const keys: Bytes[] = [];
  const seen = new Set<string>();
  for (const path of paths) {
    const refuse = (why: string, cause?: unknown) =>
      new ConfigError(`--recovery-key: ${path}: ${why}`, { cause });
    let text: string;
    try {
      text = await readBoundedText(path, MAX_PEM_BYTES);
    } catch (cause) {
      throw refuse(fileReason(cause), cause);
    }
    if (text.includes("PRIVATE KEY")) {
      throw refuse("this is a private key, which must never reach a master: give the public one");
    }
    const key = rawPublicKey(text);
    if (key === undefined) {
      throw refuse("an X25519 public key in PEM is wanted, as `nautilus key recovery-init` writes");
    }
    const fingerprint = recoveryFingerprint(key);
    if (seen.has(fingerprint)) throw refuse("this key is named twice");
    seen.add(fingerprint);
    keys.push(key);
  }
  return keys;
}

function rawPublicKey(text: string): Bytes | undefined {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: text, format: "pem" });
  } catch {
    return undefined; // the caller names the file and what is wanted
  }
  return key.asymmetricKeyType === "x25519" ? publicBytes(key) : undefined;
}

function publicBytes(key: KeyObject): Bytes {
  const der = new Uint8Array(key.export({ format: "der", type: "spki" }));
  return der.slice(-KEY_BYTES);
}

/** @throws {UsageError} for a file that is no X25519 PKCS #8 key, or that others may read */
export async function readRecoveryPrivateKey(path: string): Promise<HpkeKeyPair> {
  const wanted = "an X25519 private key in PEM, as `nautilus key recovery-init` writes,";
  const key = await readPrivateKey(path, "x25519", wanted);
  const der = new Uint8Array(key.export({ format: "der", type: "pkcs8" }));
  const privateKey = der.slice(-KEY_BYTES);
  der.fill(0);
  return { privateKey, publicKey: publicBytes(createPublicKey(key)) };
}
