/** `nautilus key recovery-request`: the new host proves itself and asks for the store's key. */
import { BackendError } from "../../../backends/mod.ts";
import { createRecoveryRequest, recoveryRecipients, StoreError } from "../../../store/mod.ts";
import { type CommandIo, EXIT, type ExitCode, Refused } from "../../command.ts";
import { openHost } from "../../node/host.ts";
import { withNodeOptions } from "../../node/offline.ts";
import { required } from "../../flags.ts";
import { pendingPath, writePending } from "./pending.ts";
import { replaceFile } from "../../files/written.ts";
import { loadSettings } from "../../settings.ts";
import { requireSealing } from "../../node/sealing.ts";

export async function recoveryRequest(io: CommandIo): Promise<ExitCode> {
  const { config, flags } = await loadSettings(io, io.args, { strings: ["out"] });
  const out = required(flags.strings, "out");
  return await withNodeOptions(io, config, "open", async (options) => {
    await using host = await openHost({ ...options, newDevice: true });
    const { tee, log } = host;
    const { keyring } = await log.start();
    if (keyring === undefined) {
      throw new StoreError("keyring_missing", `the store in ${config.dataDir} has no keyring`, {
        hint: "move the whole data directory of the lost master here, all files of the database",
      });
    }
    const recipients = recoveryRecipients(keyring);
    if (recipients.length === 0) {
      throw new Refused(
        "this store was made without a recovery key: only the TEE that sealed it can open it",
      );
    }
    if (tee.attester === undefined) {
      throw new BackendError("unavailable", `${tee.kind} gives no evidence`, {
        kind: tee.kind,
        hint: "the operator has nothing to appraise: recover on a TEE that attests",
      });
    }
    const sealing = requireSealing(tee, config);
    const { request, ephemeralPrivateKey } = await createRecoveryRequest(keyring, tee.attester);
    try {
      await writePending(config.dataDir, request, ephemeralPrivateKey, sealing);
    } finally {
      ephemeralPrivateKey.fill(0);
    }
    await replaceFile(out, JSON.stringify(request, null, 2) + "\n");
    io.stdout(
      [
        `store            ${request.store_id}`,
        `TEE              ${tee.kind}, measurement ${(await tee.measurement()).toHex()}`,
        ...recipients.map((recipient) => `recovery key     ${recipient}`),
        `request          ${out}  (holds no secret; for the operator)`,
        `waiting          ${
          pendingPath(config.dataDir)
        }  (sealed to this TEE; an earlier request is void)`,
        "",
        "Next, on the operator's offline machine:",
        "  nautilus key rewrap --request FILE --key recovery.key --policy POLICY --out ANSWER",
        "",
      ].join("\n"),
    );
    return EXIT.done;
  });
}
