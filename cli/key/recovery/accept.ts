/** `nautilus key recovery-accept`: the operator's answer opens the store on this TEE from now on. */
import { sha256 } from "@noble/hashes/sha2.js";
import {
  acceptRecovery,
  decodeRecoveryResponse,
  type RecoveryResponse,
  StoreError,
} from "../../../store/mod.ts";
import { type CommandIo, EXIT, type ExitCode, Refused } from "../../command.ts";
import { openData } from "../../node/data.ts";
import type { OpenHost } from "../../node/host.ts";
import { withNodeOptions } from "../../node/offline.ts";
import { readDocument } from "../../files/document.ts";
import { required } from "../../flags.ts";
import { pendingPath, type PendingRecovery, readPending, unsealPending } from "./pending.ts";
import { removeFile } from "../../files/written.ts";
import { replaceTee } from "../../node/replace_config.ts";
import { loadSettings } from "../../settings.ts";
import { requireSealing } from "../../node/sealing.ts";
import type { RecoveredKey } from "../../node/unlock.ts";
import type { Config } from "../../../config.ts";

export async function recoveryAccept(io: CommandIo): Promise<ExitCode> {
  const { config, flags } = await loadSettings(io, io.args, { strings: ["in"] });
  const path = required(flags.strings, "in");
  const response = await readDocument("in", path, decodeRecoveryResponse);
  return await withNodeOptions(io, config, "open", async (options) => {
    const pending = await readPending(config.dataDir);
    let key: RecoveredKey | undefined;
    try {
      await using data = await openData(options, async (host) => {
        key = await openAnswer(host, config, pending, response);
        return key;
      });
      const { store, tee } = data;
      await replaceTee(store, config);
      io.stdout(
        [
          `store            ${store.storeId.toHex()}: ${store.stats().liveRecords} records`,
          `sealed to        ${tee.kind}, measurement ${(await tee.measurement()).toHex()}`,
          "dropped          the seal of the TEE that is gone; recovery keys stay",
          ...store.stats().freshness.acceptedLost.map((name) =>
            `LOST ANCHOR      ${name}, let go by the operator: an older copy could not be told`
          ),
          "new              identity, TLS, session and admin keys: every session and token has ended",
          "",
          "Requests of the chain are held until `serve --replay-events=skip` or `=apply` says what to do.",
          "Start it with `nautilus serve`. Clients trust the new CA and workers the new identity only",
          "after they have appraised the new evidence.",
          "",
        ].join("\n"),
      );
    } finally {
      key?.kek.fill(0);
    }
    await removeFile(pendingPath(config.dataDir));
    return EXIT.done;
  });
}

/** The KEK. @throws {Refused} for an answer to something else; {StoreError} */
async function openAnswer(
  { tee, log }: OpenHost,
  config: Config,
  pending: PendingRecovery,
  response: RecoveryResponse,
): Promise<RecoveredKey> {
  const { keyring } = await log.start();
  if (keyring === undefined || sha256(keyring).toHex() !== pending.request.keyring_sha256) {
    throw new Refused(
      "the store's key ring is not the one that the request was made for: it was changed or " +
        "recovered meanwhile",
      { hint: "make a new request and have it wrapped again" },
    );
  }
  const ephemeralKey = await unsealPending(pending, requireSealing(tee, config).sealer);
  try {
    const kek = await acceptRecovery(pending.request, response, ephemeralKey);
    return { kek, acceptLostAnchor: response.accept_lost_anchor === true };
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== "invalid_request") throw error;
    throw new Refused(error.message, { cause: error, hint: error.hint });
  } finally {
    ephemeralKey.fill(0);
  }
}
