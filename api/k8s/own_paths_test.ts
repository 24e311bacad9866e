import { assertEquals } from "@std/assert";
import { testApi } from "../../tests/fakes/api.ts";
import { ENDPOINTS } from "../openapi/endpoints.ts";
import { isKubernetesPath, OWN_API_PATHS } from "./own_paths.ts";

Deno.test("`isKubernetesPath()` is false for every endpoint of our own below /api", () => {
  const own = ENDPOINTS.map(({ path }) => path).filter((path) => path.startsWith("/api"));
  assertEquals(own.filter(isKubernetesPath), []);
  assertEquals(Object.values(OWN_API_PATHS).filter((path) => !own.includes(path)), []);
});

Deno.test("no endpoint of our own is asked of the kube-apiserver behind, by any method", async () => {
  const asked: string[] = [];
  await using api = await testApi({
    deps: {
      upstream: {
        origin: "https://kube.test:6443",
        fetch(request) {
          asked.push(`${request.method} ${request.url}`);
          return Promise.resolve(new Response("{}"));
        },
      },
    },
  });
  for (const { path } of ENDPOINTS) {
    // The release is the one of whoever serves Kubernetes' paths.
    if (path === "/status/events" || path === "/version") continue;
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"]) {
      const hasBody = method !== "GET";
      const response = await api.admin(
        method,
        path.replace(/\{\w+\}/, "x"),
        hasBody ? "{}" : undefined,
      );
      await response.body?.cancel();
    }
  }
  assertEquals(asked, []);
});
