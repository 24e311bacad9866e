/**
 * AES-256-GCM and HMAC-SHA-512 behind one seam. Every provider gives the same bytes; one
 * conformance suite runs over all of them. The fast ones work synchronously.
 */
import type { Bytes } from "../backends/mod.ts";

export interface AeadProvider extends Disposable {
  /** "libcrypto", "node:crypto", "webcrypto": shown in metrics and by `version --verbose`. */
  readonly name: string;
  /** Whether keys have `sealInto` and `open` that answer at once. */
  readonly synchronous: boolean;
  /** @param key 32 bytes, copied where the provider keeps it. */
  importKey(key: Bytes): Promise<AeadKey>;
  /** @param key any length; 32 to 128 bytes are sensible. */
  importMacKey(key: Bytes): MacKey;
  /** Gives up what the provider loaded; its keys fail from then on. */
  [Symbol.dispose](): void;
}

/**
 * One AES-256-GCM key. Nonces are 12 bytes and the caller's care: never one twice under one key.
 * `sealInto` and `open` answer at once or with a promise, as the provider can.
 */
export interface AeadKey extends Disposable {
  /** Writes ciphertext and then the 16-byte tag to `out`, which has exactly that room. */
  sealInto(plaintext: Bytes, nonce: Bytes, aad: Bytes, out: Bytes): void | Promise<void>;
  /**
   * @param sealed ciphertext and 16-byte tag.
   * @throws {AeadError} `authentication`: key, nonce, associated data or a byte is not what was sealed.
   */
  open(sealed: Bytes, nonce: Bytes, aad: Bytes): Bytes | Promise<Bytes>;
}

/** HMAC-SHA-512 under one key. */
export interface MacKey extends Disposable {
  /** @param out 64 bytes */
  digestInto(message: Uint8Array, out: Uint8Array): void;
}

export class AeadError extends Error {
  override readonly name = "AeadError";
  /** `authentication`: not what was sealed. `usage`: a wrong length, or a key already wiped. `provider`: the library failed. */
  readonly code: "authentication" | "usage" | "provider";
  constructor(code: "authentication" | "usage" | "provider", message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

export const AEAD_KEY_BYTES = 32;
export const AEAD_NONCE_BYTES = 12;
export const AEAD_TAG_BYTES = 16;

/** @throws {AeadError} `usage` */
export function checkSealArguments(
  plaintext: Uint8Array,
  nonce: Uint8Array,
  out: Uint8Array,
): void {
  if (nonce.length !== AEAD_NONCE_BYTES) {
    throw new AeadError("usage", `nonce has ${nonce.length} bytes, must have 12`);
  }
  if (out.length !== plaintext.length + AEAD_TAG_BYTES) {
    throw new AeadError(
      "usage",
      `output has ${out.length} bytes, must have ${plaintext.length + AEAD_TAG_BYTES}`,
    );
  }
}

/** @throws {AeadError} `usage`, or `authentication` for what is shorter than a tag */
export function checkOpenArguments(sealed: Uint8Array, nonce: Uint8Array): void {
  if (nonce.length !== AEAD_NONCE_BYTES) {
    throw new AeadError("usage", `nonce has ${nonce.length} bytes, must have 12`);
  }
  if (sealed.length < AEAD_TAG_BYTES) {
    throw new AeadError(
      "authentication",
      `sealed text has ${sealed.length} bytes, less than a tag`,
    );
  }
}

/** @throws {AeadError} `usage` */
export function checkKey(key: Uint8Array): void {
  if (key.length !== AEAD_KEY_BYTES) {
    throw new AeadError("usage", `key has ${key.length} bytes, must have 32`);
  }
}
