/** Recovery keys as files (X25519, RFC 8410), and what a store's key ring must have of them. */
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { sha256 } from "@noble/hashes/sha2.js";
import type { Bytes } from "../../backends/mod.ts";
import { type Config, ConfigError } from "../../config.ts";
import type { HpkeKeyPair, Store } from "../../store/mod.ts";
import { UsageError } from "../command.ts";

/** DER of PKCS #8 and of SubjectPublicKeyInfo up to the 32 bytes of the key. */
const PKCS8_PREFIX = Uint8Array.fromHex("302e020100300506032b656e04220420");
const SPKI_PREFIX = Uint8Array.fromHex("302a300506032b656e032100");
const KEY_BYTES = 32;

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
      text = await Deno.readTextFile(path);
    } catch (cause) {
      throw refuse(cause instanceof Error ? cause.message : String(cause), cause);
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
  let text: string;
  try {
    const { mode } = await Deno.stat(path);
    if (mode !== null && (mode & 0o077) !== 0) {
      throw new UsageError(`--key ${path}: others may read it; chmod 600 ${path}`);
    }
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`--key ${path}: ${error instanceof Error ? error.message : error}`);
  }
  let key: KeyObject | undefined;
  try {
    key = createPrivateKey({ key: text, format: "pem" });
  } catch {
    key = undefined; // said below, together with keys of another kind
  }
  if (key?.asymmetricKeyType !== "x25519") {
    throw new UsageError(
      `--key ${path}: an X25519 private key in PEM is wanted, as \`nautilus key recovery-init\` writes`,
    );
  }
  const der = new Uint8Array(key.export({ format: "der", type: "pkcs8" }));
  const privateKey = der.slice(-KEY_BYTES);
  der.fill(0);
  return { privateKey, publicKey: publicBytes(createPublicKey(key)) };
}

/**
 * A production master whose store is lost with its machine is not made without being told.
 * @param canSeal false: only a recovery key ever opens the store again, at every start
 * @throws {ConfigError} naming both ways
 */
export function requireRecoveryChoice(
  config: Pick<Config, "recoveryKey" | "noRecovery">,
  canSeal = true,
): void {
  if (config.recoveryKey.length > 0) return;
  if (!canSeal) {
    throw new ConfigError(
      "--recovery-key: this TEE has no sealing key, so every start needs the operator's recovery " +
        "key; without one the store would be lost when the master stops. " +
        "`nautilus key recovery-init --out DIR` makes a key pair, on the operator's own machine",
    );
  }
  if (config.noRecovery) return;
  throw new ConfigError(
    "--recovery-key or --no-recovery: the first start of a production master must say how its " +
      "store comes back when this TEE is gone. `nautilus key recovery-init --out DIR`, run on the " +
      "operator's own machine, makes a key pair: give its public file with --recovery-key. " +
      "--no-recovery means that everything is lost with this TEE, or with an upgrade that changes " +
      "its measurement",
  );
}

/**
 * Compares the configuration with the store's recovery keys; both directions of a difference are
 * said, none is passed over.
 * @param mayAdd in the simulation, and until the first configuration is sealed
 * @returns fingerprints of the keys that can recover the store, sorted
 * @throws {ConfigError}
 */
export async function reconcileRecoveryKeys(
  store: Store,
  config: Pick<Config, "recoveryKey" | "noRecovery" | "given">,
  mayAdd: boolean,
): Promise<string[]> {
  const present = recipientsOf(store);
  if (config.noRecovery && present.length > 0) {
    throw new ConfigError(
      `--no-recovery: this store has recovery keys (${present.join(", ")}), and this release ` +
        "cannot take one away; leave the setting out",
    );
  }
  if (!config.given.has("recoveryKey")) return present;
  const keys = await readRecoveryPublicKeys(config.recoveryKey);
  const wanted = keys.map(recoveryFingerprint);
  const surplus = present.filter((fingerprint) => !wanted.includes(fingerprint));
  if (surplus.length > 0) {
    throw new ConfigError(
      `--recovery-key: the store also has ${
        surplus.join(", ")
      }, which is not among the keys given; ` +
        "this release cannot take a recovery key away: name all of them, or leave the setting out",
    );
  }
  const missing = keys.filter((key) => !present.includes(recoveryFingerprint(key)));
  if (missing.length > 0 && !mayAdd) {
    throw new ConfigError(
      `--recovery-key: ${missing.map(recoveryFingerprint).join(", ")} is none of this store's ` +
        `recovery keys (${present.join(", ") || "it has none"}). They are sealed at the first ` +
        "start; only an authenticated admin may add one, and this release has no command for that",
    );
  }
  for (const key of missing) await store.addRecoveryKey(key);
  return recipientsOf(store);
}

function recipientsOf(store: Store): string[] {
  return store.keyStatus().wraps
    .flatMap((wrap) => wrap.type === "recovery" ? [wrap.recipient] : [])
    .sort();
}
