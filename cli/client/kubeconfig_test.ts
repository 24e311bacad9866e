import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { parse } from "yaml";
import { adminKubeconfig, execKubeconfig } from "./kubeconfig.ts";

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

Deno.test("execKubeconfig() names the program by its path, and says what to do where it is gone", () => {
  const command = '/opt/my programs/nautilus "a"';
  const args = ["admin", "token", "--key", "/home/me/a key.pem"];
  const text = execKubeconfig({
    server: "https://127.0.0.1:6443",
    certificateAuthority: undefined,
    command,
    args,
  });
  const config: { users: { user: { exec: Record<string, unknown> } }[] } = parse(text);
  const exec = config.users[0]?.user.exec ?? {};
  assertEquals(exec["command"], command);
  assertEquals(exec["args"], args);
  assertStringIncludes(String(exec["installHint"]), "nautilus admin kubeconfig");
});
