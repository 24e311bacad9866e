/** The admin's short-lived tokens: signed by a key of the store and of this start, kept nowhere. */
import { createHmac, timingSafeEqual } from "node:crypto";
import * as v from "valibot";
import type { Bytes } from "../../backends/mod.ts";
import type { Clock } from "../deps.ts";

/** What an admin token begins with, so that leaked ones can be found by scanners. */
const PREFIX = "nta_";
const PATTERN = /^nta_([A-Za-z0-9_-]{40,400})\.([A-Za-z0-9_-]{43})$/;
export const MAX_ADMIN_TOKEN_TTL_SECONDS = 3_600;
export const DEFAULT_ADMIN_TOKEN_TTL_SECONDS = 900;
/** Tokens revoked one by one and not yet ended; beyond it all are. */
const MAX_REVOKED = 10_000;

const CLAIMS = v.strictObject({
  id: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
  /** Milliseconds since the epoch. */
  iat: v.pipe(v.number(), v.safeInteger()),
  exp: v.pipe(v.number(), v.safeInteger()),
  /** Rises when all tokens are revoked. */
  gen: v.pipe(v.number(), v.safeInteger()),
});
export type AdminClaims = v.InferOutput<typeof CLAIMS>;

export interface AdminTokens {
  issue(ttlSeconds: number): { readonly token: string; readonly claims: AdminClaims };
  /** The claims of a token that stands; undefined for any other. */
  verify(token: string): AdminClaims | undefined;
  revoke(id: string): void;
  revokeAll(): void;
}

/**
 * @param secret the store's `admin-token` secret: tokens of one store are nothing to another
 * @param bootKey 32 random bytes of this start: tokens end with it
 */
export function createAdminTokens(
  secret: Bytes,
  bootKey: Bytes,
  clock: Clock,
  random: (length: number) => Bytes,
): AdminTokens {
  const key = createHmac("sha256", secret).update("nautilus-tee/admin-token/v1\0").update(bootKey)
    .digest();
  const revoked = new Map<string, number>();
  let generation = 0;
  const mac = (payload: string) => createHmac("sha256", key).update(payload).digest();
  const revokeAll = () => {
    generation++;
    revoked.clear();
  };
  return {
    issue(ttlSeconds) {
      if (!(ttlSeconds >= 1 && ttlSeconds <= MAX_ADMIN_TOKEN_TTL_SECONDS)) {
        throw new RangeError(`a token lives 1 to ${MAX_ADMIN_TOKEN_TTL_SECONDS} seconds`);
      }
      const now = clock();
      const claims: AdminClaims = {
        id: random(16).toHex(),
        iat: now,
        exp: now + Math.floor(ttlSeconds) * 1000,
        gen: generation,
      };
      const payload = base64url(new TextEncoder().encode(JSON.stringify(claims)));
      return { token: `${PREFIX}${payload}.${base64url(new Uint8Array(mac(payload)))}`, claims };
    },
    verify(token) {
      const match = PATTERN.exec(token);
      const [, payload, tag] = match ?? [];
      if (payload === undefined || tag === undefined) return undefined;
      const given = decodeBase64url(tag);
      if (given === undefined || !timingSafeEqual(mac(payload), given)) return undefined;
      const claims = decodeClaims(payload);
      if (claims === undefined || claims.gen !== generation || revoked.has(claims.id)) {
        return undefined;
      }
      const now = clock();
      // Also against a clock that was turned back before the token was made.
      const lives = now < claims.exp && now >= claims.iat - 1_000;
      return lives ? claims : undefined;
    },
    revoke(id) {
      const now = clock();
      for (const [known, end] of revoked) if (end <= now) revoked.delete(known);
      if (revoked.size >= MAX_REVOKED) return revokeAll();
      revoked.set(id, now + MAX_ADMIN_TOKEN_TTL_SECONDS * 1000);
    },
    revokeAll,
  };
}

function base64url(bytes: Bytes): string {
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

/** 32 bytes, unpadded; undefined for anything else. */
function decodeBase64url(text: string): Bytes | undefined {
  try {
    const bytes = Uint8Array.fromBase64(`${text}=`, {
      alphabet: "base64url",
      lastChunkHandling: "strict",
    });
    return bytes.length === 32 ? bytes : undefined;
  } catch {
    return undefined; // not what was issued, whoever made it
  }
}

/** The MAC was good, so this is what was issued. */
function decodeClaims(payload: string): AdminClaims | undefined {
  const bytes = Uint8Array.fromBase64(payload, { alphabet: "base64url" });
  const result = v.safeParse(CLAIMS, JSON.parse(new TextDecoder().decode(bytes)));
  return result.success ? result.output : undefined;
}
