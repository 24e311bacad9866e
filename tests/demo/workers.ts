/** The demo's workers: wallet, node key and token, and the built binary that runs them. */
import { Ed25519Keypair } from "@mysten/sui/keypairs/ed25519";
import { at, type Call, textAt } from "./client.ts";
import { type Running, start } from "./process.ts";

export interface DemoWorker {
  readonly nodeId: string;
  /** Address, 0x + 64 hex. */
  readonly wallet: string;
  readonly keyFile: string;
  readonly stateFile: string;
  /** Object id, 0x + 64 hex. */
  readonly token: string;
}

export interface Place {
  readonly binary: string;
  readonly directory: string;
  readonly masterUrl: string;
}

const ENVIRONMENT = { HOME: "/nonexistent", PATH: "/usr/bin:/bin" };

/** A wallet, a node key made by the binary, and a token that names both. */
export async function makeWorker(
  binary: string,
  directory: string,
  control: Call,
  nodeId: string,
): Promise<DemoWorker> {
  const keypair = Ed25519Keypair.generate();
  const keyFile = `${directory}/${nodeId}.wallet`;
  const stateFile = `${directory}/${nodeId}.json`;
  await Deno.writeTextFile(keyFile, keypair.getSecretKey() + "\n", { mode: 0o600 });
  const shown = await run(binary, directory, ["worker", "key", "--state", stateFile]);
  const made = await control("POST", "/control/token", {
    body: {
      owner: keypair.toSuiAddress(),
      node_id: nodeId,
      node_key_hash: textAt(JSON.parse(shown.output), "node_key_hash"),
      stake_amount: "5000000000",
      status: "active",
      permissions: ["node"],
    },
  });
  return {
    nodeId,
    wallet: keypair.toSuiAddress(),
    keyFile,
    stateFile,
    token: textAt(made.body, "token_id"),
  };
}

/** The policy that a worker's operator makes of the master's evidence. */
export async function writePolicy(place: Place, master: Call): Promise<void> {
  const { body } = await master("GET", "/api/v1/attestation");
  const { directory, binary } = place;
  await Deno.writeTextFile(`${directory}/master.bundle.json`, JSON.stringify(body));
  const made = await run(binary, directory, ["policy", "init", "--from", "master.bundle.json"]);
  if (made.code !== 0) throw new Error(made.output);
  // What `policy init` never does by itself: the operator says that a simulation will do.
  const accepting = made.output.replace(/"covers": \[[^\]]*\]/, '"covers": ["none"]');
  await Deno.writeTextFile(`${directory}/policy.jsonc`, accepting);
}

function workerArgs(
  { masterUrl }: Place,
  action: "join" | "run",
  worker: DemoWorker,
  policy: string,
): string[] {
  return [
    "worker",
    action,
    "--master",
    masterUrl,
    "--policy",
    policy,
    "--token",
    worker.token,
    "--key",
    worker.keyFile,
    "--node-id",
    worker.nodeId,
    "--state",
    worker.stateFile,
  ];
}

/** Runs a worker's command to its end; standard output where it succeeded, all it said otherwise. */
export function runWorkerOnce(
  place: Place,
  action: "join" | "run",
  worker: DemoWorker,
  policy = "policy.jsonc",
): Promise<{ readonly code: number; readonly output: string }> {
  return run(place.binary, place.directory, workerArgs(place, action, worker, policy));
}

/** `nautilus worker run`, once it says that it has joined. */
export async function startWorker(place: Place, worker: DemoWorker): Promise<Running> {
  const { running } = await start({
    command: place.binary,
    args: [
      ...workerArgs(place, "run", worker, "policy.jsonc"),
      "--heartbeat-seconds",
      "0.5",
      "--on-assign",
      `cat >> ${place.directory}/${worker.nodeId}.assigned`,
    ],
    cwd: place.directory,
    env: ENVIRONMENT,
    ready: (line) => line.includes('"joined"') ? true : undefined,
    timeoutMs: 30_000,
  });
  return running;
}

/** Status of a Node's Ready condition. */
export function ready(node: unknown): unknown {
  const conditions = at(node, "status", "conditions");
  if (!Array.isArray(conditions)) return undefined;
  return at(conditions.find((condition: unknown) => at(condition, "type") === "Ready"), "status");
}

/** What the hook wrote first; the deadline is the demo's patience. */
export async function assignment(path: string, deadlineMs: number): Promise<unknown> {
  const end = performance.now() + deadlineMs;
  while (performance.now() < end) {
    try {
      const [line = "", rest] = (await Deno.readTextFile(path)).split("\n");
      if (rest !== undefined) return JSON.parse(line);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  return undefined;
}

export function occurrences(text: string, part: string): number {
  return text.split(part).length - 1;
}

async function run(
  binary: string,
  cwd: string,
  args: readonly string[],
): Promise<{ readonly code: number; readonly output: string }> {
  const { code, stdout, stderr } = await new Deno.Command(binary, {
    args: [...args],
    cwd,
    env: ENVIRONMENT,
    clearEnv: true,
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  const said = decoder.decode(stdout);
  return { code, output: code === 0 ? said : said + decoder.decode(stderr) };
}
