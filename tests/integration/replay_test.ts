/** Events of the chain after a restore, on the built file: held, until the operator says skip or apply. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { spawnFakeNode } from "../fakes/sui/spawn.ts";
import { asRecord, makePlace, type Master, type Place, runBinary, startMaster } from "./harness.ts";
import { done, makeOperator, restore } from "./operator.ts";

const TENANT = `0x${"7e".repeat(32)}`;

/** Until it is so. @throws {Error} with what was seen last, after a minute */
async function until(wanted: unknown, look: () => Promise<unknown>): Promise<void> {
  let seen: unknown;
  for (let i = 0; i < 1200; i++) {
    seen = await look();
    if (seen === wanted) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited for ${wanted}, saw ${seen}`);
}

async function health(master: Master): Promise<Readonly<Record<string, unknown>>> {
  return asRecord(await (await fetch(`${master.url}/health`)).json());
}

/** The admin's view of a config map: the HTTP status. */
async function configMap(
  place: Place,
  master: Master,
  name: string,
  method = "GET",
): Promise<number> {
  const kubeconfig = await Deno.readTextFile(`${place.data}/admin.kubeconfig`);
  const token = /^ +token: (\S+)$/m.exec(kubeconfig)?.[1];
  const response = await fetch(
    `${master.url}/api/v1/namespaces/default/configmaps/${name}`,
    { method, headers: { authorization: `Bearer ${token}` } },
  );
  await response.body?.cancel();
  return response.status;
}

Deno.test("after a restore requests of the chain are held, then skipped once, and new ones executed", async () => {
  await using chain = await spawnFakeNode();
  await using old = await makePlace();
  await using fresh = await makePlace();
  await using desk = await makePlace();
  const operator = await makeOperator(desk);
  const config = `${desk.cwd}/config.jsonc`;
  const grant = {
    address: TENANT,
    namespaces: ["default"],
    verbs: ["create"],
    resources: ["configmaps"],
  };
  await Deno.writeTextFile(config, JSON.stringify({ grants: [grant] }));
  const { cap_id: cap } = await chain.control("master_cap", { owner: "0x1" });
  const env = {
    NAUTILUS_CONFIG: config,
    NAUTILUS_RECOVERY_KEYS: `${operator.keys}/recovery.pub`,
    CONTRACT_ADDRESS: chain.packageId,
    SUI_RPC_ENDPOINT: chain.url,
    NAUTILUS_SUI_REGISTRY: chain.registryId,
    NAUTILUS_SUI_MASTER_CAP: String(cap),
  };
  const schedule = (name: string) =>
    chain.control("schedule", {
      requester: TENANT,
      request_id: name,
      method: "POST",
      resource: "configmaps",
      namespace: "default",
      name,
      payload: JSON.stringify({
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name, namespace: "default" },
      }),
    });
  const backup = `${desk.cwd}/store.backup`;
  {
    await using master = await startMaster(old, [], env);
    await schedule("before");
    await until(200, () => configMap(old, master, "before"));
    await done(runBinary(old, ["store", "backup", "--out", backup]));
    await schedule("after");
    await until(200, () => configMap(old, master, "after"));
    // What the tenant asked for was done, and undone: done again it would be wrong.
    assertEquals(await configMap(old, master, "after", "DELETE"), 200);
    await master.end("SIGKILL");
  }
  await restore(fresh, operator, backup, 0);
  {
    await using held = await startMaster(fresh, [], env);
    assertStringIncludes(held.output(), "requests of the chain are held");
    await until("blocked", async () => (await health(held))["sui_events"]);
    assertStringIncludes(String((await health(held))["sui_events_detail"]), "--replay-events=skip");
    assertEquals((await health(held))["result_write_back"], "held");
    assertEquals(await configMap(fresh, held, "after"), 404);
    assertEquals((await held.end("SIGTERM")).code, 0);
  }
  const nonsense = await done(runBinary(fresh, ["serve", "--replay-events", "maybe"], env), 2);
  assertStringIncludes(nonsense.stderr, "skip or apply is wanted");
  {
    await using skipping = await startMaster(fresh, ["--replay-events=skip"], env);
    await until("connected", async () => (await health(skipping))["sui_events"]);
    await schedule("new");
    await until(200, () => configMap(fresh, skipping, "new"));
    assertEquals(await configMap(fresh, skipping, "after"), 404);
    assertEquals(await configMap(fresh, skipping, "before"), 200);
    assertEquals((await skipping.end("SIGTERM")).code, 0);
  }
  const otherwise = await done(runBinary(fresh, ["serve", "--replay-events=apply"], env), 2);
  assertStringIncludes(otherwise.stderr, "it was decided already: skip");
  await using again = await startMaster(fresh, ["--replay-events=skip"], env);
  await schedule("newest");
  await until(200, () => configMap(fresh, again, "newest"));
  assert(!again.output().includes("are held"));
});
