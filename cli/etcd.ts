/** `nautilus etcd client-cert`: a client's way into the etcd listener. */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import * as v from "valibot";
import { PROOF_CONTEXT } from "../api/etcd/authority.ts";
import { CLIENT_CERTIFICATES_PATH } from "../api/etcd/certificate_routes.ts";
import { type Command, EXIT, UsageError } from "./command.ts";
import { unknownAction } from "./actions.ts";
import { decoded } from "./client/answer.ts";
import { MASTER_FLAGS, MASTER_HELP, reachMaster } from "./client/running_master.ts";
import { required } from "./flags.ts";
import { makePrivateDirectory, replaceFile } from "./files/written.ts";
import { loadSettings, settingsHelp } from "./settings.ts";

const ANSWER = v.object({ certificate: v.string(), ca: v.string() });

const ACTIONS = ["client-cert"];

export const etcd: Command = {
  name: "etcd",
  summary: "Let clients into the etcd listener.",
  usage: [
    "Usage: nautilus etcd client-cert --name NAME --out DIR [--master URL --key FILE TRUST] [SETTINGS]",
    "",
    "  --name NAME  who the certificate is for: letters, digits and ._:@-",
    "  --out DIR    where ca.crt, client.crt and client.key go (0600)",
    "",
    "Asks the running master. The private key is made here and stays here.",
    "",
    ...MASTER_HELP,
    "",
    settingsHelp(),
  ].join("\n"),
  actions: ACTIONS,
  async run(io) {
    const { config, flags } = await loadSettings(io, io.args, {
      ...MASTER_FLAGS,
      strings: [...MASTER_FLAGS.strings, "name", "out"],
      positionals: ["ACTION?"],
    });
    const [action] = flags.positionals;
    if (action !== "client-cert") throw unknownAction(action, ACTIONS);
    const name = required(flags.strings, "name", "NAME");
    const out = required(flags.strings, "out", "DIR");
    if (!/^[A-Za-z0-9._:@-]{1,64}$/.test(name)) {
      throw new UsageError(`--name "${name}": 1 to 64 letters, digits and ._:@- are wanted`);
    }
    const master = await reachMaster(flags, config.dataDir);
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
    const answer = decoded(
      ANSWER,
      await master.send("POST", CLIENT_CERTIFICATES_PATH, {
        name,
        public_key: new Uint8Array(publicKey.export({ format: "der", type: "spki" })).toBase64(),
        proof: prove(privateKey, name),
      }),
    );
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
