/**
 * A lane of its own for the few requests that come by the thousand: no Request, no Response, no
 * middleware. It carries good answers only. Whatever is refused or fails goes through the app, which
 * words, counts, limits and audits it as everything else.
 */
import type { Bytes } from "../backends/mod.ts";
import { SECURITY_HEADERS } from "./middleware/security_headers.ts";
import type { RequestIds } from "./middleware/request_id.ts";

/** What a handler may look at; made of node:http's request, or of Hono's context. */
export interface DirectRequest {
  /** @param name in lower case */
  header(name: string): string | undefined;
  /** The whole body. @throws {ApiProblem} 413 beyond `limit` bytes, 400 where the client breaks off */
  readBody(limit: number): Promise<Bytes>;
}

/** Gives the JSON of a 200. @throws {Error} whatever the app would answer otherwise */
export type DirectHandler = (request: DirectRequest) => string | Promise<string>;

export interface DirectRoute {
  readonly handler: DirectHandler;
  /** Told how long a good answer took. */
  counted(seconds: number): void;
}

export interface DirectRoutes {
  /** @param target path and query as sent: a query is for the app */
  find(method: string, target: string): DirectRoute | undefined;
  /** Names and values in turn, without the length. @param given the caller's X-Request-Id */
  headers(given: string | undefined): string[];
}

/** @param routes by method, a space, and path */
export function createDirectRoutes(
  routes: ReadonlyMap<string, DirectRoute>,
  requestIds: RequestIds,
): DirectRoutes {
  const fixed = ["Content-Type", "application/json", ...SECURITY_HEADERS.flat()];
  return {
    find: (method, target) => routes.get(`${method} ${target}`),
    headers: (given) => [...fixed, "X-Request-Id", requestIds.of(given)],
  };
}
