/** Asks the running master as its admin: after a login that proves both sides, or, in the simulation, by its kubeconfig. */
import { UsageError } from "../command.ts";
import type { KubeconfigMaster } from "./kubeconfig.ts";
import type { PinnedAnswer } from "./pinned_request.ts";
import type { PinnedStream } from "./pinned_stream.ts";

const TIMEOUT_MS = 90_000;

/** String flags of every command that asks the running master. */
export const MASTER_FLAGS = ["master", "key", "policy", "endorsements", "spki", "ca", "kubeconfig"];

export const MASTER_HELP = [
  "Which master, and as whom:",
  "  --master URL --key FILE TRUST   log in with the admin's key; TRUST as for `nautilus admin login`:",
  "                                  --policy POLICY [--endorsements FILE,…] | --spki SHA256 | --ca FILE",
  "  --kubeconfig FILE               the simulation's; by default admin.kubeconfig of the data directory",
];

export interface RunningMaster {
  readonly origin: string;
  /** @throws {Error} where nobody, or somebody else, answers */
  send(method: "GET" | "POST", path: string, body?: unknown): Promise<PinnedAnswer>;
  /** Posts nothing and takes an answer of any length as it comes. @throws {Error} as `send` */
  stream(path: string): Promise<PinnedStream>;
}

/**
 * @param dataDir where the simulation's kubeconfig is looked for
 * @throws {UsageError} without a way to reach the master; {AdminRefused | WrongPeer} where it is not who it should be
 */
export async function reachMaster(
  flags: Readonly<Record<string, string>>,
  dataDir: string,
): Promise<RunningMaster> {
  const { master } = flags;
  if (master === undefined) {
    const stray = MASTER_FLAGS.find((name) => name !== "kubeconfig" && name in flags);
    if (stray !== undefined) throw new UsageError(`--${stray} needs --master URL`);
    const { readKubeconfig } = await import("./kubeconfig.ts");
    return byKubeconfig(await readKubeconfig(flags["kubeconfig"] ?? `${dataDir}/admin.kubeconfig`));
  }
  if ("kubeconfig" in flags) throw new UsageError("--kubeconfig or --master, not both");
  return await byLogin(master, flags);
}

async function byLogin(
  text: string,
  flags: Readonly<Record<string, string>>,
): Promise<RunningMaster> {
  const keyPath = flags["key"];
  if (keyPath === undefined) throw new UsageError("--key FILE is missing");
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.pathname !== "/") {
    throw new UsageError(`--master "${text}": https://HOST:PORT and no more is wanted`);
  }
  const [{ adminLogin, establishTrust }, { readAdminKey }, { connectPinned }] = await Promise.all([
    import("./login.ts"),
    import("./admin_key.ts"),
    import("./pinned_request.ts"),
  ]);
  const key = await readAdminKey(keyPath);
  const check = await establishTrust(url, {
    policy: flags["policy"],
    endorsements: flags["endorsements"]?.split(",") ?? [],
    ca: flags["ca"],
    spki: flags["spki"],
  });
  let session = await adminLogin(url, check, key, undefined);
  const send: RunningMaster["send"] = async (method, path, body) => {
    const ask = async () => {
      const peer = await connectPinned(url, check, TIMEOUT_MS);
      return await peer.send({
        url: new URL(path, url),
        method,
        ...(body === undefined ? {} : { body }),
        bearer: session.token,
        timeoutMs: TIMEOUT_MS,
      });
    };
    const answer = await ask();
    if (answer.status !== 401) return answer;
    // A token lives for minutes, what it began may take longer.
    session = await adminLogin(url, check, key, undefined);
    return await ask();
  };
  const stream: RunningMaster["stream"] = async (path) => {
    const peer = await connectPinned(url, check, TIMEOUT_MS);
    const request = { url: new URL(path, url), method: "POST", bearer: session.token } as const;
    return await peer.stream({ ...request, timeoutMs: TIMEOUT_MS });
  };
  return { origin: url.origin, send, stream };
}

async function* closing(
  body: AsyncIterable<Uint8Array>,
  client: Deno.HttpClient,
): AsyncGenerator<Uint8Array, void> {
  using _client = client;
  yield* body;
}

function byKubeconfig({ server, token, authority }: KubeconfigMaster): RunningMaster {
  return {
    origin: server,
    async send(method, path, body) {
      using client = Deno.createHttpClient(authority === undefined ? {} : { caCerts: [authority] });
      const response = await fetch(new URL(path, server), {
        client,
        method,
        headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      return { status: response.status, body: await response.text() };
    },
    async stream(path) {
      const client = Deno.createHttpClient(authority === undefined ? {} : { caCerts: [authority] });
      const response = await fetch(new URL(path, server), {
        client,
        method: "POST",
        headers: { authorization: `Bearer ${token}` },
      });
      return {
        status: response.status,
        headers: new Map(response.headers),
        body: closing(response.body ?? new ReadableStream<Uint8Array>(), client),
      };
    },
  };
}
