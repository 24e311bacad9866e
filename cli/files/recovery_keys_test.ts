import { assertEquals, assertRejects } from "@std/assert";
import { ConfigError } from "../../config.ts";
import { recoveryKeyFiles } from "../../tests/fakes/recovery_key_files.ts";
import { UsageError } from "../command.ts";
import { readRecoveryPrivateKey, readRecoveryPublicKeys } from "./recovery_keys.ts";

Deno.test("recoveryPem() is read back, the public key out of either file", async () => {
  await using files = await recoveryKeyFiles();
  assertEquals(await readRecoveryPublicKeys([files.publicPath]), [files.pair.publicKey]);
  const read = await readRecoveryPrivateKey(files.privatePath);
  assertEquals(read, files.pair);
});

Deno.test("readRecoveryPublicKeys() refuses private keys, other kinds, repetitions, what is not there", async () => {
  await using files = await recoveryKeyFiles();
  const other = `${files.directory}/other.pub`;
  const ed25519 = "MCowBQYDK2VwAyEAiojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=";
  await Deno.writeTextFile(
    other,
    `-----BEGIN PUBLIC KEY-----\n${ed25519}\n-----END PUBLIC KEY-----\n`,
  );
  for (
    const [paths, says] of [
      [[files.privatePath], "must never reach a master"],
      [[other], "X25519 public key"],
      [[files.publicPath, files.publicPath], "named twice"],
      [[`${files.directory}/none`], "none"],
    ] as const
  ) {
    await assertRejects(() => readRecoveryPublicKeys(paths), ConfigError, says);
  }
});

Deno.test("readRecoveryPrivateKey() refuses a file that others may read, and public keys", async () => {
  await using files = await recoveryKeyFiles();
  await Deno.chmod(files.publicPath, 0o600);
  await assertRejects(() => readRecoveryPrivateKey(files.publicPath), UsageError, "private key");
  await Deno.chmod(files.privatePath, 0o640);
  await assertRejects(() => readRecoveryPrivateKey(files.privatePath), UsageError, "chmod 600");
});
