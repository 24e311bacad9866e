import { assertEquals } from "@std/assert";
import { ADMIN_TOKEN, SEAL_TOKEN, testApi } from "../tests/fakes/api.ts";
import { DEFAULT_LIMITS } from "./deps.ts";
import type { Connection } from "./http.ts";

function from(remoteAddress: string): { connection: Connection } {
  return {
    connection: {
      remoteAddress,
      encrypted: false,
      disconnected: () => new AbortController().signal,
    },
  };
}

const JSON_TYPE = { "Content-Type": "application/json" };
const ONE = { perSecond: 1, burst: 2 };

Deno.test("registrations and hints are limited by address, IPv6 by network", async () => {
  await using api = await testApi({
    deps: { limits: { ...DEFAULT_LIMITS, registrations: ONE, suiEvents: ONE } },
  });
  api.validator.admit(SEAL_TOKEN, { nodeId: "n" });
  const register = async (address: string): Promise<number> => {
    const response = await api.app.request("/api/v1/register-worker", {
      method: "POST",
      headers: JSON_TYPE,
      body: JSON.stringify({ node_id: "n", seal_token: SEAL_TOKEN, timestamp: 1 }),
    }, from(address));
    await response.body?.cancel();
    if (response.status === 429) assertEquals(response.headers.get("retry-after"), "1");
    return response.status;
  };
  assertEquals([await register("10.0.0.1"), await register("::ffff:10.0.0.1")], [200, 200]);
  assertEquals(await register("10.0.0.1"), 429);
  assertEquals(await register("10.0.0.2"), 200);
  assertEquals([await register("2001:db8::1"), await register("2001:db8:0:0:1::2")], [200, 200]);
  assertEquals([await register("2001:db8::3"), await register("2001:db9::1")], [429, 200]);
  api.time.now += 1_000;
  assertEquals(await register("10.0.0.1"), 200);

  const hint = async (): Promise<number> =>
    (await api.app.request("/api/v1/sui-events", {
      method: "POST",
      headers: JSON_TYPE,
      body: "{}",
    }, from("10.0.0.1"))).status;
  assertEquals([await hint(), await hint(), await hint()], [400, 400, 429]);
});

Deno.test("failures are limited by address, and who is known never notices", async () => {
  await using api = await testApi({ deps: { limits: { ...DEFAULT_LIMITS, failures: ONE } } });
  const ask = (token: string, path = "/api/v1/pods") =>
    api.app.request(path, { headers: { Authorization: `Bearer ${token}` } }, from("10.0.0.1"));
  assertEquals([(await ask("x")).status, (await ask("x")).status], [401, 401]);
  const slowed = await ask("x");
  assertEquals([slowed.status, slowed.headers.get("www-authenticate")], [429, null]);
  assertEquals((await slowed.json()).reason, "TooManyRequests");
  assertEquals((await ask(ADMIN_TOKEN)).status, 200);
  assertEquals((await ask("x", "/health")).status, 200);
  api.time.now += 1_000;
  assertEquals((await ask("x")).status, 401);
});

Deno.test("heartbeats are limited by session", async () => {
  await using api = await testApi();
  api.validator.admit(SEAL_TOKEN, { nodeId: "n" });
  const registered = await api.post("/api/v1/register-worker", {
    node_id: "n",
    seal_token: SEAL_TOKEN,
    timestamp: 1,
  });
  const { session_token } = await registered.json();
  const statuses = new Map<number, number>();
  for (let i = 0; i < 30; i++) {
    const response = await api.post("/api/v1/nodes/heartbeat", {
      node_id: "n",
      timestamp: 1,
      stake_status: "active",
      stake_amount: "1",
      running_pods: 0,
      resource_usage: { cpu_percent: 0, memory_percent: 0, disk_percent: 0 },
    }, { "X-Seal-Token": session_token });
    statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
  }
  assertEquals(Object.fromEntries(statuses), { 200: 20, 429: 10 });
});
