/** `nautilus attest`: evidence of this node, from the running master or from its data directory. */
import * as v from "valibot";
import type { AttestationBundle } from "../backends/attestation.ts";
import { type Command, EXIT, UsageError } from "./command.ts";
import { openNode } from "./node.ts";
import { withNodeOptions } from "./offline.ts";
import { replaceFile, runtimeDirectory } from "./runtime_files.ts";
import { loadSettings, settingsHelp } from "./settings.ts";

const TIMEOUT_MS = 90_000;
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
    const running = await runningMaster(runtimeDirectory(config, io));
    const bundle = running === undefined
      ? await withNodeOptions(io, config, "open", async (options): Promise<AttestationBundle> => {
        await using node = await openNode(options);
        return await node.attestor.attestation(nonce);
      })
      : await askMaster(running, nonce.toHex());
    const text = JSON.stringify(bundle, null, 2) + "\n";
    const out = flags.strings["out"];
    if (out === undefined) io.stdout(text);
    else await replaceFile(out, text);
    return EXIT.done;
  },
};

/** Where the master of this data directory listens; undefined where none left its endpoints. */
async function runningMaster(runtimeDir: string): Promise<string | undefined> {
  const path = `${runtimeDir}/endpoints.json`;
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const { url } = v.parse(ENDPOINTS, JSON.parse(text));
  try {
    await (await fetch(`${url}/livez`, { signal: AbortSignal.timeout(2_000) })).body?.cancel();
    return url;
  } catch {
    // Left behind by a master that was killed: the lock of the data directory decides.
    return undefined;
  }
}

async function askMaster(url: string, nonce: string): Promise<unknown> {
  const response = await fetch(`${url}/api/v1/attestation?nonce=${nonce}`, {
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const body: unknown = await response.json();
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${JSON.stringify(body)}`);
  return body;
}
