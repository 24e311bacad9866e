import { assertEquals, assertRejects } from "@std/assert";
import { ConfigError } from "../../config.ts";
import { createRecoveryKeyPair } from "../../store/mod.ts";
import { UsageError } from "../command.ts";
import { readRecoveryPrivateKey, readRecoveryPublicKeys, recoveryPem } from "./recovery_keys.ts";

/** A key pair's files, removed when disposed. */
async function keyFiles() {
  const directory = await Deno.makeTempDir({ prefix: "nautilus-keys-" });
  const pair = await createRecoveryKeyPair();
  const { privatePem, publicPem } = recoveryPem(pair);
  await Deno.writeTextFile(`${directory}/recovery.key`, privatePem, { mode: 0o600 });
  await Deno.writeTextFile(`${directory}/recovery.pub`, publicPem);
  return {
    pair,
    directory,
    publicPath: `${directory}/recovery.pub`,
    privatePath: `${directory}/recovery.key`,
    [Symbol.asyncDispose]: () => Deno.remove(directory, { recursive: true }),
  };
}

Deno.test("recoveryPem() is read back, the public key out of either file", async () => {
  await using files = await keyFiles();
  assertEquals(await readRecoveryPublicKeys([files.publicPath]), [files.pair.publicKey]);
  const read = await readRecoveryPrivateKey(files.privatePath);
  assertEquals(read, files.pair);
});

Deno.test("readRecoveryPublicKeys() refuses private keys, other kinds, repetitions, what is not there", async () => {
  await using files = await keyFiles();
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
  await using files = await keyFiles();
  await Deno.chmod(files.publicPath, 0o600);
  await assertRejects(() => readRecoveryPrivateKey(files.publicPath), UsageError, "private key");
  await Deno.chmod(files.privatePath, 0o640);
  await assertRejects(() => readRecoveryPrivateKey(files.privatePath), UsageError, "chmod 600");
});
