/** Node keys made ready to check signatures with, as many as are worth their memory. */
import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { Buffer } from "node:buffer";
import type { Bytes } from "../backends/mod.ts";

/**
 * A key made ready takes 860 bytes; making it ready again, a tenth of the time of checking a
 * signature. So a bounded number is kept, and the one longest unused goes first.
 */
export class NodeKeys {
  readonly #most: number;
  readonly #ready = new Map<string, KeyObject>();

  constructor(most: number) {
    this.#most = most;
  }

  /** How many are ready. */
  get size(): number {
    return this.#ready.size;
  }

  /**
   * Whether the key signed the message; false for what is no key or no signature as well.
   * @param spki Ed25519, 44 bytes
   * @param signature 64 bytes
   */
  verify(spki: Bytes, message: Bytes, signature: Bytes): boolean {
    const id = spki.toBase64();
    const key = this.#ready.get(id) ?? keyObject(spki);
    if (key === undefined) return false;
    this.#ready.delete(id);
    this.#ready.set(id, key);
    if (this.#ready.size > this.#most) {
      const [oldest] = this.#ready.keys();
      if (oldest !== undefined) this.#ready.delete(oldest);
    }
    return verify(null, message, key, signature);
  }
}

function keyObject(spki: Bytes): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
    return key.asymmetricKeyType === "ed25519" ? key : undefined;
  } catch {
    return undefined; // not the SPKI of any key
  }
}
