import { assertEquals } from "@std/assert";
import { ADMIN_TOKEN, testApi } from "../../tests/fakes/api.ts";

const KEYS = "/api/v1/admin/keys";
const ADMIN = { Authorization: `Bearer ${ADMIN_TOKEN}` };

Deno.test("GET /api/v1/admin/keys shows ids, states and uses to the admin alone", async () => {
  await using api = await testApi({});
  const refused = await api.app.request(KEYS);
  assertEquals([refused.status, (await refused.json()).code], [401, "unauthorized"]);
  const answer = await api.app.request(KEYS, { headers: ADMIN });
  assertEquals(answer.status, 200);
  const { store_id, data_keys, rotation, record_key } = await answer.json();
  assertEquals(store_id, api.store.storeId.toHex());
  assertEquals(data_keys.map(({ id, state }: { id: number; state: string }) => [id, state]), [
    [1, "active"],
  ]);
  assertEquals(rotation.phase, "idle");
  assertEquals(record_key.limit, 2 ** 31);
});

Deno.test("POST /api/v1/admin/keys/rotate begins a rotation for the admin, and notes it", async () => {
  await using api = await testApi({});
  const refused = await api.app.request(`${KEYS}/rotate`, { method: "POST" });
  assertEquals([refused.status, (await refused.json()).code], [401, "unauthorized"]);
  assertEquals(api.store.keyStatus().deks.length, 1);
  const answer = await api.app.request(`${KEYS}/rotate`, { method: "POST", headers: ADMIN });
  assertEquals(answer.status, 202);
  assertEquals((await answer.json()).active_key, 2);
  await api.store.rotationFinished();
  assertEquals(api.store.keyStatus().deks.map(({ id, state }) => [id, state]), [[2, "active"]]);
  const audit = await api.app.request("/api/v1/audit", { headers: ADMIN });
  const { records } = await audit.json();
  const acts = records.map(({ action, detail }: { action: string; detail: string }) => [
    action,
    detail,
  ]);
  assertEquals(acts.at(-1), ["keys.rotate", "begins a rotation"]);
});

Deno.test("POST /api/v1/admin/keys/reseal says what a TEE cannot do, and what is no measurement", async () => {
  await using api = await testApi({});
  const reseal = async (body: unknown, headers: Record<string, string> = ADMIN) => {
    const answer = await api.app.request(`${KEYS}/reseal`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return [answer.status, (await answer.json()).code];
  };
  const measurement = "02".repeat(48);
  assertEquals(await reseal({ measurement }, {}), [401, "unauthorized"]);
  // The sealer of these tests makes keys for its own measurement only, as SGX and SEV-SNP do.
  assertEquals(await reseal({ measurement }), [409, "successor_unsupported"]);
  assertEquals((await reseal({ measurement: "02" }))[0], 400);
  assertEquals((await reseal({}))[0], 400);
  const withdrawn = await api.app.request(`${KEYS}/withdraw`, { method: "POST", headers: ADMIN });
  assertEquals([withdrawn.status, (await withdrawn.json()).code], [409, "no_successor"]);
});
