import { assert, assertEquals, assertMatch, assertObjectMatch } from "@std/assert";
import {
  CHAIN_DOWN,
  HEARTBEAT_TIMEOUT_MS,
  SEAL_TOKEN,
  SESSION_TTL_MS,
  type TestApi,
  testApi,
} from "../tests/fakes/api.ts";

const REGISTER = "/api/v1/register-worker";
const HEARTBEAT = "/api/v1/nodes/heartbeat";
const NODE = "worker-1";
const OTHER_TOKEN = `seal_0x${"99".repeat(32)}`;

function register(api: TestApi, token = SEAL_TOKEN, nodeId = NODE): Promise<Response> {
  return api.post(REGISTER, { node_id: nodeId, seal_token: token, timestamp: 1 });
}

async function session(api: TestApi, token = SEAL_TOKEN, nodeId = NODE): Promise<string> {
  const response = await register(api, token, nodeId);
  assertEquals(response.status, 200);
  const { session_token } = await response.json();
  return String(session_token);
}

function beat(api: TestApi, sessionToken: string, nodeId = NODE): Promise<Response> {
  return api.post(HEARTBEAT, {
    node_id: nodeId,
    timestamp: 1_790_000_000,
    stake_status: "active",
    stake_amount: 1_000_000_000,
    running_pods: 3,
    resource_usage: { cpu_percent: 12.5, memory_percent: 40, disk_percent: 7 },
  }, { "X-Seal-Token": sessionToken });
}

async function admitted(): Promise<TestApi> {
  const api = await testApi();
  api.validator.admit(SEAL_TOKEN, { nodeId: NODE });
  return api;
}

Deno.test("register-worker answers as the first implementation did, with a session", async () => {
  await using api = await admitted();
  const response = await register(api);
  assertEquals(response.status, 200);
  const body = await response.json();
  assertObjectMatch(body, {
    status: "registered",
    node_id: NODE,
    message: "Worker node registered with Seal token",
    state: "ready",
    session_expires_at: (api.time.now + SESSION_TTL_MS) / 1000,
    heartbeat_timeout_seconds: 90,
  });
  assertMatch(body.session_token, /^nts_[A-Za-z0-9_-]{43}$/);
  assertEquals(api.workers.get(NODE)?.state, "ready");
});

Deno.test("register-worker keeps neither the Seal token nor the session token", async () => {
  await using api = await admitted();
  const token = await session(api);
  const { kvs } = await api.store.range("system", {
    key: Uint8Array.of(0),
    rangeEnd: Uint8Array.of(0),
  });
  const text = kvs.map((kv) => new TextDecoder().decode(kv.value)).join("\n");
  assert(text.includes(NODE));
  assert(!text.includes(token) && !text.includes(SEAL_TOKEN) && !text.includes("ab".repeat(32)));
});

Deno.test("the first heartbeat makes a worker active, the next ones move no other keyspace", async () => {
  await using api = await admitted();
  const token = await session(api);
  await (await beat(api, token)).body?.cancel();
  const before = [api.store.revision("k8s"), api.store.revision("etcd")];
  api.time.now += 1_000;
  const response = await beat(api, token);
  assertEquals(response.status, 200);
  assertEquals(await response.json(), { status: "acknowledged", timestamp: api.time.now / 1000 });
  assertEquals([api.store.revision("k8s"), api.store.revision("etcd")], before);
  const worker = api.workers.get(NODE);
  assertEquals(worker?.state, "active");
  assertEquals(worker?.lastHeartbeat?.running_pods, 3);
  assertEquals(worker?.lastHeartbeat?.received_at_ms, api.time.now);
});

