/**
 * The sealed blob: what every backend's Sealer gives out, in one self-describing format.
 *
 * ```text
 *  0  4  magic "NTSB"
 *  4  1  version (1)
 *  5  1  TEE kind (1 SGX, 2 SEV, 3 TrustZone, 4 TDX, 5 NITRO, 6 SIMULATION)
 *  6  1  policy (1 measurement, 2 signer)
 *  7  1  suite (1 HKDF-SHA-256 + AES-256-GCM, 2 the TEE's own blob)
 *  8 16  key id: public fingerprint of the sealing key, HKDF(key, "key id")
 * 24  1  length of what it is sealed to, then those bytes (measurement or signer identity, public)
 *  .  2  length of the parameters, then those bytes (what the TEE needs to make the key again)
 *  .  4  length of the body
 *  .  8  check: SHA-256 of all the above, first 8 bytes
 *  .     body; suite 1: salt 16, nonce 12, ciphertext, tag 16
 * ```
 *
 * Integers are big-endian. The AEAD's additional data is LP(header, check included) ‖ LP(the
 * caller's aad), LP as in WIRE.md. The check is no security: the tag is. It lets a blob that rotted
 * say "altered" instead of claiming to come from another machine. Each blob has a key of its own,
 * HKDF(sealing key, salt), so blobs of any number share no nonce space (NIST SP 800-38D, 8.3).
 *
 * @module
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { lengthPrefixed } from "./attestation.ts";
import { BackendError } from "./errors.ts";
import type { Bytes, SealedBlob, SealPolicy, TeeType } from "./mod.ts";

const MAGIC = Uint8Array.of(0x4e, 0x54, 0x53, 0x42);
const VERSION = 1;
const FIXED_LENGTH = 25;
const CHECK_LENGTH = 8;
/** Bytes that suite 1 adds to the plaintext: salt, nonce, tag. */
const SALT_LENGTH = 16;
const NONCE_LENGTH = 12;
const TAG_LENGTH = 16;
const OVERHEAD = SALT_LENGTH + NONCE_LENGTH + TAG_LENGTH;

export const KEY_ID_LENGTH = 16;
/** Longest accepted plaintext, bytes. Sealing is for keys; 16 MiB is far beyond any use of it. */
export const MAX_PLAINTEXT_LENGTH = 16 * 1024 * 1024;
export const MAX_SEALED_TO_LENGTH = 255;
export const MAX_PARAMETERS_LENGTH = 1024;
const MAX_BODY_LENGTH = MAX_PLAINTEXT_LENGTH + 4096;

const KIND_ID: Readonly<Record<TeeType, number>> = {
  SGX: 1,
  SEV: 2,
  TrustZone: 3,
  TDX: 4,
  NITRO: 5,
  SIMULATION: 6,
};
const POLICY_ID: Readonly<Record<SealPolicy, number>> = { measurement: 1, signer: 2 };
const SUITE_ID = { "aes-256-gcm": 1, native: 2 } as const;

/** How the body is protected: by this file, or by the TEE itself (a TA, an enclave). */
export type SealSuite = keyof typeof SUITE_ID;

/** A sealed blob taken apart; nothing in it is authenticated until the body has been opened. */
export interface SealedParts {
  readonly kind: TeeType;
  readonly policy: SealPolicy;
  readonly suite: SealSuite;
  /** 16 bytes. */
  readonly keyId: Bytes;
  /** Measurement or signer identity, 0 to 255 bytes, public. */
  readonly sealedTo: Bytes;
  /** The TEE's own notes for making the key again (such as a TCB version), up to 1024 bytes. */
  readonly parameters: Bytes;
  readonly body: Bytes;
}

function named<T extends string>(table: Readonly<Record<T, number>>, id: number): T | undefined {
  for (const name in table) if (table[name] === id) return name;
  return undefined;
}

function malformed(kind: TeeType, what: string): BackendError {
  return new BackendError("malformed", `not a sealed blob: ${what}`, { kind });
}

