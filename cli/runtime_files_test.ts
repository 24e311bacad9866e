import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { parse } from "yaml";
import {
  adminKubeconfig,
  formatListen,
  makePrivateDirectory,
  removeFile,
  replaceFile,
  runtimeDirectory,
} from "./runtime_files.ts";

Deno.test("replaceFile() leaves the new text, mode 0600 and nothing beside it", async () => {
  const dir = await Deno.makeTempDir();
  await replaceFile(`${dir}/f`, "old");
  await replaceFile(`${dir}/f`, "new");
  assertEquals(await Deno.readTextFile(`${dir}/f`), "new");
  assertEquals(((await Deno.stat(`${dir}/f`)).mode ?? 0) & 0o777, 0o600);
  assertEquals([...Deno.readDirSync(dir)].map(({ name }) => name), ["f"]);
  await assertRejects(() => replaceFile(`${dir}/missing/f`, "x"), Deno.errors.NotFound);
  await removeFile(`${dir}/f`);
  await removeFile(`${dir}/f`);
  await Deno.remove(dir);
});

Deno.test("makePrivateDirectory() tightens a directory that others could enter", async () => {
  const dir = await Deno.makeTempDir();
  await Deno.chmod(dir, 0o755);
  await makePrivateDirectory(dir);
  await makePrivateDirectory(`${dir}/a/b`);
  for (const path of [dir, `${dir}/a/b`]) {
    assertEquals(((await Deno.stat(path)).mode ?? 0) & 0o777, 0o700);
  }
  await Deno.remove(dir, { recursive: true });
});

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
