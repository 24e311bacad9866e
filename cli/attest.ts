/** `nautilus attest`: evidence of this node, from the running master or from its data directory. */
import * as v from "valibot";
import type { Bytes } from "../backends/mod.ts";
import { type Command, EXIT, UsageError } from "./command.ts";
import { decoded } from "./client/answer.ts";
import { fetchAttestation } from "./client/fetch_attestation.ts";
import { networkCode, unreachable } from "./client/unreachable.ts";
import { openNode } from "./node/node.ts";
import { withNodeOptions } from "./node/offline.ts";
import { replaceFile } from "./files/written.ts";
import { runtimeDirectory } from "./runtime_files.ts";
import { loadSettings, settingsHelp } from "./settings.ts";

const TIMEOUT_MS = 90_000;
/** As it came: whoever verifies it decodes it. */
const BUNDLE = v.looseObject({});
const ENDPOINTS = v.object({ url: v.pipe(v.string(), v.url()) });

export const attest: Command = {
  name: "attest",
  summary: "Produce attestation evidence over a nonce.",
  usage: [
    "Usage: nautilus attest --nonce HEX [--out FILE] [SETTINGS]",
    "",
    "  --nonce HEX  8 to 64 bytes, chosen by whoever verifies",
    "  --out FILE   write the bundle there instead of to standard output",
    "",
    "Asks the master that runs on the data directory; where none runs, opens the data directory.",
    "",
    settingsHelp(),
  ].join("\n"),
  async run(io) {
    const { config, flags } = await loadSettings(io, io.args, { strings: ["nonce", "out"] });
    const nonceText = flags.strings["nonce"] ?? "";
    if (!/^([0-9a-fA-F]{2}){8,64}$/.test(nonceText)) {
      throw new UsageError(`--nonce "${nonceText}": 8 to 64 bytes in hex are wanted`);
    }
    const nonce = Uint8Array.fromHex(nonceText);
    const url = await endpoints(runtimeDirectory(config, io));
    const openHere = () =>
      withNodeOptions(io, config, "open", async (options): Promise<unknown> => {
        await using node = await openNode(options);
        return await node.attestor.attestation(nonce);
      });
    const bundle = url === undefined
      ? await openHere()
      : await askMaster(url, nonce).catch((error: unknown) => {
        // Left behind by a master that was killed: the lock of the data directory decides.
        if (networkCode(error) === "ECONNREFUSED") return openHere();
        throw error;
      });
    const text = JSON.stringify(bundle, null, 2) + "\n";
    const out = flags.strings["out"];
    if (out === undefined) io.stdout(text);
    else await replaceFile(out, text);
    return EXIT.done;
  },
};

/** Where the master of this data directory listens; undefined where none left its endpoints. */
async function endpoints(runtimeDir: string): Promise<URL | undefined> {
  try {
    const text = await Deno.readTextFile(`${runtimeDir}/endpoints.json`);
    return new URL(v.parse(ENDPOINTS, JSON.parse(text)).url);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** @throws {Refused} when the master refuses; {Error} where it does not answer, or has no evidence now */
async function askMaster(url: URL, nonce: Bytes): Promise<unknown> {
  const { status, body } = await fetchAttestation(url, nonce, TIMEOUT_MS).catch(
    (error: unknown) => {
      throw unreachable(url.origin, error);
    },
  );
  return decoded(BUNDLE, { status, body });
}
