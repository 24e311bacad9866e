/** The Gramine manifest that is shipped says what docs/TEE-HOSTS.md promises of it. */
import { assert, assertEquals, assertMatch } from "@std/assert";

const TEMPLATE = new URL("../native/gramine/nautilus.manifest.template", import.meta.url);

/** Without comments, one entry a key; what Jinja fills in stays as it stands. */
async function entries(): Promise<ReadonlyMap<string, string>> {
  const text = (await Deno.readTextFile(TEMPLATE)).replaceAll(/^\s*#.*\n/gm, "");
  const found = [...text.matchAll(/^([a-z_][\w.]*) = (\[\n[^]*?\n\]|.*)$/gm)];
  const map = new Map(found.map(([, key = "", value = ""]) => [key, value]));
  assertEquals(map.size, found.length, "a key stands twice");
  return map;
}

function strings(value: string | undefined): string[] {
  return [...(value ?? "").matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, text = ""]) => text);
}

Deno.test("the Gramine manifest takes nothing from the host that is not measured or sealed", async () => {
  const manifest = await entries();
  for (const key of manifest.keys()) {
    assert(!/insecure|passthrough|argv_src|env_src/.test(key), `${key} lets the host choose`);
  }
  assertEquals(manifest.get("sgx.debug"), "false");
  assertEquals(manifest.get("sgx.remote_attestation"), '"dcap"');
  assertEquals(strings(manifest.get("sgx.allowed_files")), ["file:/var/lib/nautilus/"]);
  const trusted = strings(manifest.get("sgx.trusted_files"));
  const mounts = [...(manifest.get("fs.mounts") ?? "").matchAll(/\{ (.*) \}/g)].map(([, body]) =>
    body ?? ""
  );
  assert(mounts.length >= 5);
  for (const mount of mounts) {
    const uri = /uri = "(file:[^"]*)"/.exec(mount)?.[1];
    if (uri === undefined) assertMatch(mount, /^type = "tmpfs"/);
    else assert(trusted.includes(`${uri}/`) || uri === "file:/var/lib/nautilus", uri);
  }
});

Deno.test("the Gramine manifest starts the master in production on its sealed directory", async () => {
  const manifest = await entries();
  const argv = strings(manifest.get("loader.argv"));
  const after = (flag: string) => argv[argv.indexOf(flag) + 1];
  assertEquals(argv[0], "deno");
  assertEquals(after("/opt/nautilus/nautilus.js"), "serve");
  assertEquals([after("--tee-mode"), after("--data-dir")], ["production", "/data"]);
  for (const flag of ["--no-config", "--no-remote", "--no-npm", "--no-code-cache"]) {
    assert(argv.includes(flag), flag);
  }
  // What is fetched or found in a folder of the host would be code that nobody measured.
  assertEquals(manifest.get("loader.env.DENO_DIR"), '"/tmp/none"');
  assert(Number(manifest.get("sgx.isvprodid")) > 0 && Number(manifest.get("sgx.isvsvn")) > 0);
});
