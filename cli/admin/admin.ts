/** `nautilus admin`: the admin's key, and tokens for it, on the admin's own machine. */
import { type Actions, runAction } from "../actions.ts";
import { makeAdminKey, readAdminKey } from "../client/admin_key.ts";
import { execKubeconfig } from "../client/kubeconfig.ts";
import {
  changeAdminKey,
  type LoggedIn,
  logIn,
  LOGIN_FLAGS,
  readAuditPage,
  revokeToken,
} from "../client/login.ts";
import { TRUST_HELP } from "../client/trust.ts";
import { type Command, type CommandIo, EXIT, type ExitCode, UsageError } from "../command.ts";
import { writeNewFile } from "../files/written.ts";
import { type Flags, parseFlags, required } from "../flags.ts";
import { programCommand } from "../program_form.ts";

const USAGE = [
  "Usage: nautilus admin keygen --out FILE",
  "       nautilus admin login --master URL --key FILE TRUST [--ttl SECONDS]",
  "       nautilus admin token --master URL --key FILE TRUST [--ttl SECONDS]",
  "       nautilus admin kubeconfig --master URL --key FILE TRUST",
  "       nautilus admin rotate --master URL --key FILE TRUST --new-key FILE",
  "       nautilus admin revoke --master URL --key FILE TRUST --token-id ID|all",
  "       nautilus admin audit --master URL --key FILE TRUST [--chain acts|refusals] [--since MARK]",
  "       nautilus admin audit --verify FILE [--since MARK]",
  "",
  "keygen      makes an Ed25519 key pair: the private key into FILE (0600), the public one, which",
  "            --admin-key of the master takes, to standard output",
  "login       prints a token, for `Authorization: Bearer`",
  "token       prints the same as kubectl's ExecCredential; keeps nothing on disk",
  "kubeconfig  prints a kubeconfig that calls `nautilus admin token`; it holds no secret",
  "rotate      makes the key in --new-key the admin's; every token ends",
  "revoke      ends one token (login prints its id), or all of them",
  "audit       prints the audit log, a JSON record a line, after checking that each follows the one",
  "            before; the mark on standard error is the next --since. --verify checks a kept copy",
  "",
  "TRUST says which master it is. No certificate is believed as it stands:",
  ...TRUST_HELP,
  "http:// is for a simulation on this machine.",
  "",
  "Exit code 0: done; 1: the master refuses, or is not what the policy asks for; 2: usage;",
  "3: the master cannot be reached.",
].join("\n");

const ACTIONS: Actions = {
  keygen: () => keygen,
  login: () => login,
  token: () => token,
  kubeconfig: () => kubeconfig,
  rotate: () => rotate,
  revoke: () => revoke,
  audit: () => audit,
};

export const admin: Command = {
  name: "admin",
  summary: "Make the admin's key, log in, get tokens for kubectl.",
  usage: USAGE,
  actions: Object.keys(ACTIONS),
  run: (io) => runAction(ACTIONS, io),
};

async function keygen(io: CommandIo): Promise<ExitCode> {
  const out = required(parseFlags(io.args, { strings: ["out"] }).strings, "out");
  const { pem, publicKey } = await makeAdminKey();
  await writeNewFile("out", out, pem, 0o600);
  io.stdout(`${publicKey}\n`);
  return EXIT.done;
}

/** Logs in by the flags that every action here has, and by its own. */
async function open(io: CommandIo, more: readonly string[] = []): Promise<LoggedIn & Flags> {
  const flags = parseFlags(io.args, {
    ...LOGIN_FLAGS,
    strings: [...LOGIN_FLAGS.strings, "ttl", ...more],
  });
  const ttlText = flags.strings["ttl"];
  const ttl = ttlText === undefined ? undefined : /^\d+$/.test(ttlText) ? Number(ttlText) : NaN;
  if (ttl !== undefined && !(ttl >= 60 && ttl <= 3_600)) {
    throw new UsageError(`--ttl "${ttlText}": 60 to 3600 seconds are wanted`);
  }
  return { ...await logIn(flags, ttl), ...flags };
}

async function login(io: CommandIo): Promise<ExitCode> {
  const { session, master } = await open(io);
  io.stdout(`${session.token}\n`);
  io.stderr(
    `Logged in at ${master.origin} until ${
      isoTime(session.expiresAt)
    }, token ${session.tokenId}.\n`,
  );
  return EXIT.done;
}

async function token(io: CommandIo): Promise<ExitCode> {
  const { session } = await open(io);
  io.stdout(
    JSON.stringify({
      apiVersion: "client.authentication.k8s.io/v1",
      kind: "ExecCredential",
      status: {
        token: session.token,
        expirationTimestamp: isoTime(session.expiresAt),
      },
    }) + "\n",
  );
  return EXIT.done;
}

async function kubeconfig(io: CommandIo): Promise<ExitCode> {
  const { session, master, strings } = await open(io);
  const { peerSpki, certificateAuthority } = session;
  const pin = peerSpki === undefined
    ? []
    : ["--spki", new Uint8Array(await crypto.subtle.digest("SHA-256", peerSpki)).toHex()];
  const key = await Deno.realPath(required(strings, "key"));
  const { command, args: before } = programCommand();
  const args = [...before, "admin", "token", "--master", master.origin, "--key", key, ...pin];
  io.stdout(execKubeconfig({ server: master.origin, certificateAuthority, command, args }));
  return EXIT.done;
}

async function rotate(io: CommandIo): Promise<ExitCode> {
  const { session, master, check, strings } = await open(io, ["new-key"]);
  const next = await readAdminKey(required(strings, "new-key"));
  await changeAdminKey(master, check, session, next);
  io.stdout(`${next.publicKey}\n`);
  io.stderr(
    "The admin key was changed. Give the master this public key as --admin-key from now on: the " +
      "former one is refused at its next start.\n",
  );
  return EXIT.done;
}

async function revoke(io: CommandIo): Promise<ExitCode> {
  const { session, master, check, strings } = await open(io, ["token-id"]);
  const wanted = strings["token-id"];
  if (wanted === undefined || !/^([0-9a-f]{32}|all)$/.test(wanted)) {
    throw new UsageError(`--token-id "${wanted ?? ""}": 32 hex digits, or all, are wanted`);
  }
  await revokeToken(master, check, session, wanted);
  io.stderr(wanted === "all" ? "Every token was revoked.\n" : `Token ${wanted} was revoked.\n`);
  return EXIT.done;
}

async function audit(io: CommandIo): Promise<ExitCode> {
  const { chainOf, markOf, markText, readAudit, readKeptAudit } = await import("./audit.ts");
  const kept = io.args.some((arg) => arg === "--verify" || arg.startsWith("--verify="));
  if (kept) {
    const { strings } = parseFlags(io.args, { strings: ["verify", "since"] });
    const since = markOf(strings["since"]);
    const records = await readKeptAudit(required(strings, "verify"), since);
    io.stderr(`${records.length} records, intact. Mark: ${markText(records, since)}\n`);
    return EXIT.done;
  }
  const { session, master, check, strings } = await open(io, ["chain", "since"]);
  const [chain, since] = [chainOf(strings["chain"]), markOf(strings["since"])];
  const records = await readAudit(
    (after, limit) => readAuditPage(master, check, session, { chain, after, limit }),
    since,
  );
  for (const record of records) io.stdout(`${JSON.stringify(record)}\n`);
  io.stderr(`${records.length} records, intact. Mark: ${markText(records, since)}\n`);
  return EXIT.done;
}

function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
