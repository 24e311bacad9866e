/** Session tokens: made once, shown once, kept only as a keyed hash. */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Bytes } from "../backends/mod.ts";
import type { SessionTokens } from "./deps.ts";

/** What a session token begins with, so that leaked ones can be found by scanners. */
const PREFIX = "nts_";
const TOKEN_BYTES = 32;
const TOKEN_PATTERN = /^nts_[A-Za-z0-9_-]{43}$/;

/**
 * @param secret 32 bytes: the store's `session-token` secret. Without it the hashes in a stolen store
 * say nothing even about a token that somebody guesses.
 */
export function createSessionTokens(
  secret: Bytes,
  random: (length: number) => Bytes,
): SessionTokens {
  const key = secret.slice();
  const hash = (token: string) => createHmac("sha256", key).update(token).digest("hex");
  return {
    issue() {
      const token = PREFIX +
        random(TOKEN_BYTES).toBase64({ alphabet: "base64url", omitPadding: true });
      return { token, hash: hash(token) };
    },
    hash,
  };
}

/** Whether a string can be a session token at all; the rest is never hashed. */
export function looksLikeSessionToken(text: string): boolean {
  return TOKEN_PATTERN.test(text);
}

/**
 * A check of bearer tokens against one token, in constant time.
 *
 * @param expected at least 20 characters
 * @throws {RangeError} for a token short enough to be guessed.
 */
export function createTokenCheck(expected: string): (token: string) => boolean {
  if (expected.length < 20) throw new RangeError("a bearer token has at least 20 characters");
  const digest = (text: string) =>
    createHmac("sha256", "nautilus-tee/token-check").update(text).digest();
  const wanted = digest(expected);
  return (token) => timingSafeEqual(digest(token), wanted);
}
