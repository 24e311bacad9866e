/** The worker's command line: what is refused, and what a refusal says. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Ed25519Keypair } from "@mysten/sui/keypairs/ed25519";
import { UsageError } from "./command.ts";
import { masterUrl, openWallet } from "./worker_flags.ts";

Deno.test("masterUrl() takes an origin, and repeats no password in what it refuses", () => {
  assertEquals(masterUrl("https://master:6443").href, "https://master:6443/");
  assertEquals(masterUrl("http://127.0.0.1:80").hostname, "127.0.0.1");
  assertThrows(() => masterUrl("http://master:6443"), UsageError, "unencrypted");
  assertThrows(() => masterUrl("https://master/api"), UsageError, '"https://master/api"');
  for (const text of ["https://u:s3cr3t@master:6443", "u:s3cr3t@master", "https://s3cr3t@[bad"]) {
    const { message } = assertThrows(() => masterUrl(text), UsageError, "--master: https://");
    assertEquals(message.includes("s3cr3t"), false, message);
  }
});

Deno.test("openWallet() refuses a file that others may read; of a systemd credential the mask is none", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/wallet`;
    const keypair = Ed25519Keypair.generate();
    await Deno.writeTextFile(path, `${keypair.getSecretKey()}\n`);
    const open = (env: Record<string, string>) => openWallet(env, path, undefined);
    for (const mode of [0o644, 0o640, 0o604, 0o660]) {
      await Deno.chmod(path, mode);
      await assertRejects(() => open({}), UsageError, "chmod 600");
    }
    for (const mode of [0o600, 0o400]) {
      await Deno.chmod(path, mode);
      assertEquals((await open({})).address, keypair.toSuiAddress());
    }
    await Deno.chmod(path, 0o440);
    const credentials = { CREDENTIALS_DIRECTORY: folder };
    assertEquals((await open(credentials)).address, keypair.toSuiAddress());
    await Deno.chmod(path, 0o444);
    await assertRejects(() => open(credentials), UsageError, "chmod 600");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
