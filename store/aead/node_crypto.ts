/** node:crypto: synchronous, and faster than WebCrypto for small records. */
import { createCipheriv, createDecipheriv } from "node:crypto";
import type { Bytes } from "../../backends/mod.ts";
import {
  AEAD_TAG_BYTES,
  AeadError,
  type AeadKey,
  type AeadProvider,
  checkKey,
  checkOpenArguments,
  checkSealArguments,
} from "../aead.ts";
import { portableMacKey } from "./mac.ts";

export function nodeCryptoAead(): AeadProvider {
  return {
    name: "node:crypto",
    synchronous: true,
    importKey(key) {
      checkKey(key);
      return Promise.resolve(new NodeCryptoKey(key.slice()));
    },
    importMacKey: portableMacKey,
    [Symbol.dispose]() {},
  };
}

class NodeCryptoKey implements AeadKey {
  readonly #key: Bytes;
  #wiped = false;

  constructor(key: Bytes) {
    this.#key = key;
  }

  sealInto(plaintext: Bytes, nonce: Bytes, aad: Bytes, out: Bytes): void {
    checkSealArguments(plaintext, nonce, out);
    const cipher = createCipheriv("aes-256-gcm", this.#live(), nonce);
    cipher.setAAD(aad);
    const body = cipher.update(plaintext);
    const rest = cipher.final();
    out.set(body);
    out.set(rest, body.length);
    out.set(cipher.getAuthTag(), plaintext.length);
  }

  open(sealed: Bytes, nonce: Bytes, aad: Bytes): Bytes {
    checkOpenArguments(sealed, nonce);
    const cipher = createDecipheriv("aes-256-gcm", this.#live(), nonce, {
      authTagLength: AEAD_TAG_BYTES,
    });
    const bodyLength = sealed.length - AEAD_TAG_BYTES;
    cipher.setAAD(aad);
    cipher.setAuthTag(sealed.subarray(bodyLength));
    const out = new Uint8Array(bodyLength);
    const body = cipher.update(sealed.subarray(0, bodyLength));
    let rest: Uint8Array;
    try {
      rest = cipher.final();
    } catch {
      body.fill(0);
      throw new AeadError("authentication", "AES-256-GCM authentication failed");
    }
    out.set(body);
    out.set(rest, body.length);
    return out;
  }

  [Symbol.dispose](): void {
    this.#wiped = true;
    this.#key.fill(0);
  }

  #live(): Bytes {
    if (this.#wiped) throw new AeadError("usage", "the key was wiped");
    return this.#key;
  }
}
