import { assertEquals } from "@std/assert";
import { formatListen, runtimeDirectory } from "./runtime_files.ts";

Deno.test("formatListen() brackets IPv6", () => {
  assertEquals(formatListen({ host: "::1", port: 1 }), "[::1]:1");
  assertEquals(formatListen({ host: "127.0.0.1", port: 8080 }), "127.0.0.1:8080");
});

Deno.test("runtimeDirectory() lies in the data directory in the simulation only", () => {
  const config = { runtimeDir: undefined, dataDir: "/d", teeMode: "simulation" } as const;
  const root = { isRoot: true, env: {} };
  const user = { isRoot: false, env: { XDG_RUNTIME_DIR: "/run/user/7" } };
  assertEquals(runtimeDirectory(config, root), "/d/run");
  assertEquals(runtimeDirectory({ ...config, teeMode: "auto" }, root), "/run/nautilus");
  assertEquals(runtimeDirectory({ ...config, teeMode: "auto" }, user), "/run/user/7/nautilus");
  assertEquals(runtimeDirectory({ ...config, runtimeDir: "/r" }, user), "/r");
});
