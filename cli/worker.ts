/** `nautilus worker`: the worker's half of the protocol (docs/ADMISSION.md). */
import { getLogger } from "@logtape/logtape";
import { createWebCryptoVerifier } from "../backends/signatures.ts";
import { isCanonicalAddress } from "../sui/address.ts";
import { isNodeId, nodeKeyHash } from "../sui/admission_message.ts";
import { unknownAction } from "./actions.ts";
import { fetchAttestation } from "./client/fetch_attestation.ts";
import { type Command, type CommandIo, EXIT, type ExitCode, UsageError } from "./command.ts";
import { startLogging } from "./logging.ts";
import { replaceFile } from "./files/written.ts";
import { watchStopSignals } from "./stop_signal.ts";
import { diskReader, readEndorsements } from "./files/evidence.ts";
import { loadPolicy } from "./files/policy.ts";
import { parseFlags, required } from "./flags.ts";
import { createFigures } from "./worker_figures.ts";
import { masterUrl, openWallet } from "./worker_flags.ts";
import { createHook } from "./worker_hook.ts";
import { isFinal, type Joined, joinMaster, type JoinOptions } from "./worker_join.ts";
import { runWorker } from "./worker_run.ts";
import { WorkerSession } from "./worker_session.ts";
import { openWorkerFile, type WorkerFile } from "./worker_state.ts";
import { openWorkerTee, type WorkerTee } from "./worker_tee.ts";

const STRINGS = [
  "master",
  "policy",
  "collateral",
  "token",
  "key",
  "address",
  "node-id",
  "state",
  "chain-id",
  "cluster-id",
  "tee-mode",
  "k3s-env",
  "on-assign",
  "heartbeat-seconds",
] as const;

const USAGE = [
  "Usage: nautilus worker key  [--state FILE]",
  "       nautilus worker join --master URL --policy POLICY --token OBJECT_ID --key FILE [FLAGS]",
  "       nautilus worker run  --master URL --policy POLICY --token OBJECT_ID --key FILE [FLAGS]",
  "",
  "key:  prints the node key and its hash, which the Seal token must name; makes the key at first.",
  "join: appraises the master, proves the token, prints the session; nothing goes on running.",
  "run:  joins, beats, follows the pods assigned to this node, joins again after a failure, and",
  "      leaves on SIGTERM. Ends with 1 when the policy or the chain says no.",
  "",
  "  --master URL             https://HOST:PORT; http:// on this machine only",
  "  --policy POLICY          what the master must be (JSONC); `nautilus policy init` makes one",
  "  --collateral FILE        what goes with the master's evidence, file or folder",
  "  --token OBJECT_ID        the Seal token's object id, 0x and 64 hex digits",
  "  --key FILE|sui-keystore  the owner's wallet, mode 0600: a suiprivkey1… line or a Sui",
  "                           keystore",
  "  --address 0x…            which key of a keystore",
  "  --node-id NAME           as the token names it; the host name otherwise",
  "  --state FILE             node key, mode 0600; $HOME/.nautilus/worker.json otherwise",
  "  --chain-id BASE58        join on this chain only",
  "  --cluster-id HEX         join this cluster only",
  "  --tee-mode MODE          the TEE to attest where the master demands evidence of it: auto (the",
  "                           default), production, simulation; TEE_MODE and NAUTILUS_TEE_* as serve",
  "  --k3s-env FILE           ask for what K3s needs to join; K3S_URL, K3S_TOKEN and K3S_NODE_NAME go",
  "                           there, 0600",
  "  --on-assign CMD          run for every assigned, changed or removed pod, JSON on its stdin",
  "  --heartbeat-seconds N    30 otherwise",
].join("\n");

const ACTIONS = ["key", "join", "run"];

export const worker: Command = {
  name: "worker",
  summary: "Join a master by a Seal token on Sui, and stay.",
  usage: USAGE,
  actions: ACTIONS,
  async run(io) {
    const { strings, positionals: [action] } = parseFlags(io.args, {
      strings: STRINGS,
      positionals: ["ACTION?"],
    });
    const file = () => openWorkerFile(strings["state"] ?? defaultState(io));
    switch (action) {
      case "key":
        return showKey(io, await file());
      case "join": {
        const prepared = await prepare(io, strings);
        await using tee = teeOf(io, strings);
        return await join(io, { ...prepared, attest: tee.attest }, await file());
      }
      case "run": {
        const prepared = await prepare(io, strings);
        await using tee = teeOf(io, strings);
        return await run(io, strings, { ...prepared, attest: tee.attest }, await file());
      }
      default:
        throw unknownAction(action, ACTIONS);
    }
  },
};

type Strings = Readonly<Record<string, string>>;
type Prepared = Omit<JoinOptions, "nodeKey" | "attest"> & WithFile;
type Ready = Omit<JoinOptions, "nodeKey"> & WithFile;

/** Where what K3s needs is written. */
interface WithFile {
  readonly k3sEnv: string | undefined;
}

