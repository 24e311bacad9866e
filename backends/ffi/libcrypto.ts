/**
 * AES-256-GCM and SHA-512 of OpenSSL's libcrypto through FFI: on this runtime ten times as fast as
 * WebCrypto for small records. Only buffers cross; pointers stay inside this file.
 */
import type { Bytes } from "../mod.ts";
import { LIBCRYPTO_NAMES, LIBCRYPTO_SYMBOLS } from "./libcrypto_symbols.ts";

const EVP_CTRL_AEAD_GET_TAG = 0x10;
const EVP_CTRL_AEAD_SET_TAG = 0x11;
const TAG_BYTES = 16;
/** One call takes an `int` length; nothing here comes near it. */
const MAX_BYTES = 0x7fff_0000;
const SHA512_CTX_BYTES = 216;
const SHA512_BLOCK_BYTES = 128;

type Library = Deno.DynamicLibrary<typeof LIBCRYPTO_SYMBOLS>;

/** A failure of the library itself, not of authentication. */
export class LibcryptoError extends Error {
  override readonly name = "LibcryptoError";
}

export type LibcryptoLoad =
  | { readonly loaded: true; readonly library: Libcrypto }
  /** Why not, one line a name that was tried. */
  | { readonly loaded: false; readonly reason: string };

/** Loads the first libcrypto that is there. */
export function loadLibcrypto(names: readonly string[] = LIBCRYPTO_NAMES): LibcryptoLoad {
  const reasons: string[] = [];
  for (const name of names) {
    let library: Library;
    try {
      library = Deno.dlopen(name, LIBCRYPTO_SYMBOLS);
    } catch (error) {
      reasons.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
      continue;
    }
    return { loaded: true, library: new Libcrypto(name, library) };
  }
  return { loaded: false, reason: reasons.join("; ") };
}

export class Libcrypto implements Disposable {
  /** The name that loaded, and what the library calls itself. */
  readonly description: string;
  readonly #library: Library;
  /** Closed before the library is: a call into an unloaded library would crash. */
  readonly #keys = new Set<GcmKey | HmacSha512>();
  #closed = false;

  constructor(name: string, library: Library) {
    this.#library = library;
    const text = library.symbols.OpenSSL_version(0);
    this.description = text === null ? name : `${name}, ${Deno.UnsafePointerView.getCString(text)}`;
  }

  /** @param key 32 bytes; the library keeps its own schedule of it. @throws {LibcryptoError} */
  aes256Gcm(key: Bytes): GcmKey {
    return this.#keep((symbols, onClose) => new GcmKey(symbols, key, onClose));
  }

  /** @param key any length */
  hmacSha512(key: Uint8Array): HmacSha512 {
    return this.#keep((symbols, onClose) => new HmacSha512(symbols, key, onClose));
  }

  /** Closes every key and unloads the library. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const key of this.#keys) key.close();
    this.#library.close();
  }

  #keep<K extends GcmKey | HmacSha512>(
    make: (symbols: Symbols, onClose: (key: GcmKey | HmacSha512) => void) => K,
  ): K {
    if (this.#closed) throw new LibcryptoError("the library was unloaded");
    const key = make(this.#library.symbols, (closed) => this.#keys.delete(closed));
    this.#keys.add(key);
    return key;
  }
}

type Symbols = Library["symbols"];

/** A keyed pair of contexts (encrypt, decrypt), used for every message under this key. */
export class GcmKey {
  readonly #symbols: Symbols;
  #encrypt: Deno.PointerValue;
  #decrypt: Deno.PointerValue;
  readonly #length = new Int32Array(1);
  readonly #spare = new Uint8Array(TAG_BYTES);

  readonly #onClose: (key: GcmKey) => void;

