/** The master under load: a process of its own, with the stand-in chain as another. */
import * as v from "valibot";
import { type Running, start } from "../demo/process.ts";
import { type SpawnedNode, spawnFakeNode } from "../fakes/sui/spawn.ts";
import { V8_FLAGS } from "../../tools/v8_flags.ts";

export interface Master extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
  readonly tlsPort: number;
  readonly url: string;
  readonly tlsUrl: string;
  /** Of the simulation's admin. */
  readonly adminToken: string;
  readonly chain: SpawnedNode;
}

const Endpoints = v.object({ pid: v.number(), listen: v.string(), tls_listen: v.string() });

export interface MasterOptions {
  /** The built file; undefined: from the sources. */
  readonly binary: string | undefined;
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts both; resolves once the master is ready. */
export async function startMaster(options: MasterOptions): Promise<Master> {
  await using undo = new AsyncDisposableStack();
  const chain = undo.use(await spawnFakeNode());
  const directory = await Deno.makeTempDir({ prefix: "nautilus-load-" });
  undo.defer(() => Deno.remove(directory, { recursive: true }));
  const main = new URL("../../main.ts", import.meta.url).pathname;
  const [command, args] = options.binary === undefined
    ? [Deno.execPath(), ["run", "-A", "--no-check", `--v8-flags=${V8_FLAGS}`, main, "serve"]]
    : [options.binary, ["serve"]];
  const { running } = await start({
    command,
    args,
    cwd: directory,
    env: {
      PATH: Deno.env.get("PATH") ?? "",
      HOME: Deno.env.get("HOME") ?? directory,
      ...cacheOf(),
      TEE_MODE: "simulation",
      LOG_LEVEL: "warn",
      NAUTILUS_DATA_DIR: `${directory}/data`,
      NAUTILUS_LISTEN: "127.0.0.1:0",
      NAUTILUS_TLS_LISTEN: "127.0.0.1:0",
      CONTRACT_ADDRESS: chain.packageId,
      SUI_RPC_ENDPOINT: chain.url,
      NAUTILUS_SUI_REGISTRY: chain.registryId,
      NAUTILUS_CLUSTER_ID: chain.clusterId,
      ...options.env,
    },
    ready: (line) => line.includes("admin.kubeconfig") ? true : undefined,
    timeoutMs: 60_000,
  });
  undo.use(stopping(running));
  const text = await Deno.readTextFile(`${directory}/data/run/endpoints.json`);
  const endpoints = v.parse(Endpoints, JSON.parse(text));
  const kubeconfig = await Deno.readTextFile(`${directory}/data/admin.kubeconfig`);
  const token = /^\s*token: (\S+)$/m.exec(kubeconfig)?.[1];
  if (token === undefined) throw new Error("the kubeconfig has no token");
  const port = portOf(endpoints.listen);
  const tlsPort = portOf(endpoints.tls_listen);
  const opened = undo.move();
  return {
    pid: endpoints.pid,
    port,
    tlsPort,
    url: `http://127.0.0.1:${port}`,
    tlsUrl: `https://127.0.0.1:${tlsPort}`,
    adminToken: token,
    chain,
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(":") + 1));
}

/** Where the sources' dependencies rest. */
function cacheOf(): Record<string, string> {
  const cache = Deno.env.get("DENO_DIR");
  return cache === undefined ? {} : { DENO_DIR: cache };
}

function stopping(running: Running): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      running.kill("SIGTERM");
      await running.status;
      await running[Symbol.asyncDispose]();
    },
  };
}
