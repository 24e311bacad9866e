/** `GET /openapi.json`. */
import type { Hono } from "@hono/hono";
import type { ApiDeps } from "../deps.ts";
import { type ApiEnv, methodNotAllowed } from "../http.ts";

export function openApiRoutes(app: Hono<ApiEnv>, deps: Pick<ApiDeps, "version">): void {
  let document: string | undefined;
  app.get("/openapi.json", async (c) => {
    if (document === undefined) {
      // Asked for seldom: the start does not pay for it.
      const { ownOpenApi } = await import("../openapi/document.ts");
      document = JSON.stringify(ownOpenApi(deps.version));
    }
    return c.body(document, 200, { "Content-Type": "application/json" });
  });
  app.all("/openapi.json", methodNotAllowed("GET", "HEAD"));
}