  constructor(symbols: Symbols, key: Bytes, onClose: (key: GcmKey) => void) {
    this.#onClose = onClose;
    if (key.length !== 32) throw new LibcryptoError(`key has ${key.length} bytes, must have 32`);
    this.#symbols = symbols;
    this.#encrypt = symbols.EVP_CIPHER_CTX_new();
    this.#decrypt = symbols.EVP_CIPHER_CTX_new();
    const cipher = symbols.EVP_aes_256_gcm();
    const ready = this.#encrypt !== null && this.#decrypt !== null && cipher !== null &&
      symbols.EVP_EncryptInit_ex(this.#encrypt, cipher, null, key, null) === 1 &&
      symbols.EVP_DecryptInit_ex(this.#decrypt, cipher, null, key, null) === 1;
    if (!ready) {
      this.close();
      throw new LibcryptoError("cannot set up AES-256-GCM contexts");
    }
  }

  get closed(): boolean {
    return this.#encrypt === null;
  }

  /**
   * @param nonce 12 bytes @param out plaintext length + 16: ciphertext, then tag
   * @throws {LibcryptoError}
   */
  seal(plaintext: Bytes, nonce: Bytes, aad: Bytes, out: Bytes): void {
    const context = this.#encrypt;
    const symbols = this.#symbols;
    const size = plaintext.length;
    this.#check(context, size, nonce, aad);
    if (out.length !== size + TAG_BYTES) throw new LibcryptoError("output has the wrong length");
    const length = this.#length;
    let ok = symbols.EVP_EncryptInit_ex(context, null, null, null, nonce) === 1;
    if (ok && aad.length > 0) {
      ok = symbols.EVP_EncryptUpdate(context, null, length, aad, aad.length) === 1;
    }
    if (ok && size > 0) {
      ok = symbols.EVP_EncryptUpdate(context, out, length, plaintext, size) === 1 &&
        length[0] === size;
    }
    ok = ok && symbols.EVP_EncryptFinal_ex(context, this.#spare, length) === 1 &&
      symbols.EVP_CIPHER_CTX_ctrl(
          context,
          EVP_CTRL_AEAD_GET_TAG,
          TAG_BYTES,
          out.subarray(size),
        ) === 1;
    if (!ok) {
      symbols.ERR_clear_error();
      out.fill(0);
      throw new LibcryptoError("AES-256-GCM encryption failed");
    }
  }

  /**
   * @param sealed ciphertext, then tag @returns undefined where authentication failed
   * @throws {LibcryptoError}
   */
  open(sealed: Bytes, nonce: Bytes, aad: Bytes): Bytes | undefined {
    const context = this.#decrypt;
    const symbols = this.#symbols;
    const size = sealed.length - TAG_BYTES;
    if (size < 0) return undefined;
    this.#check(context, size, nonce, aad);
    const out = new Uint8Array(size);
    const length = this.#length;
    let ok = symbols.EVP_DecryptInit_ex(context, null, null, null, nonce) === 1;
    if (ok && aad.length > 0) {
      ok = symbols.EVP_DecryptUpdate(context, null, length, aad, aad.length) === 1;
    }
    if (ok && size > 0) {
      ok = symbols.EVP_DecryptUpdate(context, out, length, sealed, size) === 1 &&
        length[0] === size;
    }
    ok = ok && symbols.EVP_CIPHER_CTX_ctrl(
          context,
          EVP_CTRL_AEAD_SET_TAG,
          TAG_BYTES,
          sealed.subarray(size),
        ) === 1;
    if (!ok) {
      symbols.ERR_clear_error();
      out.fill(0);
      throw new LibcryptoError("AES-256-GCM decryption failed");
    }
    if (symbols.EVP_DecryptFinal_ex(context, this.#spare, length) !== 1) {
      symbols.ERR_clear_error();
      out.fill(0);
      return undefined;
    }
    return out;
  }

  /** Frees the contexts; libcrypto clears the key schedule. */
  close(): void {
    if (this.#encrypt !== null) this.#symbols.EVP_CIPHER_CTX_free(this.#encrypt);
    if (this.#decrypt !== null) this.#symbols.EVP_CIPHER_CTX_free(this.#decrypt);
    this.#encrypt = null;
    this.#decrypt = null;
    this.#onClose(this);
  }

  #check(context: Deno.PointerValue, size: number, nonce: Bytes, aad: Bytes): void {
    if (context === null) throw new LibcryptoError("the key was closed");
    if (nonce.length !== 12) throw new LibcryptoError(`nonce has ${nonce.length} bytes, not 12`);
    if (size > MAX_BYTES || aad.length > MAX_BYTES) throw new LibcryptoError("message too long");
  }
}

/** HMAC (RFC 2104) over the library's SHA-512, the key's two blocks hashed once. */
export class HmacSha512 {
  readonly #symbols: Symbols;
  readonly #inner = new Uint8Array(SHA512_CTX_BYTES);
  readonly #outer = new Uint8Array(SHA512_CTX_BYTES);
  readonly #work = new Uint8Array(SHA512_CTX_BYTES);
  readonly #digest = new Uint8Array(64);
  #closed = false;

  readonly #onClose: (key: HmacSha512) => void;

  constructor(symbols: Symbols, key: Uint8Array, onClose: (key: HmacSha512) => void) {
    this.#symbols = symbols;
    this.#onClose = onClose;
    const block = new Uint8Array(SHA512_BLOCK_BYTES);
    if (key.length <= SHA512_BLOCK_BYTES) block.set(key);
    else block.set(this.#hash(key.slice()));
    const pad = block.map((byte) => byte ^ 0x36);
    this.#absorb(this.#inner, pad);
    for (let i = 0; i < pad.length; i++) pad[i] = block[i]! ^ 0x5c;
    this.#absorb(this.#outer, pad);
    pad.fill(0);
    block.fill(0);
  }

  /** @param out 64 bytes */
  digestInto(message: Uint8Array, out: Uint8Array): void {
    if (this.#closed) throw new LibcryptoError("the key was closed");
    if (out.length !== 64) throw new LibcryptoError(`output has ${out.length} bytes, not 64`);
    const bytes = bufferArgument(message);
    this.#work.set(this.#inner);
    this.#symbols.SHA512_Update(this.#work, bytes, BigInt(bytes.length));
    this.#symbols.SHA512_Final(this.#digest, this.#work);
    this.#work.set(this.#outer);
    this.#symbols.SHA512_Update(this.#work, this.#digest, 64n);
    this.#symbols.SHA512_Final(this.#digest, this.#work);
    out.set(this.#digest);
  }

  close(): void {
    this.#closed = true;
    for (const state of [this.#inner, this.#outer, this.#work, this.#digest]) state.fill(0);
    this.#onClose(this);
  }

  #hash(message: Bytes): Bytes {
    const digest = new Uint8Array(64);
    this.#absorb(this.#work, message);
    this.#symbols.SHA512_Final(digest, this.#work);
    return digest;
  }

  #absorb(context: Bytes, block: Bytes): void {
    this.#symbols.SHA512_Init(context);
    this.#symbols.SHA512_Update(context, block, BigInt(block.length));
  }
}

/** FFI wants bytes over an ArrayBuffer; a view of shared memory is copied. */
function bufferArgument(bytes: Uint8Array): Bytes {
  return bytes.buffer instanceof ArrayBuffer
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : bytes.slice();
}
