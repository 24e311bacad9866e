/** `nautilus key recovery-init`: the operator's key pair, made offline. */
import { parseArgs } from "@std/cli/parse-args";
import { createRecoveryKeyPair } from "../../../store/mod.ts";
import { type CommandIo, EXIT, type ExitCode, parseFlags, UsageError } from "../../command.ts";
import { wanted } from "../../files/document.ts";
import { recoveryFingerprint, recoveryPem } from "../../node/recovery_keys.ts";

export async function recoveryInit(io: CommandIo): Promise<ExitCode> {
  const { strings } = parseFlags(parseArgs, io.args, { strings: ["out"] });
  const directory = wanted(strings, "out");
  const files = { key: `${directory}/recovery.key`, pub: `${directory}/recovery.pub` };
  await Deno.mkdir(directory, { recursive: true, mode: 0o700 });
  for (const path of Object.values(files)) await refuseExisting(path);
  const pair = await createRecoveryKeyPair();
  const { privatePem, publicPem } = recoveryPem(pair);
  pair.privateKey.fill(0);
  await writeNew(files.key, privatePem, 0o600);
  await writeNew(files.pub, publicPem, 0o644);
  io.stdout(
    [
      `recovery key     ${recoveryFingerprint(pair.publicKey)}`,
      `private key      ${files.key}  (keep it offline, twice; never on a master's machine)`,
      `public key       ${files.pub}  (for --recovery-key at the first start)`,
      "",
    ].join("\n"),
  );
  return EXIT.done;
}

async function refuseExisting(path: string): Promise<void> {
  try {
    await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  throw new UsageError(`--out: ${path} is there already; it is left as it is`);
}

async function writeNew(path: string, text: string, mode: number): Promise<void> {
  using file = await Deno.open(path, { createNew: true, write: true, mode });
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
  await file.sync();
  bytes.fill(0);
}
