/** The reference provider: WebCrypto is wherever the program runs. Asynchronous. */
import type { Bytes } from "../../backends/mod.ts";
import {
  AeadError,
  type AeadKey,
  type AeadProvider,
  checkKey,
  checkOpenArguments,
  checkSealArguments,
} from "../aead.ts";
import { portableMacKey } from "./mac.ts";

export function webCryptoAead(): AeadProvider {
  return {
    name: "webcrypto",
    synchronous: false,
    async importKey(key) {
      checkKey(key);
      return new WebCryptoKey(
        await crypto.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt", "decrypt"]),
      );
    },
    importMacKey: portableMacKey,
    [Symbol.dispose]() {},
  };
}

class WebCryptoKey implements AeadKey {
  #key: CryptoKey | undefined;

  constructor(key: CryptoKey) {
    this.#key = key;
  }

  async sealInto(plaintext: Bytes, nonce: Bytes, aad: Bytes, out: Bytes): Promise<void> {
    checkSealArguments(plaintext, nonce, out);
    const algorithm = { name: "AES-GCM", iv: nonce, additionalData: aad, tagLength: 128 };
    out.set(new Uint8Array(await crypto.subtle.encrypt(algorithm, this.#live(), plaintext)));
  }

  async open(sealed: Bytes, nonce: Bytes, aad: Bytes): Promise<Bytes> {
    checkOpenArguments(sealed, nonce);
    const algorithm = { name: "AES-GCM", iv: nonce, additionalData: aad, tagLength: 128 };
    const key = this.#live();
    try {
      return new Uint8Array(await crypto.subtle.decrypt(algorithm, key, sealed));
    } catch (cause) {
      if (cause instanceof DOMException && cause.name === "OperationError") {
        throw new AeadError("authentication", "AES-256-GCM authentication failed");
      }
      throw new AeadError("provider", "WebCrypto failed to decrypt", cause);
    }
  }

  [Symbol.dispose](): void {
    this.#key = undefined;
  }

  #live(): CryptoKey {
    if (this.#key === undefined) throw new AeadError("usage", "the key was wiped");
    return this.#key;
  }
}