function header(parts: Omit<SealedParts, "body">, bodyLength: number): Bytes {
  const { sealedTo, parameters } = parts;
  const length = FIXED_LENGTH + sealedTo.length + 2 + parameters.length + 4;
  const out = new Uint8Array(length + CHECK_LENGTH);
  const view = new DataView(out.buffer);
  out.set(MAGIC);
  out[4] = VERSION;
  out[5] = KIND_ID[parts.kind];
  out[6] = POLICY_ID[parts.policy];
  out[7] = SUITE_ID[parts.suite];
  out.set(parts.keyId, 8);
  out[24] = sealedTo.length;
  out.set(sealedTo, FIXED_LENGTH);
  let offset = FIXED_LENGTH + sealedTo.length;
  view.setUint16(offset, parameters.length);
  out.set(parameters, offset + 2);
  offset += 2 + parameters.length;
  view.setUint32(offset, bodyLength);
  out.set(sha256(out.subarray(0, length)).subarray(0, CHECK_LENGTH), length);
  return out;
}

/** @throws {RangeError} for a field beyond its limit: a mistake of the calling backend. */
export function encodeSealedBlob(parts: SealedParts): SealedBlob {
  if (parts.keyId.length !== KEY_ID_LENGTH) {
    throw new RangeError(`key id is ${parts.keyId.length} bytes, ${KEY_ID_LENGTH} are wanted`);
  }
  if (parts.sealedTo.length > MAX_SEALED_TO_LENGTH) throw new RangeError("sealedTo is too long");
  if (parts.parameters.length > MAX_PARAMETERS_LENGTH) {
    throw new RangeError("parameters are too long");
  }
  if (parts.body.length > MAX_BODY_LENGTH) throw new RangeError("body is too long");
  const head = header(parts, parts.body.length);
  const out = new Uint8Array(head.length + parts.body.length);
  out.set(head);
  out.set(parts.body, head.length);
  return out;
}

/**
 * Takes a blob apart; `expected` is the running backend's kind, for the errors.
 *
 * @throws {BackendError} `malformed` for what is no sealed blob of this version, `tampered` where
 * the header's check does not fit, `foreign_device` for a blob of another kind of TEE.
 */
export function decodeSealedBlob(blob: SealedBlob, expected: TeeType): SealedParts {
  const short = (): BackendError => malformed(expected, `${blob.length} bytes, it is cut short`);
  if (blob.length < FIXED_LENGTH) throw short();
  if (MAGIC.some((byte, index) => blob[index] !== byte)) {
    throw malformed(expected, `it starts with ${blob.slice(0, 4).toHex()}, not with "NTSB"`);
  }
  if (blob[4] !== VERSION) {
    throw malformed(expected, `version ${blob[4]}, this program reads version ${VERSION}`);
  }
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
  const parametersAt = FIXED_LENGTH + view.getUint8(24) + 2;
  if (blob.length < parametersAt) throw short();
  const parametersLength = view.getUint16(parametersAt - 2);
  if (parametersLength > MAX_PARAMETERS_LENGTH) {
    throw malformed(expected, `${parametersLength} bytes of parameters`);
  }
  const checkAt = parametersAt + parametersLength + 4;
  const bodyAt = checkAt + CHECK_LENGTH;
  if (blob.length < bodyAt) throw short();
  const check = sha256(blob.subarray(0, checkAt));
  for (let index = 0; index < CHECK_LENGTH; index++) {
    if (blob[checkAt + index] !== check[index]) {
      throw new BackendError("tampered", "the sealed blob's header was altered", {
        kind: expected,
        hint: "the file is damaged or was changed: restore it from a backup",
      });
    }
  }
  const bodyLength = view.getUint32(checkAt - 4);
  if (bodyLength > MAX_BODY_LENGTH || blob.length !== bodyAt + bodyLength) {
    throw malformed(
      expected,
      `the body should be ${bodyLength} bytes and is ${blob.length - bodyAt}`,
    );
  }
  const kind = named(KIND_ID, view.getUint8(5));
  const policy = named(POLICY_ID, view.getUint8(6));
  const suite = named(SUITE_ID, view.getUint8(7));
  if (kind === undefined) throw malformed(expected, `unknown TEE kind ${blob[5]}`);
  if (policy === undefined) throw malformed(expected, `unknown policy ${blob[6]}`);
  if (suite === undefined) throw malformed(expected, `unknown suite ${blob[7]}`);
  if (kind !== expected) {
    throw new BackendError("foreign_device", `sealed by ${kind}, and this is ${expected}`, {
      kind: expected,
      hint: `open it on the ${kind} host that sealed it, or recover with a recovery key`,
    });
  }
  return {
    kind,
    policy,
    suite,
    keyId: blob.slice(8, 8 + KEY_ID_LENGTH),
    sealedTo: blob.slice(FIXED_LENGTH, parametersAt - 2),
    parameters: blob.slice(parametersAt, parametersAt + parametersLength),
    body: blob.slice(bodyAt),
  };
}

