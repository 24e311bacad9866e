/** The wall clock is the host's: it jumps, and nothing that was acknowledged depends on it. */
import { assert, assertEquals } from "@std/assert";
import { createMemoryLog, createMemoryMedium } from "../../store/logs/memory.ts";
import { SEAL_TOKEN, SESSION_TTL_MS, type TestApi, testApi } from "../fakes/api.ts";
import { commit, listing, openTestStore, put } from "../fakes/test_store.ts";

const YEAR_MS = 365 * 86_400_000;
const NOW_MS = Date.UTC(2026, 10, 22);

Deno.test("a store opens and writes whatever the clock says", async () => {
  const medium = createMemoryMedium();
  const clocks = [NOW_MS, NOW_MS - 30 * YEAR_MS, NOW_MS + 100 * YEAR_MS, -1, 0.5, NOW_MS];
  for (const [start, timeMs] of clocks.entries()) {
    await using store = await openTestStore({
      log: createMemoryLog(medium),
      clock: () => timeMs,
    });
    assertEquals((await listing(store, "etcd")).length, start);
    await commit(store, put("etcd", `k${start}`, "v"));
    assertEquals(store.revision("etcd"), start + 2);
  }
});

const NODE = "worker-1";

async function session(api: TestApi): Promise<string> {
  const response = await api.post("/api/v1/register-worker", {
    node_id: NODE,
    seal_token: SEAL_TOKEN,
    timestamp: 1,
  });
  const body = await response.json();
  assertEquals(response.status, 200, JSON.stringify(body));
  return String(body.session_token);
}

async function beat(api: TestApi, token: string): Promise<number> {
  const response = await api.post("/api/v1/nodes/heartbeat", {
    node_id: NODE,
    timestamp: 1_790_000_000,
    stake_status: "active",
    stake_amount: 1_000_000_000,
    running_pods: 3,
    resource_usage: { cpu_percent: 12.5, memory_percent: 40, disk_percent: 7 },
  }, { "X-Seal-Token": token });
  await response.body?.cancel();
  return response.status;
}

Deno.test("a session ends when the clock jumps ahead of its end, and the worker comes in again", async () => {
  await using api = await testApi();
  api.validator.admit(SEAL_TOKEN, { nodeId: NODE });
  const first = await session(api);
  assertEquals(await beat(api, first), 200);
  api.time.now += SESSION_TTL_MS + YEAR_MS;
  assertEquals(await beat(api, first), 401);
  await api.deps.workers.sweep();
  const second = await session(api);
  assertEquals(await beat(api, second), 200);
});

Deno.test("a clock that jumps back ends no session, loses no worker, and is lived through", async () => {
  await using api = await testApi();
  api.validator.admit(SEAL_TOKEN, { nodeId: NODE });
  const token = await session(api);
  api.time.now -= YEAR_MS;
  assertEquals(await beat(api, token), 200);
  const { lost, refused } = await api.deps.workers.sweep();
  assertEquals([lost, refused], [[], []]);
  assertEquals(await beat(api, token), 200);
  // Back where it was: the session still has its own end.
  api.time.now += YEAR_MS;
  assertEquals(await beat(api, token), 200);
  api.time.now += SESSION_TTL_MS + 1;
  assertEquals(await beat(api, token), 401);
  assert(api.store.failure === undefined);
});
