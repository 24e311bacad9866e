/** Challenges that the master need not remember: it knows its own by their MAC. */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Bytes } from "../../backends/mod.ts";
import type { Clock } from "../deps.ts";
import { CHALLENGE_LENGTH } from "./messages.ts";

const VERSION = 1;
const BODY_LENGTH = CHALLENGE_LENGTH - 32;
export const CHALLENGE_TTL_MS = 60_000;
/** Challenges used in one minute; only the admin's key can use one. */
const MAX_USED = 10_000;

export type ChallengeVerdict = "good" | "malformed" | "expired" | "used";

export interface Challenges {
  issue(): { readonly challenge: Bytes; readonly expiresAtMs: number };
  /** Whether the challenge is ours, of this start, still good and unused. */
  check(challenge: Bytes): ChallengeVerdict;
  /** Ends a challenge whose signature was good. `false`: somebody was faster, or too many were used. */
  burn(challenge: Bytes): boolean;
}

/** @param key 32 random bytes of this start */
export function createChallenges(
  key: Bytes,
  clock: Clock,
  random: (length: number) => Bytes,
): Challenges {
  /** Id → end. Only burned ones stand here, so asking for challenges costs no memory. */
  const used = new Map<string, number>();
  const mac = (body: Uint8Array) =>
    createHmac("sha256", key).update("nautilus-tee/admin-challenge/v1\0").update(body).digest();
  const idOf = (challenge: Bytes) => challenge.subarray(1, 17).toHex();
  const endOf = (challenge: Bytes) =>
    Number(new DataView(challenge.buffer, challenge.byteOffset).getBigUint64(17));
  const check = (challenge: Bytes): ChallengeVerdict => {
    if (challenge.length !== CHALLENGE_LENGTH || challenge[0] !== VERSION) return "malformed";
    const body = challenge.subarray(0, BODY_LENGTH);
    if (!timingSafeEqual(mac(body), challenge.subarray(BODY_LENGTH))) return "malformed";
    const left = endOf(challenge) - clock();
    // A clock that was turned back makes no challenge live longer.
    if (left <= 0 || left > CHALLENGE_TTL_MS) return "expired";
    return used.has(idOf(challenge)) ? "used" : "good";
  };
  return {
    issue() {
      const expiresAtMs = clock() + CHALLENGE_TTL_MS;
      const challenge = new Uint8Array(CHALLENGE_LENGTH);
      challenge[0] = VERSION;
      challenge.set(random(16), 1);
      new DataView(challenge.buffer).setBigUint64(17, BigInt(expiresAtMs));
      challenge.set(mac(challenge.subarray(0, BODY_LENGTH)), BODY_LENGTH);
      return { challenge, expiresAtMs };
    },
    check,
    burn(challenge) {
      const now = clock();
      if (check(challenge) !== "good") return false;
      for (const [id, end] of used) if (end <= now) used.delete(id);
      if (used.size >= MAX_USED) return false;
      used.set(idOf(challenge), endOf(challenge));
      return true;
    },
  };
}
