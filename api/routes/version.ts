/** `GET /version`, in the shape that Kubernetes clients read. */
import type { Hono } from "@hono/hono";
import type { ApiDeps } from "../deps.ts";
import { type ApiEnv, methodNotAllowed } from "../http.ts";

/** The Kubernetes release whose API conventions are followed. */
const KUBERNETES = { major: "1", minor: "32", gitVersion: "v1.32.0" } as const;

export function versionRoutes(app: Hono<ApiEnv>, deps: ApiDeps): void {
  const document = {
    major: KUBERNETES.major,
    minor: KUBERNETES.minor,
    gitVersion: `${KUBERNETES.gitVersion}+nautilus.${deps.version}`,
    gitCommit: "",
    gitTreeState: "",
    buildDate: "1970-01-01T00:00:00Z",
    goVersion: "",
    compiler: "deno",
    platform: `${Deno.build.os}/${Deno.build.arch === "x86_64" ? "amd64" : "arm64"}`,
  };
  app.get("/version", (c) => c.json(document));
  app.all("/version", methodNotAllowed("GET", "HEAD"));
}
