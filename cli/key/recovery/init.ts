/** `nautilus key recovery-init`: the operator's key pair, made offline. */
import { createRecoveryKeyPair } from "../../../store/mod.ts";
import { type CommandIo, EXIT, type ExitCode } from "../../command.ts";
import { refuseExisting, writeNewFile } from "../../files/written.ts";
import { parseFlags, required } from "../../flags.ts";
import { recoveryFingerprint, recoveryPem } from "../../files/recovery_keys.ts";

export async function recoveryInit(io: CommandIo): Promise<ExitCode> {
  const { strings } = parseFlags(io.args, { strings: ["out"] });
  const directory = required(strings, "out", "DIR");
  const files = { key: `${directory}/recovery.key`, pub: `${directory}/recovery.pub` };
  await Deno.mkdir(directory, { recursive: true, mode: 0o700 });
  for (const path of Object.values(files)) await refuseExisting("out", path);
  const pair = await createRecoveryKeyPair();
  const { privatePem, publicPem } = recoveryPem(pair);
  pair.privateKey.fill(0);
  await writeNewFile("out", files.key, privatePem, 0o600);
  await writeNewFile("out", files.pub, publicPem, 0o644);
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
