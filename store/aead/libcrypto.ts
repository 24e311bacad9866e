/** libcrypto through FFI: synchronous and the fastest, where it loads. */
import {
  type GcmKey,
  type HmacSha512,
  type LibcryptoLoad,
  loadLibcrypto,
} from "../../backends/ffi/libcrypto.ts";
import type { Bytes } from "../../backends/mod.ts";
import {
  AEAD_NONCE_BYTES,
  AeadError,
  type AeadKey,
  type AeadProvider,
  checkKey,
  checkOpenArguments,
  checkSealArguments,
  type MacKey,
} from "../aead.ts";

export type AeadAvailability =
  | { readonly available: true; readonly provider: AeadProvider; readonly detail: string }
  | { readonly available: false; readonly reason: string };

/** Loads libcrypto and checks one known answer, so that a wrong library is refused and not used. */
export function libcryptoAead(load: () => LibcryptoLoad = loadLibcrypto): AeadAvailability {
  const result = load();
  if (!result.loaded) return { available: false, reason: result.reason };
  const library = result.library;
  try {
    selfTest((key) => library.aes256Gcm(key), (key) => library.hmacSha512(key));
  } catch (error) {
    library[Symbol.dispose]();
    const reason = error instanceof Error ? error.message : String(error);
    return { available: false, reason: `${library.description}: self-test: ${reason}` };
  }
  const provider: AeadProvider = {
    name: "libcrypto",
    synchronous: true,
    importKey(key) {
      checkKey(key);
      return Promise.resolve(new LibcryptoKey(library.aes256Gcm(key)));
    },
    importMacKey(key) {
      return libcryptoMacKey(library.hmacSha512(key));
    },
    [Symbol.dispose]: () => library[Symbol.dispose](),
  };
  return { available: true, provider, detail: library.description };
}

class LibcryptoKey implements AeadKey {
  readonly #key: GcmKey;

  constructor(key: GcmKey) {
    this.#key = key;
  }

  sealInto(plaintext: Bytes, nonce: Bytes, aad: Bytes, out: Bytes): void {
    checkSealArguments(plaintext, nonce, out);
    this.#live().seal(plaintext, nonce, aad, out);
  }

  open(sealed: Bytes, nonce: Bytes, aad: Bytes): Bytes {
    checkOpenArguments(sealed, nonce);
    const plaintext = this.#live().open(sealed, nonce, aad);
    if (plaintext === undefined) {
      throw new AeadError("authentication", "AES-256-GCM authentication failed");
    }
    return plaintext;
  }

  [Symbol.dispose](): void {
    this.#key.close();
  }

  #live(): GcmKey {
    if (this.#key.closed) throw new AeadError("usage", "the key was wiped");
    return this.#key;
  }
}

function libcryptoMacKey(key: HmacSha512): MacKey {
  return {
    digestInto: (message, out) => key.digestInto(message, out),
    [Symbol.dispose]: () => key.close(),
  };
}

/** Test case 14 of the GCM specification (McGrew, Viega) and case 1 of RFC 4231. */
function selfTest(
  gcm: (key: Bytes) => GcmKey,
  hmac: (key: Bytes) => HmacSha512,
): void {
  const key = gcm(new Uint8Array(32));
  try {
    const nonce = new Uint8Array(AEAD_NONCE_BYTES);
    const plaintext = new Uint8Array(16);
    const out = new Uint8Array(32);
    key.seal(plaintext, nonce, new Uint8Array(0), out);
    if (out.toHex() !== "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919") {
      throw new AeadError("provider", "AES-256-GCM gives a wrong answer");
    }
    if (key.open(out, nonce, new Uint8Array(0))?.toHex() !== plaintext.toHex()) {
      throw new AeadError("provider", "AES-256-GCM does not open its own");
    }
    out[0]! ^= 1;
    if (key.open(out, nonce, new Uint8Array(0)) !== undefined) {
      throw new AeadError("provider", "AES-256-GCM accepts an altered text");
    }
  } finally {
    key.close();
  }
  const mac = hmac(new Uint8Array(20).fill(0x0b));
  const digest = new Uint8Array(64);
  mac.digestInto(new TextEncoder().encode("Hi There"), digest);
  mac.close();
  if (
    digest.toHex() !==
      "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde" +
        "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854"
  ) throw new AeadError("provider", "HMAC-SHA-512 gives a wrong answer");
}
