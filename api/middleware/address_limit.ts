/** Rates by client address, for what anybody may ask. */
import type { Clock, RateLimit } from "../deps.ts";
import { type ApiContext } from "../http.ts";
import { ApiProblem } from "../problem.ts";
import { createTokenBucket, type TokenBucket } from "./token_bucket.ts";

/** Addresses remembered at a time; the one longest unseen is forgotten first. */
const MAX_ADDRESSES = 10_000;

/** @throws {ApiProblem} 429 with Retry-After, from the returned function. */
export function createAddressLimit(
  limit: RateLimit,
  clock: Clock,
  what: string,
): (c: ApiContext) => void {
  const buckets = new Map<string, TokenBucket>();
  return (c) => {
    // Without a connection the app is called from within: nobody to slow down.
    const address = c.env?.connection?.remoteAddress;
    if (address === undefined) return;
    const key = networkOf(address);
    const bucket = buckets.get(key) ?? createTokenBucket(limit, clock);
    buckets.delete(key);
    buckets.set(key, bucket);
    if (buckets.size > MAX_ADDRESSES) {
      const [oldest] = buckets.keys();
      if (oldest !== undefined) buckets.delete(oldest);
    }
    const wait = bucket.take();
    if (wait === undefined) return;
    throw new ApiProblem(429, "too_many_requests", `too many ${what} from this address`, {
      retryAfterSeconds: wait,
    });
  };
}

/** Whoever has one IPv6 address has 2^64 of them. */
function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped !== null) return mapped[1] ?? address;
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  return [...left, ...Array(Math.max(0, zeros)).fill("0"), ...right].slice(0, 4).join(":");
}
