/** `nautilus admin`: the admin's key, and tokens for it, on the admin's own machine. */
import { AdminRefused, type TrustFlags } from "../client/login.ts";
import { WrongPeer } from "../client/pinned_request.ts";
import { type Command, type CommandIo, EXIT, type ExitCode, UsageError } from "../command.ts";

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
  "  --policy POLICY [--endorsements FILE,…]  its evidence is appraised and must bind its TLS key",
  "  --spki SHA256                            its TLS key, hex (kubeconfig writes this one)",
  "  --ca FILE                                its CA, PEM; the name in the URL must fit",
  "http:// is for a simulation on this machine.",
  "",
  "Exit code 0: done; 1: the master refuses, or is not what the policy asks for; 2: usage;",
  "3: the master cannot be reached.",
].join("\n");

export const admin: Command = {
  name: "admin",
  summary: "Make the admin's key, log in, get tokens for kubectl.",
  usage: USAGE,
  async run(io) {
    const [action, ...args] = io.args;
    const run = action === undefined || !Object.hasOwn(ACTIONS, action)
      ? undefined
      : ACTIONS[action];
    if (run === undefined) {
      throw new UsageError(
        `unknown action "${action ?? ""}"; valid are: ${Object.keys(ACTIONS).join(", ")}`,
      );
    }
    try {
      return await run({ ...io, args });
    } catch (error) {
      if (!(error instanceof AdminRefused) && !(error instanceof WrongPeer)) throw error;
      io.stderr(`nautilus admin: ${error.message}\n`);
      return EXIT.no;
    }
  },
};

const ACTIONS: Readonly<Record<string, (io: CommandIo) => Promise<ExitCode>>> = {
  keygen,
  login,
  token,
  kubeconfig,
  rotate,
  revoke,
  audit,
};

async function keygen(io: CommandIo): Promise<ExitCode> {
  const flags = await parse(io, ["out"]);
  const out = flags["out"];
  if (out === undefined) throw new UsageError("--out FILE is missing");
  const { makeAdminKey } = await import("../client/admin_key.ts");
  const { pem, publicKey } = await makeAdminKey();
  try {
    await Deno.writeTextFile(out, pem, { createNew: true, mode: 0o600 });
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) {
      throw new UsageError(`--out ${out}: there is a file already; it is left as it is`);
    }
    throw error;
  }
  io.stdout(`${publicKey}\n`);
  return EXIT.done;
}

const LOGIN_FLAGS = ["master", "key", "policy", "endorsements", "spki", "ca", "ttl"];

async function open(io: CommandIo, more: readonly string[] = []) {
  const flags = await parse(io, [...LOGIN_FLAGS, ...more]);
  const [{ adminLogin, establishTrust }, { readAdminKey }] = await Promise.all([
    import("../client/login.ts"),
    import("../client/admin_key.ts"),
  ]);
  const master = masterUrl(flags["master"]);
  const keyPath = flags["key"];
  if (keyPath === undefined) throw new UsageError("--key FILE is missing");
  const ttlText = flags["ttl"];
  const ttl = ttlText === undefined ? undefined : /^\d+$/.test(ttlText) ? Number(ttlText) : NaN;
  if (ttl !== undefined && !(ttl >= 60 && ttl <= 3_600)) {
    throw new UsageError(`--ttl "${ttlText}": 60 to 3600 seconds are wanted`);
  }
  const key = await readAdminKey(keyPath);
  const trust: TrustFlags = {
    policy: flags["policy"],
    endorsements: flags["endorsements"]?.split(",") ?? [],
    ca: flags["ca"],
    spki: flags["spki"],
  };
  const check = await establishTrust(master, trust);
  const session = await adminLogin(master, check, key, ttl);
  return { flags, master, keyPath, check, session };
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
  const { session, master, keyPath } = await open(io);
  const { peerSpki, certificateAuthority } = session;
  const pin = peerSpki === undefined
    ? []
    : ["--spki", new Uint8Array(await crypto.subtle.digest("SHA-256", peerSpki)).toHex()];
  const args = [
    "admin",
    "token",
    "--master",
    master.origin,
    "--key",
    await Deno.realPath(keyPath),
    ...pin,
  ];
  io.stdout(
    [
      "apiVersion: v1",
      "kind: Config",
      "current-context: nautilus",
      "clusters:",
      "- name: nautilus",
      "  cluster:",
      `    server: ${master.origin}`,
      ...(certificateAuthority === undefined
        ? []
        : [`    certificate-authority-data: ${btoa(certificateAuthority)}`]),
      "contexts:",
      "- name: nautilus",
      "  context:",
      "    cluster: nautilus",
      "    user: admin",
      "users:",
      "- name: admin",
      "  user:",
      "    exec:",
      "      apiVersion: client.authentication.k8s.io/v1",
      "      command: nautilus",
      "      interactiveMode: Never",
      "      args:",
      ...args.map((argument) => `      - ${JSON.stringify(argument)}`),
      "",
    ].join("\n"),
  );
  return EXIT.done;
}