/** The simulation's device lies beside the state file. */
function teeOf(io: CommandIo, strings: Strings): WorkerTee {
  const state = strings["state"] ?? defaultState(io);
  const slash = state.lastIndexOf("/");
  return openWorkerTee({
    io,
    mode: strings["tee-mode"],
    folder: slash < 0 ? "." : state.slice(0, slash) || "/",
    log: getLogger(["nautilus"]),
  });
}

function showKey(io: CommandIo, { nodeKey }: WorkerFile): ExitCode {
  io.stdout(
    JSON.stringify({
      node_key: nodeKey.spki.toBase64(),
      node_key_hash: nodeKeyHash(nodeKey.spki),
    }) + "\n",
  );
  return EXIT.done;
}

async function join(io: CommandIo, options: Ready, file: WorkerFile): Promise<ExitCode> {
  let joined: Joined;
  try {
    joined = await joinOnce(options, file);
    joined.link[Symbol.dispose]();
  } catch (error) {
    if (!isFinal(error)) throw error;
    io.stderr(`nautilus worker: ${error.message}\n`);
    return EXIT.no;
  }
  io.stdout(
    JSON.stringify({
      node_id: options.nodeId,
      session_token: joined.sessionToken,
      session_expires_at: new Date(joined.sessionExpiresAtMs).toISOString(),
    }) + "\n",
  );
  return EXIT.done;
}

async function run(
  io: CommandIo,
  strings: Strings,
  options: Ready,
  file: WorkerFile,
): Promise<ExitCode> {
  const heartbeatMs = seconds(strings["heartbeat-seconds"] ?? "30") * 1000;
  await using logging = await startLogging({
    level: "info",
    terminal: io.stderrIsTerminal,
    write: io.stderr,
    fields: { node_id: options.nodeId },
  });
  using stop = watchStopSignals();
  const stopping = new AbortController();
  void stop.wait().then(() => stopping.abort());
  return await runWorker({
    nodeId: options.nodeId,
    heartbeatMs,
    log: logging.log,
    stop: stopping.signal,
    hook: createHook({ command: strings["on-assign"], log: logging.log, env: io.env }),
    join: async () =>
      new WorkerSession(await joinOnce(options, file), options.nodeId, file.nodeKey, Date.now),
    figures: createFigures(),
    random: Math.random,
  });
}

/** Joins; chain and cluster of the first time are those of every later time. */
async function joinOnce(options: Ready, file: WorkerFile): Promise<Joined> {
  const { href } = options.master;
  const known = file.master?.url === href ? file.master : undefined;
  const joined = await joinMaster({
    ...options,
    nodeKey: file.nodeKey,
    chainId: options.chainId ?? known?.chain_id,
    clusterId: options.clusterId ?? known?.cluster_id,
  });
  if (options.k3sEnv !== undefined && joined.k3s !== undefined) {
    const { serverUrl, token } = joined.k3s;
    // Under the name that the chain knows: what is refused there is looked for by it.
    const name = `K3S_NODE_NAME=${options.nodeId}\n`;
    await replaceFile(options.k3sEnv, `K3S_URL=${serverUrl}\nK3S_TOKEN=${token}\n${name}`);
  }
  await file.remember({
    url: href,
    chain_id: joined.facts.chainId,
    cluster_id: joined.facts.clusterId.toHex(),
    identity_key: joined.facts.identityKey.toBase64(),
  });
  return joined;
}

async function prepare(io: CommandIo, strings: Strings): Promise<Prepared> {
  const reader = diskReader();
  const tokenId = required(strings, "token", "OBJECT_ID").replace(/^seal_/, "");
  if (!isCanonicalAddress(tokenId)) {
    throw new UsageError("--token: expected an object id, 0x and 64 lower-case hex digits");
  }
  const nodeId = strings["node-id"] ?? io.hostName.toLowerCase();
  if (!isNodeId(nodeId)) throw new UsageError(`--node-id: "${nodeId}" is no node name`);
  const clusterId = strings["cluster-id"];
  if (clusterId !== undefined && !/^[0-9a-f]{32}$/.test(clusterId)) {
    throw new UsageError("--cluster-id: expected 32 lower-case hex digits");
  }
  const collateral = strings["collateral"];
  return {
    master: masterUrl(required(strings, "master", "URL")),
    policy: await loadPolicy(reader, required(strings, "policy", "POLICY")),
    endorsements: collateral === undefined ? [] : await readEndorsements(reader, [collateral]),
    wallet: await openWallet(io.env, required(strings, "key"), strings["address"]),
    nodeId,
    tokenId,
    chainId: strings["chain-id"],
    clusterId,
    signatures: createWebCryptoVerifier(),
    fetchAttestation,
    wantsK3s: strings["k3s-env"] !== undefined,
    k3sEnv: strings["k3s-env"],
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    now: () => Date.now(),
  };
}

function defaultState({ env }: CommandIo): string {
  const home = env["HOME"];
  if (home === undefined || home === "") throw new UsageError("--state is missing, and so is HOME");
  return `${home}/.nautilus/worker.json`;
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value >= 0.1 && value <= 3600)) {
    throw new UsageError("--heartbeat-seconds: expected 0.1 to 3600");
  }
  return value;
}