Deno.test("parallel heartbeats of many workers are all kept", async () => {
  await using api = await testApi();
  const sessions = await Promise.all(Array.from({ length: 20 }, async (_, i) => {
    const seal = `seal_0x${i.toString(16).padStart(64, "0")}`;
    api.validator.admit(seal, { nodeId: `n${i}` });
    return await session(api, seal, `n${i}`);
  }));
  const statuses = await Promise.all(
    sessions.flatMap((token, i) =>
      [0, 1, 2].map(async () => (await beat(api, token, `n${i}`)).status)
    ),
  );
  assertEquals(new Set(statuses), new Set([200]));
  assertEquals(api.workers.counts(), { ready: 0, active: 20, lost: 0, refused: 0 });
});

Deno.test("a silent worker is lost, and back with its next heartbeat", async () => {
  await using api = await admitted();
  const token = await session(api);
  await beat(api, token);
  api.time.now += HEARTBEAT_TIMEOUT_MS;
  assertEquals(await api.workers.sweep(), {
    lost: [],
    removed: [],
    refused: [],
    unreachable: 0,
  });
  api.time.now += 1;
  assertEquals((await api.workers.sweep()).lost, [NODE]);
  assertEquals(api.workers.get(NODE)?.state, "lost");
  assertEquals((await api.workers.sweep()).lost, []);
  assertEquals((await beat(api, token)).status, 200);
  assertEquals(api.workers.get(NODE)?.state, "active");
});

Deno.test("a worker that registers and never beats is lost too", async () => {
  await using api = await admitted();
  await session(api);
  api.time.now += HEARTBEAT_TIMEOUT_MS + 1;
  assertEquals((await api.workers.sweep()).lost, [NODE]);
});

Deno.test("workers, their sessions and heartbeats survive a restart", async () => {
  await using api = await admitted();
  const token = await session(api);
  await beat(api, token);
  const again = await testApi({ store: api.store });
  assertEquals(again.workers.get(NODE)?.state, "active");
  assertEquals(again.workers.get(NODE)?.lastHeartbeat?.running_pods, 3);
  assertEquals((await beat(again, token)).status, 200);
});

Deno.test("nobody is lost for the time that the master was down", async () => {
  await using api = await admitted();
  await beat(api, await session(api));
  const again = await testApi({ store: api.store });
  again.time.now += HEARTBEAT_TIMEOUT_MS - 1;
  assertEquals((await again.workers.sweep()).lost, []);
  again.time.now += 2;
  assertEquals((await again.workers.sweep()).lost, [NODE]);
});

Deno.test("registering again with the same token ends the earlier session", async () => {
  await using api = await admitted();
  const first = await session(api);
  await beat(api, first);
  const response = await register(api);
  const { session_token, state, message } = await response.json();
  assertEquals(state, "active");
  assertMatch(message, /again/);
  assertEquals((await beat(api, first)).status, 401);
  assertEquals((await beat(api, session_token)).status, 200);
});

Deno.test("another token for a live node is 409, for a lost one it takes over", async () => {
  await using api = await admitted();
  const first = await session(api);
  api.validator.admit(OTHER_TOKEN, { nodeId: NODE });
  const taken = await register(api, OTHER_TOKEN);
  assertEquals(taken.status, 409);
  assertEquals((await taken.json()).code, "node_taken");
  assertEquals((await beat(api, first)).status, 200);
  api.time.now += HEARTBEAT_TIMEOUT_MS + 1;
  await api.workers.sweep();
  assertEquals((await register(api, OTHER_TOKEN)).status, 200);
  assertEquals((await beat(api, first)).status, 401);
});

Deno.test("a session ends with its time, and with the Seal token's", async () => {
  await using api = await admitted();
  const token = await session(api);
  api.time.now += SESSION_TTL_MS;
  const ended = await beat(api, token);
  assertEquals(ended.status, 401);
  assertEquals((await ended.json()).code, "session_expired");
  assertEquals(api.workers.authenticate(token), undefined);

  api.validator.admit(OTHER_TOKEN, { nodeId: "n2", expiresAtMs: api.time.now + 5_000 });
  const short = await session(api, OTHER_TOKEN, "n2");
  api.time.now += 5_000;
  assertEquals((await beat(api, short, "n2")).status, 401);
});

