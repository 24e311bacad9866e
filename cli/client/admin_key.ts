/** The admin's private key on the admin's own machine. */
import { createPublicKey, type KeyObject } from "node:crypto";
import { readPrivateKey } from "../files/private_key.ts";

export interface AdminKeyFile {
  readonly key: KeyObject;
  /** Base64 SPKI: what `--admin-key` takes. */
  readonly publicKey: string;
}

/** A new Ed25519 key as PKCS #8 PEM, and its public key as base64 SPKI. */
export async function makeAdminKey(): Promise<
  { readonly pem: string; readonly publicKey: string }
> {
  const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  if (!("privateKey" in pair)) throw new TypeError("no key pair");
  const pkcs8 = new Uint8Array(await crypto.subtle.exportKey("pkcs8", pair.privateKey));
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey));
  const pem = `-----BEGIN PRIVATE KEY-----\n${pkcs8.toBase64()}\n-----END PRIVATE KEY-----\n`;
  pkcs8.fill(0);
  return { pem, publicKey: spki.toBase64() };
}

/** @throws {UsageError} for a file that is no unencrypted Ed25519 PKCS #8 key, or that others may read */
export async function readAdminKey(path: string): Promise<AdminKeyFile> {
  const wanted = "an Ed25519 key in PEM (BEGIN PRIVATE KEY, PKCS #8)";
  const key = await readPrivateKey(path, "ed25519", wanted);
  const spki = new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }));
  return { key, publicKey: spki.toBase64() };
}
