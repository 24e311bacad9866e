/**
 * `nautilus store get|put|del|range|check`: a data directory that no master holds; backup and restore
 * have files of their own.
 */
import type { Bytes } from "../../backends/mod.ts";
import type { KeyRange, KeyspaceName, KeyValue, Store } from "../../store/mod.ts";
import { actionOf, type Actions, runAction, unknownAction } from "../actions.ts";
import { type Command, type CommandIo, EXIT, type ExitCode, UsageError } from "../command.ts";
import type { Flags } from "../flags.ts";
import type { OpenData } from "../node/data.ts";
import { withData } from "../node/offline.ts";
import { MASTER_HELP } from "../client/running_master.ts";
import { settingsHelp } from "../settings.ts";

const ACTIONS = ["get", "put", "del", "range", "check"] as const;
type Action = (typeof ACTIONS)[number];

const encoder = new TextEncoder();

const TRANSFERS: Actions = {
  backup: async () => (await import("./backup.ts")).storeBackup,
  restore: async () => (await import("./restore.ts")).storeRestore,
};
const ALL_ACTIONS = [...ACTIONS, ...Object.keys(TRANSFERS)];

export const store: Command = {
  name: "store",
  summary: "Back up a running master's store, restore it; read, write or check a stopped one's.",
  usage: [
    "Usage: nautilus store get KEY             print the value; exit code 1 where there is none",
    "       nautilus store put KEY VALUE       VALUE - reads standard input",
    "       nautilus store del KEY [END]       exit code 1 where nothing was there",
    "       nautilus store range KEY [END]     keys from KEY up to END",
    "       nautilus store check               decrypt and verify everything",
    "       nautilus store backup --out FILE|-  [--master URL --key FILE TRUST]",
    "       nautilus store restore --from FILE --request FILE --answer FILE [--replace WHAT]",
    "",
    "backup   the running master's store, sealed to its recovery keys, consistent, while it works on;",
    "         FILE must not be there yet",
    "restore  checks all of a backup, waits until the operator has answered the request",
    "         (`nautilus key rewrap`), then puts it into the data directory, whose master is stopped.",
    "         A store there with anything that the backup lacks is left alone, until --replace names",
    "         what a refusal named; it is kept beside. SIGINT leaves everything as it was.",
    "",
    ...MASTER_HELP,
    "",
    "For the others:",
    "  --keyspace NAME  etcd | k8s (default: etcd)",
    "  --prefix         every key that begins with KEY (del, range)",
    "  --limit N        at most N keys (range)",
    "  --revision N     as of this revision (get, range)",
    "  --keys-only      no values (range)",
    "  --json           keys and values in base64, with revisions",
    "",
    settingsHelp(),
  ].join("\n"),
  actions: ALL_ACTIONS,
  async run(io) {
    if (actionOf(TRANSFERS, io.args[0]) !== undefined) return await runAction(TRANSFERS, io);
    const spec = {
      strings: ["keyspace", "limit", "revision"],
      switches: ["prefix", "keys-only", "json"],
      positionals: ["ACTION?", "KEY?", "ARGUMENT?"],
    };
    let request: Request | undefined;
    return await withData(io, spec, (flags) => {
      request = parseRequest(flags);
      return request.action === "put" || request.action === "del" ? "open" : "read-only";
    }, async (data, flags) => {
      if (request === undefined) throw new TypeError("the request is parsed before opening");
      refuseOutsideSimulation(data, request.action);
      return await ACTION_OF[request.action](io, data.store, request, flags);
    });
  },
};

interface Request {
  readonly action: Action;
  readonly keyspace: KeyspaceName;
  readonly key: string;
  readonly argument: string | undefined;
  readonly range: KeyRange;
  readonly limit: number;
  readonly revision: number;
}

function parseRequest({ positionals, strings, switches }: Flags): Request {
  const [actionText, key = "", argument] = positionals;
  const action = ACTIONS.find((candidate) => candidate === actionText);
  if (action === undefined) throw unknownAction(actionText, ALL_ACTIONS);
  const wanted = { get: 1, put: 2, del: 1, range: 1, check: 0 }[action];
  const most = { get: 1, put: 2, del: 2, range: 2, check: 0 }[action];
  if (positionals.length - 1 < wanted) {
    throw new UsageError(
      `${positionals.length === 1 ? "KEY" : "VALUE"} is missing`,
    );
  }
  if (positionals.length - 1 > most) {
    throw new UsageError(`unexpected argument "${positionals[most + 1]}"`);
  }
  if (key === "" && action !== "check" && !switches.has("prefix")) {
    throw new UsageError(`KEY must not be empty`);
  }
  const keyspace = strings["keyspace"] ?? "etcd";
  if (keyspace !== "etcd" && keyspace !== "k8s") {
    throw new UsageError(`--keyspace "${keyspace}": valid are: etcd, k8s`);
  }
  return {
    action,
    keyspace,
    key,
    argument,
    range: keyRange(key, action === "put" ? undefined : argument, switches.has("prefix")),
    limit: count("limit", strings["limit"]),
    revision: count("revision", strings["revision"]),
  };
}

function count(name: string, text: string | undefined): number {
  const value = text === undefined ? 0 : /^\d+$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value)) {
    throw new UsageError(`--${name} "${text}": a whole number is wanted`);
  }
  return value;
}

