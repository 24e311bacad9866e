/** Where this program's randomness comes from. */
import type { Bytes } from "../backends/mod.ts";

/** @param length bytes, 65536 at most */
export function systemRandom(length: number): Bytes {
  return crypto.getRandomValues(new Uint8Array(length));
}
