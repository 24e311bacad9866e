/**
 * Signature verification by OpenSSL's libcrypto through FFI: for P-384 several times as fast as
 * WebCrypto on this runtime. The same answers as the reference in backends/signatures.ts, whose
 * strict checks of encodings and ranges come first here too. Pointers stay inside this file.
 */
import type { Bytes } from "../mod.ts";
import {
  ecdsaP1363ToDer,
  isEcSpki,
  normalizeEcdsa,
  type SignatureAlgorithm,
  type SignatureVerifier,
} from "../signatures.ts";
import { LIBCRYPTO_NAMES } from "./libcrypto_symbols.ts";

const SYMBOLS = {
  // EVP_PKEY *d2i_PUBKEY(EVP_PKEY **a, const unsigned char **pp, long length);
  d2i_PUBKEY: { parameters: ["pointer", "buffer", "i64"], result: "pointer" },
  // void EVP_PKEY_free(EVP_PKEY *key);
  EVP_PKEY_free: { parameters: ["pointer"], result: "void" },
  // EVP_MD_CTX *EVP_MD_CTX_new(void);
  EVP_MD_CTX_new: { parameters: [], result: "pointer" },
  // void EVP_MD_CTX_free(EVP_MD_CTX *ctx);
  EVP_MD_CTX_free: { parameters: ["pointer"], result: "void" },
  // const EVP_MD *EVP_sha256(void); and the like
  EVP_sha256: { parameters: [], result: "pointer" },
  EVP_sha384: { parameters: [], result: "pointer" },
  EVP_sha512: { parameters: [], result: "pointer" },
  // int EVP_DigestVerifyInit(EVP_MD_CTX *ctx, EVP_PKEY_CTX **pctx, const EVP_MD *type, ENGINE *e, EVP_PKEY *pkey);
  EVP_DigestVerifyInit: {
    parameters: ["pointer", "buffer", "pointer", "pointer", "pointer"],
    result: "i32",
  },
  // int EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *sig, size_t siglen, const unsigned char *tbs, size_t tbslen);
  EVP_DigestVerify: {
    parameters: ["pointer", "buffer", "usize", "buffer", "usize"],
    result: "i32",
  },
  // int EVP_PKEY_CTX_set_rsa_padding(EVP_PKEY_CTX *ctx, int pad_mode);
  EVP_PKEY_CTX_set_rsa_padding: { parameters: ["pointer", "i32"], result: "i32" },
  // int EVP_PKEY_CTX_set_rsa_pss_saltlen(EVP_PKEY_CTX *ctx, int saltlen);
  EVP_PKEY_CTX_set_rsa_pss_saltlen: { parameters: ["pointer", "i32"], result: "i32" },
  // int EVP_PKEY_CTX_set_rsa_mgf1_md(EVP_PKEY_CTX *ctx, const EVP_MD *md);
  EVP_PKEY_CTX_set_rsa_mgf1_md: { parameters: ["pointer", "pointer"], result: "i32" },
  // void ERR_clear_error(void);
  ERR_clear_error: { parameters: [], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

type Symbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

const RSA_PKCS1_PADDING = 1;
const RSA_PKCS1_PSS_PADDING = 6;

export type LibcryptoVerifierLoad =
  | { readonly loaded: true; readonly verifier: LibcryptoVerifier }
  /** Why not, one line a name that was tried. */
  | { readonly loaded: false; readonly reason: string };

/** Loads the first libcrypto (3.0 or later) that is there. Close the verifier to free its keys. */
export function loadLibcryptoVerifier(
  options: { readonly names?: readonly string[]; readonly maxKeys?: number } = {},
): LibcryptoVerifierLoad {
  const reasons: string[] = [];
  for (const name of options.names ?? LIBCRYPTO_NAMES) {
    try {
      const library = Deno.dlopen(name, SYMBOLS);
      return { loaded: true, verifier: new LibcryptoVerifier(library, options.maxKeys ?? 256) };
    } catch (error) {
      reasons.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { loaded: false, reason: reasons.join("; ") };
}

/** The provider. Not to be used after `close()`: that is refused, not left to the library. */
export class LibcryptoVerifier implements SignatureVerifier, Disposable {
  readonly name = "libcrypto";
  readonly #library: Deno.DynamicLibrary<typeof SYMBOLS>;
  readonly #keys = new Map<string, NonNullable<Deno.PointerValue>>();
  readonly #maxKeys: number;
  #closed = false;

  constructor(library: Deno.DynamicLibrary<typeof SYMBOLS>, maxKeys: number) {
    this.#library = library;
    this.#maxKeys = Math.max(1, maxKeys);
  }

  verify(
    algorithm: SignatureAlgorithm,
    spki: Bytes,
    signature: Bytes,
    data: Bytes,
  ): Promise<boolean> {
    if (this.#closed) return Promise.reject(new Error("the libcrypto verifier is closed"));
    if (algorithm.kind === "ecdsa") {
      const raw = normalizeEcdsa(algorithm, signature);
      if (raw === undefined || !isEcSpki(algorithm.curve, spki)) return Promise.resolve(false);
      return Promise.resolve(this.#verify(algorithm, spki, ecdsaP1363ToDer(raw), data));
    }
    return Promise.resolve(this.#verify(algorithm, spki, signature, data));
  }

  /** Frees the keys and unloads the library. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const key of this.#keys.values()) this.#library.symbols.EVP_PKEY_free(key);
    this.#keys.clear();
    this.#library.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #verify(algorithm: SignatureAlgorithm, spki: Bytes, signature: Bytes, data: Bytes): boolean {
    const { symbols } = this.#library;
    const key = this.#key(algorithm.kind, spki);
    if (key === undefined) return false;
    const context = symbols.EVP_MD_CTX_new();
    if (context === null) throw new Error("EVP_MD_CTX_new: out of memory");
    try {
      const keyContext = new BigUint64Array(1);
      const digest = digestOf(symbols, algorithm);
      if (symbols.EVP_DigestVerifyInit(context, keyContext, digest, null, key) !== 1) return false;
      if (!setPadding(symbols, algorithm, Deno.UnsafePointer.create(keyContext[0] ?? 0n), digest)) {
        return false;
      }
      return symbols.EVP_DigestVerify(
        context,
        signature,
        BigInt(signature.length),
        data,
        BigInt(data.length),
      ) === 1;
    } finally {
      symbols.EVP_MD_CTX_free(context);
      // A bad signature leaves entries in the thread's error queue.
      symbols.ERR_clear_error();
    }
  }

  /** A parsed key, kept; undefined where the library cannot read it. */
  #key(kind: string, spki: Bytes): NonNullable<Deno.PointerValue> | undefined {
    const id = `${kind}:${spki.toBase64()}`;
    const known = this.#keys.get(id);
    if (known !== undefined) return known;
    const { symbols } = this.#library;
    // The copy keeps the bytes in place while the library reads them.
    const copy = spki.slice();
    const at = new BigUint64Array([Deno.UnsafePointer.value(Deno.UnsafePointer.of(copy))]);
    const key = symbols.d2i_PUBKEY(null, at, BigInt(copy.length));
    symbols.ERR_clear_error();
    if (key === null) return undefined;
    const read = Number((at[0] ?? 0n) - Deno.UnsafePointer.value(Deno.UnsafePointer.of(copy)));
    if (read !== copy.length) {
      symbols.EVP_PKEY_free(key);
      return undefined;
    }
    if (this.#keys.size >= this.#maxKeys) {
      const [oldest, pointer] = this.#keys.entries().next().value ?? [];
      if (oldest !== undefined && pointer !== undefined) {
        this.#keys.delete(oldest);
        symbols.EVP_PKEY_free(pointer);
      }
    }
    this.#keys.set(id, key);
    return key;
  }
}

function digestOf(symbols: Symbols, algorithm: SignatureAlgorithm): Deno.PointerValue {
  switch (algorithm.kind) {
    case "ecdsa":
      return algorithm.curve === "P-256" ? symbols.EVP_sha256() : symbols.EVP_sha384();
    case "rsa-pss":
    case "rsa-pkcs1":
      return algorithm.hash === "SHA-256"
        ? symbols.EVP_sha256()
        : algorithm.hash === "SHA-384"
        ? symbols.EVP_sha384()
        : symbols.EVP_sha512();
    case "ed25519":
      return null; // the scheme hashes by itself
  }
}

function setPadding(
  symbols: Symbols,
  algorithm: SignatureAlgorithm,
  context: Deno.PointerValue,
  digest: Deno.PointerValue,
): boolean {
  if (algorithm.kind === "rsa-pkcs1") {
    return symbols.EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) === 1;
  }
  if (algorithm.kind !== "rsa-pss") return true;
  return symbols.EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) === 1 &&
    symbols.EVP_PKEY_CTX_set_rsa_pss_saltlen(context, algorithm.saltLength) === 1 &&
    symbols.EVP_PKEY_CTX_set_rsa_mgf1_md(context, digest) === 1;
}
