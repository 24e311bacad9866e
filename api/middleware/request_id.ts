/** Every answer carries an id that the log carries too. */
import type { MiddlewareHandler } from "@hono/hono";
import type { Bytes } from "../../backends/mod.ts";
import type { ApiEnv } from "../http.ts";

const ACCEPTABLE = /^[A-Za-z0-9._-]{1,64}$/;

export interface RequestIds {
  /** The caller's own where it is harmless, else the next of ours. */
  of(given: string | undefined): string;
}

/** Counts on from a random start. */
export function createRequestIds(random: (length: number) => Bytes): RequestIds {
  const prefix = random(6).toHex();
  let count = 0;
  return {
    of: (given) =>
      given !== undefined && ACCEPTABLE.test(given) ? given : `${prefix}-${(++count).toString(36)}`,
  };
}

/** Puts the id into the context and the answer. */
export function requestId(ids: RequestIds): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    const id = ids.of(c.req.header("x-request-id"));
    c.set("requestId", id);
    c.header("X-Request-Id", id);
    await next();
  };
}
