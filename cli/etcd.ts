/** `nautilus etcd client-cert`: a client's way into the etcd listener. */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import * as v from "valibot";
import { PROOF_CONTEXT } from "../api/etcd/authority.ts";
import { CLIENT_CERTIFICATES_PATH } from "../api/etcd/certificate_routes.ts";
import { type Command, EXIT, UsageError } from "./command.ts";
import { type KubeconfigMaster, readKubeconfig } from "./client/kubeconfig.ts";
import { makePrivateDirectory, replaceFile } from "./runtime_files.ts";
import { loadSettings, settingsHelp } from "./settings.ts";

const TIMEOUT_MS = 30_000;
const ANSWER = v.object({ certificate: v.string(), ca: v.string() });

export const etcd: Command = {
  name: "etcd",
  summary: "Let clients into the etcd listener.",
  usage: [
    "Usage: nautilus etcd client-cert --name NAME --out DIR [--kubeconfig FILE] [SETTINGS]",
    "",
    "  --name NAME        who the certificate is for: letters, digits and ._:@-",
    "  --out DIR          where ca.crt, client.crt and client.key go (0600)",
    "  --kubeconfig FILE  the admin's credential and the master's address;",
    "                     by default admin.kubeconfig of the data directory (simulation)",
    "",
    "Asks the running master. The private key is made here and stays here.",
    "",
    settingsHelp(),
  ].join("\n"),
  async run(io) {
    const { config, flags } = await loadSettings(io, io.args, {
      strings: ["name", "out", "kubeconfig"],
      positionals: ["ACTION"],
    });
    const [action] = flags.positionals;
    if (action !== "client-cert") throw new UsageError(`etcd ${action}: only client-cert is known`);
    const name = flags.strings["name"];
    const out = flags.strings["out"];
    if (name === undefined) throw new UsageError("--name is missing");
    if (out === undefined) throw new UsageError("--out is missing");
    if (!/^[A-Za-z0-9._:@-]{1,64}$/.test(name)) {
      throw new UsageError(`--name "${name}": 1 to 64 letters, digits and ._:@- are wanted`);
    }
    const master = await readKubeconfig(
      flags.strings["kubeconfig"] ?? `${config.dataDir}/admin.kubeconfig`,
    );
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
    const answer = await request(master, {
      name,
      public_key: new Uint8Array(publicKey.export({ format: "der", type: "spki" })).toBase64(),
      proof: prove(privateKey, name),
    });
    await makePrivateDirectory(out);
    await replaceFile(`${out}/ca.crt`, answer.ca);
    await replaceFile(`${out}/client.crt`, answer.certificate);
    await replaceFile(
      `${out}/client.key`,
      privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
    );
    io.stdout(`${out}: ca.crt, client.crt and client.key for ${name}\n`);
    return EXIT.done;
  },
};

function prove(privateKey: KeyObject, name: string): string {
  const message = new TextEncoder().encode(PROOF_CONTEXT + name);
  return new Uint8Array(sign("sha256", message, { key: privateKey, dsaEncoding: "der" }))
    .toBase64();
}

async function request(
  master: KubeconfigMaster,
  body: { readonly name: string; readonly public_key: string; readonly proof: string },
): Promise<v.InferOutput<typeof ANSWER>> {
  using client = Deno.createHttpClient(
    master.authority === undefined ? {} : { caCerts: [master.authority] },
  );
  const response = await fetch(new URL(CLIENT_CERTIFICATES_PATH, master.server), {
    client,
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${master.token}` },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const text = await response.text();
  if (response.status !== 201) {
    throw new Error(`${master.server} answered ${response.status}: ${text.trim().slice(0, 500)}`);
  }
  return v.parse(ANSWER, JSON.parse(text));
}
