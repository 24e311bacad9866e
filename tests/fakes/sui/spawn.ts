/** The stand-in node in a process of its own, for tests and benchmarks that should not share theirs. */
import * as v from "valibot";

const Ready = v.strictObject({
  url: v.string(),
  chain_id: v.string(),
  package_id: v.string(),
  registry_id: v.string(),
  cluster_id: v.string(),
});
const Answer = v.record(v.string(), v.unknown());

export interface SpawnedNode extends AsyncDisposable {
  readonly url: string;
  readonly chainId: string;
  readonly packageId: string;
  readonly registryId: string;
  readonly clusterId: string;
  /** POST /control/`what`. @throws {Error} with the node's own words when it refuses */
  control(what: string, body: Record<string, unknown>): Promise<Record<string, unknown>>;
}

/** Starts the program and waits until it listens. */
export async function spawnFakeNode(args: readonly string[] = []): Promise<SpawnedNode> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      new URL("./main.ts", import.meta.url).pathname,
      "--listen",
      "127.0.0.1:0",
      ...args,
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let line = "";
  while (!line.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the stand-in node ended before it listened");
    line += value;
  }
  const ready = v.parse(Ready, JSON.parse(line));
  return {
    url: ready.url,
    chainId: ready.chain_id,
    packageId: ready.package_id,
    registryId: ready.registry_id,
    clusterId: ready.cluster_id,
    control: async (what, body) => {
      const response = await fetch(`${ready.url}/control/${what}`, {
        method: "POST",
        body: JSON.stringify(body),
      });
      const answer = v.parse(Answer, await response.json());
      if (!response.ok) throw new Error(`/control/${what}: ${String(answer["error"])}`);
      return answer;
    },
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGTERM");
      await child.status;
      await reader.cancel();
    },
  };
}
