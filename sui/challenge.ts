/**
 * Admission challenges that cost nothing to hand out: everything a challenge promises stands in it,
 * under a MAC of a key that lives as long as the process. Only a challenge that was used takes
 * memory, until it would have expired anyway; the whole of it is bounded. Void after a restart.
 *
 * Bytes (81): 0x01 ‖ nonce (16) ‖ issued at, ms (u64 BE) ‖ expires at, ms (u64 BE) ‖ MAC (48), with
 * MAC = HMAC-SHA-384(boot key, LP("nautilus-tee/admission-challenge/v1") ‖ LP(first 33 bytes) ‖
 * LP(context) ‖ LP(node id) ‖ LP(address)), LP(x) = length as u32 BE, then x.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { addressBytes } from "./address.ts";
import { lengthPrefixed } from "./bytes.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export const CHALLENGE_LENGTH = 81;
/** Longest that a challenge may be good for. */
export const MAX_CHALLENGE_LIFETIME_MS = 60_000;

const VERSION = 1;
const NONCE_LENGTH = 16;
const HEAD_LENGTH = 33;
const encoder = new TextEncoder();
const DOMAIN = encoder.encode("nautilus-tee/admission-challenge/v1");

export interface ChallengeOptions {
  /** 32 random bytes, made at start and never stored. */
  readonly bootKey: Bytes;
  /** What all challenges of this process hold for: chain, cluster, measurement, keys; any bytes. */
  readonly context: Bytes;
  /**
   * Milliseconds since the epoch. The host may set its clock: what this says is never taken to go
   * back, so that a used challenge cannot come to life again.
   */
  readonly clock: () => number;
  readonly random: (length: number) => Bytes;
  /** At most 60000, the default. */
  readonly lifetimeMs?: number;
  /** Most used challenges remembered at a time. Default 100000. */
  readonly maxBurned?: number;
}

/** Whom a challenge is for. */
export interface ChallengeSubject {
  readonly nodeId: string;
  /** 0x + 64 hex. */
  readonly address: string;
}

export interface IssuedChallenge {
  /** 81 bytes. */
  readonly challenge: Bytes;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

export type ChallengeVerdict =
  | { readonly valid: true; readonly issuedAtMs: number; readonly expiresAtMs: number }
  | { readonly valid: false; readonly code: "malformed" | "foreign" | "expired" | "used" };

export interface Challenges {
  issue(subject: ChallengeSubject): IssuedChallenge;
  /** Looks without using it up. `foreign`: another process, another subject, or forged. */
  verify(challenge: Uint8Array, subject: ChallengeSubject): ChallengeVerdict;
  /**
   * Uses it up. To be called last, once everything else about the proof is known to be right, so
   * that only those who are admitted take memory. `full` admits nobody.
   */
  burn(
    challenge: Uint8Array,
    subject: ChallengeSubject,
  ): "burned" | "full" | Exclude<ChallengeVerdict, { valid: true }>["code"];
  /** Used challenges remembered now. */
  readonly burned: number;
}

/** @throws {TypeError} when the boot key or the lifetime is out of range */
export function createChallenges(options: ChallengeOptions): Challenges {
  const { bootKey, clock, random, lifetimeMs = MAX_CHALLENGE_LIFETIME_MS } = options;
  const { maxBurned = 100_000 } = options;
  if (bootKey.length !== 32) {
    throw new TypeError(`bootKey: expected 32 bytes, got ${bootKey.length}`);
  }
  if (!(lifetimeMs >= 1 && lifetimeMs <= MAX_CHALLENGE_LIFETIME_MS)) {
    throw new TypeError(
      `lifetimeMs: expected 1 to ${MAX_CHALLENGE_LIFETIME_MS}, got ${lifetimeMs}`,
    );
  }
  const context = options.context.slice();
  const key = bootKey.slice();
  /** Nonce to the end of its challenge's life, oldest use first. */
  const burned = new Map<string, number>();
  let latestMs = 0;
  const now = () => latestMs = Math.max(latestMs, clock());

  const mac = (head: Uint8Array, { nodeId, address }: ChallengeSubject): Uint8Array =>
    createHmac("sha384", key)
      .update(lengthPrefixed([DOMAIN, head, context, utf8(nodeId), addressBytes(address)]))
      .digest();

  const verify = (challenge: Uint8Array, subject: ChallengeSubject): ChallengeVerdict => {
    if (challenge.length !== CHALLENGE_LENGTH || challenge[0] !== VERSION) {
      return { valid: false, code: "malformed" };
    }
    const head = challenge.subarray(0, HEAD_LENGTH);
    if (!timingSafeEqual(mac(head, subject), challenge.subarray(HEAD_LENGTH))) {
      return { valid: false, code: "foreign" };
    }
    const view = new DataView(challenge.buffer, challenge.byteOffset, challenge.byteLength);
    const issuedAtMs = Number(view.getBigUint64(1 + NONCE_LENGTH));
    const expiresAtMs = Number(view.getBigUint64(9 + NONCE_LENGTH));
    if (now() >= expiresAtMs) return { valid: false, code: "expired" };
    if (burned.has(nonceOf(challenge))) return { valid: false, code: "used" };
    return { valid: true, issuedAtMs, expiresAtMs };
  };

  /** In order of use, which is nearly the order of expiry: what stays, stays a lifetime at most. */
  const forgetExpired = () => {
    for (const [nonce, expiresAtMs] of burned) {
      if (expiresAtMs > latestMs) return;
      burned.delete(nonce);
    }
  };

  return {
    issue: (subject) => {
      const issuedAtMs = now();
      const expiresAtMs = issuedAtMs + lifetimeMs;
      const challenge = new Uint8Array(CHALLENGE_LENGTH);
      challenge[0] = VERSION;
      challenge.set(random(NONCE_LENGTH), 1);
      const view = new DataView(challenge.buffer);
      view.setBigUint64(1 + NONCE_LENGTH, BigInt(issuedAtMs));
      view.setBigUint64(9 + NONCE_LENGTH, BigInt(expiresAtMs));
      challenge.set(mac(challenge.subarray(0, HEAD_LENGTH), subject), HEAD_LENGTH);
      return { challenge, issuedAtMs, expiresAtMs };
    },
    verify,
    burn: (challenge, subject) => {
      const verdict = verify(challenge, subject);
      if (!verdict.valid) return verdict.code;
      forgetExpired();
      if (burned.size >= maxBurned) return "full";
      burned.set(nonceOf(challenge), verdict.expiresAtMs);
      return "burned";
    },
    get burned() {
      return burned.size;
    },
  };
}

function nonceOf(challenge: Uint8Array): string {
  return Uint8Array.from(challenge.subarray(1, 1 + NONCE_LENGTH)).toHex();
}

function utf8(text: string): Bytes {
  return encoder.encode(text);
}