function keyRange(key: string, end: string | undefined, prefix: boolean): KeyRange {
  const start = encoder.encode(key);
  if (!prefix) {
    return end === undefined ? { key: start } : { key: start, rangeEnd: encoder.encode(end) };
  }
  if (end !== undefined) throw new UsageError("--prefix and END do not go together");
  return start.length === 0
    ? { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) }
    : { key: start, rangeEnd: prefixEnd(start) };
}

/** The least key above every key that begins with `prefix`; [0] means "no end" where all is 0xff. */
function prefixEnd(prefix: Bytes): Bytes {
  const last = prefix.findLastIndex((byte) => byte !== 0xff);
  if (last < 0) return Uint8Array.of(0);
  const end = prefix.slice(0, last + 1);
  end[last] = (end[last] ?? 0) + 1;
  return end;
}

/** The host chooses the arguments, so the word of whoever types them is not enough on hardware. */
function refuseOutsideSimulation({ tee }: OpenData, action: Action): void {
  if (tee.kind === "SIMULATION" || action === "check") return;
  throw new UsageError(
    `on ${tee.kind} \`store ${action}\` needs the admin's credential, which this release cannot check yet`,
  );
}

type Run = (io: CommandIo, store: Store, request: Request, flags: Flags) => Promise<ExitCode>;

const ACTION_OF: Readonly<Record<Action, Run>> = { get, put, del, range, check };

async function get(...[io, store, request, { switches }]: Parameters<Run>): Promise<ExitCode> {
  const { kvs: [kv] } = await store.range(request.keyspace, {
    key: request.range.key,
    revision: request.revision,
  });
  if (kv === undefined) {
    io.stderr(`no key "${request.key}" in keyspace ${request.keyspace}\n`);
    return EXIT.no;
  }
  if (switches.has("json")) io.stdout(JSON.stringify(toJson(kv)) + "\n");
  else io.stdout(new TextDecoder().decode(kv.value) + "\n");
  return EXIT.done;
}

async function put(...[io, store, request, { switches }]: Parameters<Run>): Promise<ExitCode> {
  const value = request.argument === "-"
    ? new Uint8Array(await new Response(Deno.stdin.readable).arrayBuffer())
    : encoder.encode(request.argument);
  const { keyspace } = request;
  const { revisions } = await store.txn({
    compare: [],
    success: [{ type: "put", keyspace, key: request.range.key, value }],
    failure: [],
  });
  io.stdout(
    switches.has("json")
      ? JSON.stringify({ revision: revisions[keyspace] }) + "\n"
      : `OK, revision ${revisions[keyspace]}\n`,
  );
  return EXIT.done;
}

async function del(...[io, store, request, { switches }]: Parameters<Run>): Promise<ExitCode> {
  const { keyspace } = request;
  const { responses: [response], revisions } = await store.txn({
    compare: [],
    success: [{ type: "delete", keyspace, ...request.range }],
    failure: [],
  });
  const deleted = response?.type === "delete" ? response.deleted : 0;
  io.stdout(
    switches.has("json")
      ? JSON.stringify({ deleted, revision: revisions[keyspace] }) + "\n"
      : `${deleted} deleted\n`,
  );
  return deleted === 0 ? EXIT.no : EXIT.done;
}

async function range(...[io, store, request, { switches }]: Parameters<Run>): Promise<ExitCode> {
  const keysOnly = switches.has("keys-only");
  const found = await store.range(request.keyspace, {
    ...request.range,
    limit: request.limit,
    revision: request.revision,
    keysOnly,
  });
  if (switches.has("json")) {
    const { more, count, revision } = found;
    io.stdout(JSON.stringify({ kvs: found.kvs.map(toJson), more, count, revision }) + "\n");
    return EXIT.done;
  }
  const decoder = new TextDecoder();
  for (const { key, value } of found.kvs) {
    io.stdout(decoder.decode(key) + (keysOnly ? "" : `\t${decoder.decode(value)}`) + "\n");
  }
  if (found.more) io.stderr(`${found.kvs.length} of ${found.count} keys shown\n`);
  return EXIT.done;
}

async function check(...[io, store, , { switches }]: Parameters<Run>): Promise<ExitCode> {
  let keys = 0;
  let bytes = 0;
  for (const keyspace of ["system", "k8s", "etcd"] as const) {
    let key: Bytes = Uint8Array.of(0);
    for (;;) {
      const page = await store.range(keyspace, { key, rangeEnd: Uint8Array.of(0), limit: 1000 });
      const last = page.kvs.at(-1);
      if (last === undefined) break;
      keys += page.kvs.length;
      bytes += page.kvs.reduce((sum, { value }) => sum + value.length, 0);
      key = new Uint8Array([...last.key, 0]);
    }
  }
  const { sequence, digest } = store.head();
  const { liveRecords } = store.stats();
  const report = {
    keys,
    value_bytes: bytes,
    live_records: liveRecords,
    sequence: sequence.toString(),
  };
  io.stdout(
    switches.has("json")
      ? JSON.stringify({ ...report, head_digest: digest.toHex(), rollback_protection: "none" }) +
        "\n"
      : `Everything decrypts and fits: ${keys} keys, ${liveRecords} records, ${bytes} bytes of values, ` +
        `sequence ${sequence}.\nA whole older copy would look the same: no anchor is configured.\n`,
  );
  return EXIT.done;
}

function toJson({ key, value, lease, ...revisions }: KeyValue): unknown {
  return { key: key.toBase64(), value: value.toBase64(), lease: lease.toString(), ...revisions };
}
