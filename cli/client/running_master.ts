/** Asks the running master as its admin: after a login that proves both sides, or, in the simulation, by its kubeconfig. */
import { UsageError } from "../command.ts";
import type { Flags } from "../flags.ts";
import type { KubeconfigMaster } from "./kubeconfig.ts";
import { unreachable } from "./unreachable.ts";
import type { PinnedAnswer } from "./pinned_request.ts";
import type { PinnedStream } from "./pinned_stream.ts";

const TIMEOUT_MS = 90_000;

/** The flags of every command that asks the running master. */
export const MASTER_FLAGS = {
  strings: ["master", "key", "policy", "spki", "ca", "kubeconfig"],
  lists: ["endorsements"],
} as const;

export const MASTER_HELP = [
  "Which master, and as whom:",
  "  --master URL --key FILE TRUST   log in with the admin's key; TRUST as for `nautilus admin login`:",
  "                                  --policy POLICY [--endorsements FILE…] | --spki SHA256 | --ca FILE",
  "  --kubeconfig FILE               the simulation's; by default admin.kubeconfig of the data directory",
];

export interface RunningMaster {
  readonly origin: string;
  /** @throws {Error} where nobody, or somebody else, answers */
  send(method: "GET" | "POST", path: string, body?: unknown): Promise<PinnedAnswer>;
  /** Posts nothing and takes an answer of any length as it comes. @throws {Error} as `send` */
  stream(path: string): Promise<PinnedStream>;
}

/** Whether a flag says which master is meant. */
export function namesMaster({ strings, lists }: Flags): boolean {
  return MASTER_FLAGS.strings.some((name) => name in strings) || listsOf({ lists }).length > 0;
}

function listsOf({ lists }: Pick<Flags, "lists">): readonly string[] {
  return MASTER_FLAGS.lists.filter((name) => (lists[name] ?? []).length > 0);
}

/**
 * @param dataDir where the simulation's kubeconfig is looked for
 * @throws {UsageError} without a way to reach the master; {Refused} where it is not who it should be
 */
export async function reachMaster(flags: Flags, dataDir: string): Promise<RunningMaster> {
  const { kubeconfig, ...login } = flags.strings;
  if ("master" in login) {
    if (kubeconfig !== undefined) throw new UsageError("--kubeconfig or --master, not both");
    return await byLogin(flags);
  }
  const [stray] = [...MASTER_FLAGS.strings.filter((name) => name in login), ...listsOf(flags)];
  if (stray !== undefined) throw new UsageError(`--${stray} needs --master URL`);
  const { readKubeconfig } = await import("./kubeconfig.ts");
  return byKubeconfig(await readKubeconfig(kubeconfig ?? `${dataDir}/admin.kubeconfig`));
}

async function byLogin(flags: Flags): Promise<RunningMaster> {
  const [{ adminLogin, logIn }, { connectPinned }] = await Promise.all([
    import("./login.ts"),
    import("./pinned_request.ts"),
  ]);
  const loggedIn = await logIn(flags);
  const { master: url, check, key } = loggedIn;
  let { session } = loggedIn;
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

async function ask(server: string, path: string, init: RequestInit & { client: Deno.HttpClient }) {
  try {
    return await fetch(new URL(path, server), init);
  } catch (cause) {
    throw unreachable(server, cause);
  }
}

function byKubeconfig({ server, token, authority }: KubeconfigMaster): RunningMaster {
  return {
    origin: server,
    async send(method, path, body) {
      using client = Deno.createHttpClient(authority === undefined ? {} : { caCerts: [authority] });
      const response = await ask(server, path, {
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
      const response = await ask(server, path, {
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
