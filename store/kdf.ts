/** HKDF-SHA-256 (RFC 5869): every key below the KEK and the DEKs, one info string each. */
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import type { Bytes } from "../backends/mod.ts";
import { concatBytes, utf8 } from "./bytes.ts";

const PREFIX = "nautilus-tee/store/v1/";

/** @param purpose the info string's end @param context more bytes of info, after a zero byte */
export function deriveKey(
  secret: Bytes,
  salt: Bytes,
  purpose: string,
  lengthBytes = 32,
  context: Bytes = new Uint8Array(0),
): Bytes {
  const info = concatBytes(utf8(PREFIX + purpose), Uint8Array.of(0), context);
  return new Uint8Array(hkdf(sha256, secret, salt, info, lengthBytes));
}
