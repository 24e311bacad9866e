/** Headers that keep a browser from doing with an answer what nobody meant. */
import type { MiddlewareHandler } from "@hono/hono";
import type { ApiEnv } from "../http.ts";

/** Nothing is cached, framed, sniffed or loaded from elsewhere. */
export function securityHeaders(): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    c.header("X-Content-Type-Options", "nosniff");
    c.header("Cache-Control", "no-store");
    c.header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
    await next();
  };
}
