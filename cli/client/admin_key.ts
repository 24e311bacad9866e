/** The admin's private key on the admin's own machine. */
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { UsageError } from "../command.ts";

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
  let pem: string;
  try {
    const { mode } = await Deno.stat(path);
    if (mode !== null && (mode & 0o077) !== 0) {
      throw new UsageError(`--key ${path}: others may read it; chmod 600 ${path}`);
    }
    pem = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`--key ${path}: ${error instanceof Error ? error.message : error}`);
  }
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, format: "pem" });
  } catch {
    throw new UsageError(
      `--key ${path}: an Ed25519 key in PEM (BEGIN PRIVATE KEY, PKCS #8) is wanted`,
    );
  }
  if (key.asymmetricKeyType !== "ed25519") {
    throw new UsageError(`--key ${path}: an Ed25519 key is wanted, not ${key.asymmetricKeyType}`);
  }
  const spki = new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }));
  return { key, publicKey: spki.toBase64() };
}
