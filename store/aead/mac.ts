/** HMAC-SHA-512 without a native library, with the key's two blocks hashed once. */
import { hmac } from "@noble/hashes/hmac.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { AeadError, type MacKey } from "../aead.ts";

export function portableMacKey(key: Uint8Array): MacKey {
  const base = hmac.create(sha512, key);
  const work = base.clone();
  let wiped = false;
  return {
    digestInto(message, out) {
      if (wiped) throw new AeadError("usage", "the MAC key was wiped");
      base._cloneInto(work);
      work.update(message).digestInto(out);
    },
    [Symbol.dispose]() {
      wiped = true;
      base.destroy();
      work.destroy();
    },
  };
}
