/** Every answer carries an id that the log carries too. */
import type { MiddlewareHandler } from "@hono/hono";
import type { Bytes } from "../../backends/mod.ts";
import type { ApiEnv } from "../http.ts";

const ACCEPTABLE = /^[A-Za-z0-9._-]{1,64}$/;

/** Takes the caller's `X-Request-Id` where it is harmless, else counts on from a random start. */
export function requestId(random: (length: number) => Bytes): MiddlewareHandler<ApiEnv> {
  const prefix = random(6).toHex();
  let count = 0;
  return async (c, next) => {
    const given = c.req.header("x-request-id");
    const id = given !== undefined && ACCEPTABLE.test(given)
      ? given
      : `${prefix}-${(++count).toString(36)}`;
    c.set("requestId", id);
    c.header("X-Request-Id", id);
    await next();
  };
}
