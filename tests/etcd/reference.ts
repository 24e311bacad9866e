/** Debian's etcd as a reference: started by the test that wants it, in a folder of its own. */

export interface ReferenceEtcd extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly version: string;
  readonly pid: number;
  /** Its data directory lies in it. */
  readonly directory: string;
}

/** NAUTILUS_TEST_ETCD names another etcd binary. */
function etcdBinary(): string {
  return Deno.env.get("NAUTILUS_TEST_ETCD") ?? "etcd";
}

/** Why there is no etcd to compare with; undefined where there is one. */
export async function etcdMissing(): Promise<string | undefined> {
  try {
    await new Deno.Command(etcdBinary(), { args: ["--version"], stdout: "null", stderr: "null" })
      .output();
    return undefined;
  } catch {
    return `${etcdBinary()} is not installed (Debian: apt-get install etcd-server)`;
  }
}

/** Why there is no etcdctl; undefined where there is one. */
export async function etcdctlMissing(): Promise<string | undefined> {
  try {
    await new Deno.Command("etcdctl", { args: ["version"], stdout: "null", stderr: "null" })
      .output();
    return undefined;
  } catch {
    return "etcdctl is not installed (Debian: apt-get install etcd-client)";
  }
}

export async function startReferenceEtcd(flags: readonly string[] = []): Promise<ReferenceEtcd> {
  const directory = await Deno.makeTempDir({ prefix: "etcd-reference-" });
  const port = freePort();
  const url = `http://127.0.0.1:${port}`;
  const process = new Deno.Command(etcdBinary(), {
    args: [
      "--data-dir",
      `${directory}/data`,
      "--listen-client-urls",
      url,
      "--advertise-client-urls",
      url,
      "--listen-peer-urls",
      "http://127.0.0.1:0",
      ...flags,
    ],
    stdin: "null",
    stdout: "null",
    stderr: Deno.env.get("NAUTILUS_TEST_ETCD_LOG") === "1" ? "inherit" : "null",
  }).spawn();
  let ended = false;
  void process.status.then(() => ended = true);
  const version = await waitUntilHealthy(url, () => ended);
  return {
    host: "127.0.0.1",
    port,
    version,
    pid: process.pid,
    directory,
    async [Symbol.asyncDispose]() {
      const died = ended;
      if (!died) process.kill("SIGKILL");
      await process.status;
      await Deno.remove(directory, { recursive: true });
      if (died) throw new Error("the reference etcd died during the test");
    },
  };
}

/** A port that was free a moment ago: etcd cannot say which one it was given. */
function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function waitUntilHealthy(url: string, ended: () => boolean): Promise<string> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (ended()) throw new Error("etcd ended while it was starting");
    try {
      const health = await fetch(`${url}/health`);
      const text = await health.text();
      if (text.includes("true")) {
        const version: unknown = await (await fetch(`${url}/version`)).json();
        return typeof version === "object" && version !== null && "etcdserver" in version
          ? String(version.etcdserver)
          : "unknown";
      }
    } catch {
      // Not listening yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("etcd did not become healthy within 10 s");
}