/** The additional data of a blob's body: its header and the caller's aad, each length-prefixed. */
export function sealedBlobAad(
  parts: Omit<SealedParts, "body">,
  bodyLength: number,
  aad: Bytes,
): Bytes {
  return lengthPrefixed(header(parts, bodyLength), aad);
}

const info = (text: string): Bytes => new TextEncoder().encode(`nautilus-tee/seal/v1/${text}`);

/** A 32-byte secret of the TEE, held as a non-extractable HKDF key, and its public fingerprint. */
export interface SealingKey {
  readonly key: CryptoKey;
  /** 16 bytes. */
  readonly keyId: Bytes;
}

/** Imports 32 bytes from the TEE; the caller wipes its own copy afterwards. */
export async function importSealingKey(secret: Bytes): Promise<SealingKey> {
  if (secret.length !== 32) {
    throw new RangeError(`a sealing key is 32 bytes, not ${secret.length}`);
  }
  const key = await crypto.subtle.importKey("raw", secret, "HKDF", false, [
    "deriveBits",
    "deriveKey",
  ]);
  const bits = await crypto.subtle.deriveBits(
    { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info: info("key id") },
    key,
    KEY_ID_LENGTH * 8,
  );
  return { key, keyId: new Uint8Array(bits) };
}

function blobKey(key: SealingKey, salt: Bytes, usage: "encrypt" | "decrypt"): Promise<CryptoKey> {
  return crypto.subtle.deriveKey(
    { name: "HKDF", hash: "SHA-256", salt, info: info("blob key") },
    key.key,
    { name: "AES-GCM", length: 256 },
    false,
    [usage],
  );
}

/** Seals under suite 1. @throws {RangeError} for a plaintext above MAX_PLAINTEXT_LENGTH. */
export async function sealWithKey(
  key: SealingKey,
  about: Pick<SealedParts, "kind" | "policy" | "sealedTo" | "parameters">,
  plaintext: Bytes,
  aad: Bytes,
  random: (length: number) => Bytes,
): Promise<SealedBlob> {
  if (plaintext.length > MAX_PLAINTEXT_LENGTH) {
    throw new RangeError(`cannot seal ${plaintext.length} bytes, ${MAX_PLAINTEXT_LENGTH} at most`);
  }
  const parts = { ...about, suite: "aes-256-gcm", keyId: key.keyId } as const;
  const body = new Uint8Array(plaintext.length + OVERHEAD);
  const salt = random(SALT_LENGTH);
  const nonce = random(NONCE_LENGTH);
  if (salt.length !== SALT_LENGTH || nonce.length !== NONCE_LENGTH) {
    throw new RangeError("the source of randomness gave too few bytes");
  }
  const ciphertext = await crypto.subtle.encrypt(
    { name: "AES-GCM", iv: nonce, additionalData: sealedBlobAad(parts, body.length, aad) },
    await blobKey(key, salt, "encrypt"),
    plaintext,
  );
  body.set(salt);
  body.set(nonce, SALT_LENGTH);
  body.set(new Uint8Array(ciphertext), SALT_LENGTH + NONCE_LENGTH);
  return encodeSealedBlob({ ...parts, body });
}

/**
 * Opens a suite 1 body with the key that the caller found to have the blob's key id.
 *
 * @throws {BackendError} `tampered` where the tag does not fit: altered, or another `aad`.
 */
export async function unsealWithKey(
  key: SealingKey,
  parts: SealedParts,
  aad: Bytes,
): Promise<Bytes> {
  const { kind, body } = parts;
  if (parts.suite !== "aes-256-gcm") throw malformed(kind, `suite ${parts.suite} is not its own`);
  if (body.length < OVERHEAD) throw malformed(kind, `a body of ${body.length} bytes`);
  const ciphertextAt = SALT_LENGTH + NONCE_LENGTH;
  const opening = await blobKey(key, body.slice(0, SALT_LENGTH), "decrypt");
  try {
    return new Uint8Array(
      await crypto.subtle.decrypt(
        {
          name: "AES-GCM",
          iv: body.slice(SALT_LENGTH, ciphertextAt),
          additionalData: sealedBlobAad(parts, body.length, aad),
        },
        opening,
        body.slice(ciphertextAt),
      ),
    );
  } catch (cause) {
    throw new BackendError(
      "tampered",
      "the sealed blob was altered, or it was sealed with other additional data",
      { kind, cause, hint: "the file is damaged, changed, or not the one it is taken for" },
    );
  }
}