Deno.test("a session speaks for its own node only", async () => {
  await using api = await admitted();
  const token = await session(api);
  const response = await beat(api, token, "worker-2");
  assertEquals(response.status, 403);
  assertObjectMatch(await response.json(), { code: "wrong_node", field: "node_id" });
});

Deno.test("refused tokens are 401 or 403 with the validator's code and reason", async () => {
  await using api = await testApi();
  const cases = [
    ["bearer_not_allowed", 401],
    ["malformed", 401],
    ["not_found", 401],
    ["wrong_type", 401],
    ["wrong_cluster", 401],
    ["expired", 401],
    ["wrong_owner", 403],
    ["wrong_node", 403],
    ["not_registered", 403],
    ["revoked", 403],
    ["inactive", 403],
    ["insufficient_stake", 403],
  ] as const;
  for (const [code, status] of cases) {
    api.validator.decisions.set(SEAL_TOKEN, { valid: false, code, reason: `because ${code}` });
    const response = await register(api);
    assertEquals(response.status, status, code);
    if (status === 401) assertEquals(response.headers.get("www-authenticate"), "SealToken");
    assertObjectMatch(await response.json(), {
      code: `seal_token_${code}`,
      detail: `because ${code}`,
      field: "seal_token",
    });
  }
  assertEquals(api.workers.list(), []);
});

Deno.test("a validator that is too kind is not believed about node and expiry", async () => {
  await using api = await testApi();
  api.validator.admit(SEAL_TOKEN, { nodeId: "somebody-else" });
  assertEquals((await (await register(api)).json()).code, "seal_token_wrong_node");
  api.validator.admit(SEAL_TOKEN, { nodeId: NODE, expiresAtMs: api.time.now });
  assertEquals((await (await register(api)).json()).code, "seal_token_expired");
});

Deno.test("registration is 503 with Retry-After while the chain cannot be asked", async () => {
  await using api = await testApi();
  api.validator.decisions.set(SEAL_TOKEN, CHAIN_DOWN);
  const response = await register(api);
  assertEquals(response.status, 503);
  assertEquals(response.headers.get("retry-after"), "5");
  assertEquals((await response.json()).code, "chain_unreachable");
});

Deno.test("registration without a chain is 503 and says what to configure", async () => {
  await using api = await testApi({ withoutValidator: true });
  const response = await register(api);
  assertEquals(response.status, 503);
  const body = await response.json();
  assertEquals(body.code, "admission_not_configured");
  assertMatch(body.hint, /CONTRACT_ADDRESS/);
});

Deno.test("X-Seal-Token may repeat the Seal token but not contradict it", async () => {
  await using api = await admitted();
  const body = { node_id: NODE, seal_token: SEAL_TOKEN, timestamp: 1 };
  assertEquals((await api.post(REGISTER, body, { "X-Seal-Token": SEAL_TOKEN })).status, 200);
  assertEquals((await api.post(REGISTER, body, { "X-Seal-Token": OTHER_TOKEN })).status, 400);
});

Deno.test("sweep() asks the chain again and ends the session of a token gone bad", async () => {
  await using api = await admitted();
  const token = await session(api);
  const calls = api.validator.calls;
  await api.workers.sweep();
  assertEquals(api.validator.calls, calls);
  api.time.now += 60_000;
  await beat(api, token);
  await api.workers.sweep();
  assertEquals(api.validator.calls, calls + 1);
  api.time.now += 60_000;
  api.validator.decisions.set(SEAL_TOKEN, CHAIN_DOWN);
  assertEquals((await api.workers.sweep()).unreachable, 1);
  assertEquals((await beat(api, token)).status, 200);
  api.validator.decisions.set(SEAL_TOKEN, { valid: false, code: "revoked", reason: "revoked" });
  assertEquals((await api.workers.sweep()).refused, [NODE]);
  assertEquals((await beat(api, token)).status, 401);
  assertEquals(api.workers.get(NODE)?.state, "refused");
});
