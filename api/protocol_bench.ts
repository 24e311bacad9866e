/** The protocol over loopback: signed heartbeats, whole admissions, events applied with their effects. */
import { Agent, request as httpRequest } from "node:http";
import { getLogger } from "@logtape/logtape";
import { type BenchSpec, registerWithDeno } from "../tests/bench/harness.ts";
import {
  heartbeatBody,
  type ProtocolWorker,
  protocolWorld,
  signedHeaders,
} from "../tests/fakes/protocol.ts";
import { DEFAULT_SERVER_LIMITS, listen } from "./server.ts";

const GROUP = "admission protocol";
const CLAIM = "100 checks/s at 100 ms";

interface Prepared {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Requests made beforehand, each sent once. */
function overLoopback(
  name: string,
  count: number,
  prepare: () => Promise<
    { readonly world: Awaited<ReturnType<typeof protocolWorld>>; readonly requests: Prepared[] }
  >,
  more: Partial<BenchSpec>,
): BenchSpec {
  return {
    name,
    group: GROUP,
    inFlight: 64,
    maxRuns: count - 200,
    ...more,
    async setup() {
      const { world, requests } = await prepare();
      const server = await listen(world.app, {
        host: "127.0.0.1",
        port: 0,
        tls: undefined,
        limits: DEFAULT_SERVER_LIMITS,
        log: getLogger(["bench"]),
      });
      const agent = new Agent({ keepAlive: true, maxSockets: 64 });
      let next = 0;
      return {
        run: () => {
          const request = requests[next++];
          if (request === undefined) throw new Error(`more than ${requests.length} runs`);
          return send(agent, server.port, request);
        },
        async close() {
          agent.destroy();
          await server.close(100);
          await world[Symbol.asyncDispose]();
        },
      };
    },
  };
}

function send(agent: Agent, port: number, { path, headers, body }: Prepared): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const request = httpRequest({
    agent,
    host: "127.0.0.1",
    port,
    method: "POST",
    path,
    headers: {
      ...headers,
      "Content-Type": "application/json",
      "Content-Length": String(body.length),
    },
  }, (response) => {
    response.resume();
    response.once("end", () => {
      if (response.statusCode === 200) resolve();
      else reject(new Error(`${path}: ${response.statusCode}`));
    });
  });
  request.once("error", reject);
  request.end(body);
  return promise;
}

async function heartbeats(count: number) {
  const world = await protocolWorld({ unlimited: true });
  const workers: { worker: ProtocolWorker; token: string }[] = [];
  for (let i = 0; i < 1_000; i++) {
    const worker = world.worker(`worker-${i}`, 31);
    const { body } = await world.join(worker);
    workers.push({ worker, token: String(body["session_token"]) });
  }
  const requests = Array.from({ length: count }, (_, i): Prepared => {
    const one = workers[i % workers.length];
    if (one === undefined) throw new Error("no worker");
    const body = heartbeatBody(one.worker.nodeId);
    const bytes = new TextEncoder().encode(body);
    const headers = signedHeaders(one.worker, "heartbeat", one.token, i + 1, bytes);
    return { path: "/api/v1/nodes/heartbeat", headers, body };
  });
  // The bucket of a session fills with time; a bench does not wait for it.
  world.time.now += 1_000;
  return { world, requests };
}

async function registrations(count: number) {
  const world = await protocolWorld({ unlimited: true });
  const workers = Array.from({ length: 64 }, (_, i) => world.worker(`worker-${i}`, 31));
  const requests: Prepared[] = [];
  for (let i = 0; i < count; i++) {
    const worker = workers[i % workers.length];
    if (worker === undefined) throw new Error("no worker");
    const proof = await world.prove(worker, await world.challenge(worker));
    requests.push({
      path: "/api/v1/register-worker",
      headers: {},
      body: JSON.stringify(world.registration(proof)),
    });
  }
  return { world, requests };
}

export const benches: readonly BenchSpec[] = [
  overLoopback("heartbeat, signed by the node key", 10_000, () => heartbeats(10_000), {
    target: ">= 8,000/s",
  }),
  overLoopback(
    "registration by Ed25519 proof over HTTP, chain in memory",
    6_000,
    () => registrations(6_000),
    {
      claim: CLAIM,
      target: ">= 1,500/s",
    },
  ),
];

registerWithDeno(benches, import.meta);
