import { assertEquals, assertMatch } from "@std/assert";
import { parse } from "yaml";
import { adminKubeconfig } from "./kubeconfig.ts";

Deno.test("adminKubeconfig() is block YAML with an unquoted token", () => {
  const text = adminKubeconfig({
    server: "https://127.0.0.1:6443",
    token: "abc.def",
    certificateAuthority: "PEM",
  });
  assertMatch(text, /^ {4}token: abc\.def$/m);
  const config: { clusters: { cluster: Record<string, string> }[] } = parse(text);
  assertEquals(config.clusters[0]?.cluster, {
    server: "https://127.0.0.1:6443",
    "certificate-authority-data": btoa("PEM"),
  });
});
