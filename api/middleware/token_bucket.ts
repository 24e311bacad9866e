/** A token bucket over an injected clock. */
import type { Clock, RateLimit } from "../deps.ts";

export interface TokenBucket {
  /** Takes one; undefined where there was one, else how many seconds until there is. */
  take(): number | undefined;
}

/** Full at the start. @throws {RangeError} for a rate that lets nobody through. */
export function createTokenBucket(limit: RateLimit, clock: Clock): TokenBucket {
  if (!(limit.perSecond > 0) || !(limit.burst >= 1)) {
    throw new RangeError("a rate limit needs perSecond > 0 and burst >= 1");
  }
  let tokens = limit.burst;
  let at = clock();
  return {
    take() {
      const now = clock();
      // A clock that was turned back gives nothing and takes nothing.
      tokens = Math.min(limit.burst, tokens + Math.max(0, now - at) / 1000 * limit.perSecond);
      at = now;
      if (tokens >= 1) {
        tokens -= 1;
        return undefined;
      }
      return (1 - tokens) / limit.perSecond;
    },
  };
}
