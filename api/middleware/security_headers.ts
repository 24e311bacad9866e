/** Headers that keep a browser from doing with an answer what nobody meant. */
import type { MiddlewareHandler } from "@hono/hono";
import type { ApiEnv } from "../http.ts";

/** Nothing is cached, framed, sniffed or loaded from elsewhere. */
export const SECURITY_HEADERS: readonly (readonly [string, string])[] = [
  ["X-Content-Type-Options", "nosniff"],
  ["Cache-Control", "no-store"],
  ["Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"],
];

export function securityHeaders(): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    for (const [name, value] of SECURITY_HEADERS) c.header(name, value);
    await next();
  };
}
