/** Our endpoints over loopback: node:http, the bridge, the app, and a real store in memory. */
import { Agent, request as httpRequest } from "node:http";
import { type BenchSpec, registerWithDeno } from "../tests/bench/harness.ts";
import { ADMIN_TOKEN, SEAL_TOKEN, type TestApi, testApi } from "../tests/fakes/api.ts";
import { simulatedAttestor } from "../tests/fakes/simulated_attestor.ts";
import { DEFAULT_LIMITS } from "./deps.ts";
import { DEFAULT_SERVER_LIMITS, listen } from "./server.ts";

const GROUP = "HTTP";

interface Call {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly expect: number;
}

/** One request over kept-alive connections; the answer is read to its end. */
function send(agent: Agent, port: number, call: Call): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const request = httpRequest({
    agent,
    host: "127.0.0.1",
    port,
    method: call.method,
    path: call.path,
    headers: {
      ...call.headers,
      ...(call.body === undefined
        ? {}
        : { "Content-Type": "application/json", "Content-Length": String(call.body.length) }),
    },
  }, (response) => {
    response.resume();
    response.once("end", () => {
      if (response.statusCode === call.expect) resolve();
      else reject(new Error(`${call.method} ${call.path}: ${response.statusCode}`));
    });
  });
  request.once("error", reject);
  request.end(call.body);
  return promise;
}

function overLoopback(
  name: string,
  prepare: (api: TestApi) => Promise<() => Call>,
  more: Partial<BenchSpec> = {},
): BenchSpec {
  return {
    name,
    group: GROUP,
    inFlight: 32,
    ...more,
    async setup() {
      const folder = await Deno.makeTempDir();
      const api = await testApi({
        grants: [],
        attestor: await simulatedAttestor(folder),
        deps: {
          limits: {
            ...DEFAULT_LIMITS,
            attestations: { perSecond: 1e9, burst: 1e9 },
            registrations: { perSecond: 1e9, burst: 1e9 },
            failures: { perSecond: 1e9, burst: 1e9 },
            watches: 1_000,
          },
        },
      });
      const server = await listen(api.app, {
        host: "127.0.0.1",
        port: 0,
        tls: undefined,
        limits: DEFAULT_SERVER_LIMITS,
        log: api.deps.log,
      });
      const agent = new Agent({ keepAlive: true, maxSockets: 64 });
      const next = await prepare(api);
      return {
        run: () => send(agent, server.port, next()),
        async close() {
          agent.destroy();
          await server.close(100);
          await api[Symbol.asyncDispose]();
          await Deno.remove(folder, { recursive: true });
        },
      };
    },
  };
}

const NODE = "worker-1";
const REGISTER = JSON.stringify({ node_id: NODE, seal_token: SEAL_TOKEN, timestamp: 1 });
const ADMIN = { Authorization: `Bearer ${ADMIN_TOKEN}` };

function pod(name: string): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { app: "bench" } },
    spec: { containers: [{ name: "c", image: "registry.example/app:1", args: ["x".repeat(400)] }] },
  });
}

export const benches: readonly BenchSpec[] = [
  overLoopback(
    "GET /health",
    () => Promise.resolve(() => ({ method: "GET", path: "/health", expect: 200 })),
  ),
  overLoopback("GET attestation, new nonce each", () => {
    let i = 0;
    return Promise.resolve(() => ({
      method: "GET",
      path: `/api/v1/attestation?nonce=${(++i).toString(16).padStart(32, "0")}`,
      expect: 200,
    }));
  }),
  overLoopback("POST register-worker, decision cached", (api) => {
    api.validator.admit(SEAL_TOKEN, { nodeId: NODE });
    return Promise.resolve(() => ({
      method: "POST",
      path: "/api/v1/register-worker",
      body: REGISTER,
      expect: 200,
    }));
  }, { inFlight: 1, claim: "100/s at 100 ms" }),
  overLoopback("POST heartbeat, 4,000 workers", async (api) => {
    const sessions = await Promise.all(Array.from({ length: 4_000 }, async (_, i) => {
      const token = `seal_0x${i.toString(16).padStart(64, "0")}`;
      api.validator.admit(token, { nodeId: `n${i}` });
      const answer = await api.post("/api/v1/register-worker", {
        node_id: `n${i}`,
        seal_token: token,
        timestamp: 1,
      });
      const { session_token } = await answer.json();
      return String(session_token);
    }));
    let i = 0;
    return () => {
      i = (i + 1) % sessions.length;
      return {
        method: "POST",
        path: "/api/v1/nodes/heartbeat",
        headers: { "X-Seal-Token": sessions[i] ?? "" },
        body: JSON.stringify({
          node_id: `n${i}`,
          timestamp: 1,
          stake_status: "active",
          stake_amount: 1_000_000_000,
          running_pods: 3,
          resource_usage: { cpu_percent: 1, memory_percent: 2, disk_percent: 3 },
        }),
        expect: 200,
      };
    };
  }, { target: ">= 8,000/s" }),
  overLoopback("POST pod (create)", () => {
    let i = 0;
    return Promise.resolve(() => ({
      method: "POST",
      path: "/api/v1/namespaces/default/pods",
      headers: ADMIN,
      body: pod(`p${++i}`),
      expect: 201,
    }));
  }),
  overLoopback("GET pod", async (api) => {
    await api.admin("POST", "/api/v1/namespaces/default/pods", pod("p"));
    return () => ({
      method: "GET",
      path: "/api/v1/namespaces/default/pods/p",
      headers: ADMIN,
      expect: 200,
    });
  }),
  overLoopback("GET 1,000 pods (list)", async (api) => {
    for (let i = 0; i < 1_000; i++) {
      await api.admin("POST", "/api/v1/namespaces/default/pods", pod(`p${i}`));
    }
    return () => ({
      method: "GET",
      path: "/api/v1/namespaces/default/pods",
      headers: ADMIN,
      expect: 200,
    });
  }, { inFlight: 4, target: ">= 150/s" }),
  overLoopback(
    "refused: no token",
    () => Promise.resolve(() => ({ method: "GET", path: "/api/v1/pods", expect: 401 })),
  ),
];

registerWithDeno(benches, import.meta);