async function rotate(io: CommandIo): Promise<ExitCode> {
  const { session, master, check, flags } = await open(io, ["new-key"]);
  const path = flags["new-key"];
  if (path === undefined) throw new UsageError("--new-key FILE is missing");
  const { readAdminKey } = await import("../client/admin_key.ts");
  const { changeAdminKey } = await import("../client/login.ts");
  const next = await readAdminKey(path);
  await changeAdminKey(master, check, session, next);
  io.stdout(`${next.publicKey}\n`);
  io.stderr(
    "The admin key was changed. Give the master this public key as --admin-key from now on: the " +
      "former one is refused at its next start.\n",
  );
  return EXIT.done;
}

async function revoke(io: CommandIo): Promise<ExitCode> {
  const { session, master, check, flags } = await open(io, ["token-id"]);
  const wanted = flags["token-id"];
  if (wanted === undefined || !/^([0-9a-f]{32}|all)$/.test(wanted)) {
    throw new UsageError(`--token-id "${wanted ?? ""}": 32 hex digits, or all, are wanted`);
  }
  const { revokeToken } = await import("../client/login.ts");
  await revokeToken(master, check, session, wanted);
  io.stderr(wanted === "all" ? "Every token was revoked.\n" : `Token ${wanted} was revoked.\n`);
  return EXIT.done;
}

async function audit(io: CommandIo): Promise<ExitCode> {
  const { chainOf, markOf, markText, readAudit, readKeptAudit } = await import("./audit.ts");
  const kept = io.args.some((arg) => arg === "--verify" || arg.startsWith("--verify="));
  if (kept) {
    const flags = await parse(io, ["verify", "since"]);
    const since = markOf(flags["since"]);
    const records = await readKeptAudit(flags["verify"] ?? "", since);
    io.stderr(`${records.length} records, intact. Mark: ${markText(records, since)}\n`);
    return EXIT.done;
  }
  const { session, master, check, flags } = await open(io, ["chain", "since"]);
  const [chain, since] = [chainOf(flags["chain"]), markOf(flags["since"])];
  const { readAuditPage } = await import("../client/login.ts");
  const records = await readAudit(
    (after, limit) => readAuditPage(master, check, session, { chain, after, limit }),
    since,
  );
  for (const record of records) io.stdout(`${JSON.stringify(record)}\n`);
  io.stderr(`${records.length} records, intact. Mark: ${markText(records, since)}\n`);
  return EXIT.done;
}

async function parse(
  io: CommandIo,
  strings: readonly string[],
): Promise<Readonly<Record<string, string>>> {
  const [{ parseFlags }, { parseArgs }] = await Promise.all([
    import("../command.ts"),
    import("@std/cli/parse-args"),
  ]);
  return parseFlags(parseArgs, io.args, { strings }).strings;
}

function masterUrl(text: string | undefined): URL {
  if (text === undefined) throw new UsageError("--master URL is missing");
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isWhole = url !== undefined && /^https?:$/.test(url.protocol) && url.username === "" &&
    url.search === "" && url.hash === "" && url.pathname === "/";
  if (!isWhole) throw new UsageError(`--master "${text}": https://HOST:PORT and no more is wanted`);
  return url;
}

function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
