import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { getLogger } from "@logtape/logtape";
import { ADMIN_TOKEN, testApi } from "../tests/fakes/api.ts";
import { openTestStore } from "../tests/fakes/test_store.ts";
import { type K3sNodes, openK3sNodes, REFUSED_TAINT } from "./k3s_nodes.ts";
import type { WorkerView } from "./workers.ts";

const MINUTE_MS = 60_000;
const OTHER = { key: "dedicated", value: "gpu", effect: "NoSchedule" } as const;
const CLEAN = [`${OTHER.key}:${OTHER.effect}`];
const MARKED = [...CLEAN, `${REFUSED_TAINT}:NoExecute`];

/** Our own Kubernetes API plays the cluster that K3s serves. */
async function scene() {
  const cluster = await testApi();
  const store = await openTestStore();
  const asked: string[] = [];
  let standing: "live" | "refused" | "lost" | "gone" = "live";
  const settings = { denies: "", isDown: false };
  const send = async (method: string, path: string, body?: unknown, type = "application/json") =>
    await cluster.app.request(`https://cluster.test${path}`, {
      method,
      headers: { "Authorization": `Bearer ${ADMIN_TOKEN}`, "Content-Type": type },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const view = (state: WorkerView["state"]): WorkerView => ({
    nodeId: "worker-1",
    state,
    owner: "0x1",
    stakeStatus: "slashed",
    stakeAmountMist: "0",
    registeredAtMs: 0,
    stateChangedAtMs: 0,
    evidence: undefined,
    lastHeartbeat: undefined,
  });
  const open = () =>
    openK3sNodes({
      store,
      clock: () => cluster.time.now,
      log: getLogger(["test"]),
      workers: {
        liveAdmission: () => standing === "live" ? { id: "a", expiresAtMs: Infinity } : undefined,
        get: () =>
          standing === "gone" ? undefined : view(standing === "live" ? "active" : standing),
      },
      ask: async (method, path, body, type) => {
        asked.push(`${method} ${path}`);
        if (settings.isDown) throw new TypeError("connection reset");
        if (method === settings.denies) return new Response(null, { status: 403 });
        return await send(method, path, body, type);
      },
    });
  return {
    cluster,
    settings,
    asked,
    open,
    /** From now on; long enough for everything to be looked at again. */
    stands(next: typeof standing) {
      standing = next;
      cluster.time.now += 2 * MINUTE_MS;
    },
    async node(name: string, labels: Record<string, string> = {}): Promise<void> {
      const { status } = await send("POST", "/api/v1/nodes", {
        apiVersion: "v1",
        kind: "Node",
        metadata: { name, labels },
        spec: { taints: [OTHER] },
      });
      assertEquals(status, 201);
    },
    async remove(name: string): Promise<void> {
      assertEquals((await send("DELETE", `/api/v1/nodes/${name}`)).status, 200);
    },
    async taints(name = "worker-1"): Promise<string[]> {
      const { spec } = await (await send("GET", `/api/v1/nodes/${name}`)).json();
      return spec.taints.map((one: { key: string; effect: string }) => `${one.key}:${one.effect}`);
    },
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await cluster[Symbol.asyncDispose]();
    },
  };
}

/** A worker that was handed a token, and whose Node came to be by it. */
async function joined(all: Awaited<ReturnType<typeof scene>>): Promise<K3sNodes> {
  const nodes = await all.open();
  await nodes.handOut("worker-1");
  await all.node("worker-1");
  await nodes.expel();
  assertEquals([await all.taints(), all.asked], [CLEAN, []]);
  return nodes;
}

Deno.test("expel() taints the Node of a refused worker, again where it was made anew, also after a restart", async () => {
  await using all = await scene();
  await joined(all);
  all.stands("refused");
  const nodes = await all.open();
  await nodes.expel();
  assertEquals(await all.taints(), MARKED);
  const asked = all.asked.length;
  await nodes.expel();
  assertEquals(all.asked.length, asked, "it is not asked at every tick");
  await all.remove("worker-1");
  await all.node("worker-1");
  // The worker's record is gone by now; what is known of its Node is not.
  all.stands("gone");
  await nodes.expel();
  assertEquals(await all.taints(), MARKED);
  all.cluster.time.now += 31 * 24 * 60 * MINUTE_MS;
  await nodes.expel();
  await all.remove("worker-1");
  await all.node("worker-1");
  all.stands("gone");
  await nodes.expel();
  assertEquals(await all.taints(), CLEAN, "forgotten after a month");
});

Deno.test("expel() takes the taint off whom the chain lets in again, and nobody else's taints", async () => {
  await using all = await scene();
  const nodes = await joined(all);
  all.stands("refused");
  await nodes.expel();
  all.stands("live");
  await nodes.expel();
  assertEquals(await all.taints(), CLEAN);
  const asked = all.asked.length;
  all.stands("live");
  await nodes.expel();
  assertEquals(all.asked.length, asked);
});

Deno.test("expel() leaves alone who leaves, servers, and Nodes that were there before", async () => {
  await using all = await scene();
  const nodes = await joined(all);
  all.stands("lost");
  await nodes.expel();
  assertEquals(await all.taints(), CLEAN);
  // The attack: a stake under the name of a node of the operator's, in order to be slashed.
  await all.node("older");
  all.stands("live");
  await nodes.handOut("older");
  await nodes.handOut("server");
  await all.node("server", { "node-role.kubernetes.io/control-plane": "true" });
  all.stands("refused");
  await nodes.expel();
  for (const name of ["older", "server"]) assertEquals(await all.taints(name), CLEAN, name);
});

Deno.test("expel() goes on where the cluster denies or cannot be reached, and deletes nothing", async () => {
  await using all = await scene();
  const nodes = await joined(all);
  for (const denies of ["GET", "PATCH"]) {
    all.stands("refused");
    all.settings.denies = denies;
    await nodes.expel();
    assertEquals(await all.taints(), CLEAN);
  }
  all.stands("refused");
  all.settings.denies = "";
  all.settings.isDown = true;
  await nodes.expel();
  all.settings.isDown = false;
  all.stands("refused");
  await nodes.expel();
  assertEquals(await all.taints(), MARKED);
  assertStringIncludes(all.asked.join(), "PATCH /api/v1/nodes/worker-1");
  assert(!all.asked.some((one) => one.startsWith("DELETE")));
});
