/** An operator's recovery key pair on disk. */
import { recoveryPem } from "../../cli/files/recovery_keys.ts";
import { createRecoveryKeyPair, type HpkeKeyPair } from "../../store/mod.ts";

export interface RecoveryKeyFiles extends AsyncDisposable {
  readonly pair: HpkeKeyPair;
  readonly directory: string;
  readonly publicPath: string;
  readonly privatePath: string;
}

/** A key pair's files, removed when disposed. */
export async function recoveryKeyFiles(): Promise<RecoveryKeyFiles> {
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
