import { assert, assertEquals } from "@std/assert";
import { ADMIN_TOKEN, testApi } from "../../tests/fakes/api.ts";
import { createRecoveryKeyPair, scanBackup } from "../../store/mod.ts";

const PATH = "/api/v1/admin/backup";

async function refusal(response: Response): Promise<{ status: number; code: unknown }> {
  const body: unknown = await response.json();
  const code = typeof body === "object" && body !== null && "code" in body ? body.code : undefined;
  return { status: response.status, code };
}

Deno.test("POST /api/v1/admin/backup gives the admin a whole backup and notes begin and end", async () => {
  await using api = await testApi();
  const { store, audit } = api.deps;
  await store.addRecoveryKey((await createRecoveryKeyPair()).publicKey);
  const response = await api.admin("POST", PATH);
  assertEquals(response.status, 200);
  assertEquals(response.headers.get("content-type"), "application/octet-stream");
  assert(/^\d+$/.test(response.headers.get("x-nautilus-store-bytes") ?? ""));
  const bytes = await response.bytes();
  let at = 0;
  const { header, trailer } = await scanBackup({
    read(into) {
      const piece = bytes.subarray(at, at + into.length);
      into.set(piece);
      at += piece.length;
      return Promise.resolve(piece.length === 0 ? null : piece.length);
    },
  });
  assertEquals(header.storeId, store.storeId);
  const { records } = await audit.read("acts", 0, 10);
  assertEquals(records.map(({ action, status }) => [action, status]), [
    ["store.backup", null],
    ["outcome", 200],
  ]);
  assert(records[1]!.detail.startsWith(`sequence ${trailer.sequence}, etcd revision 1, `));
});

Deno.test("POST /api/v1/admin/backup refuses strangers, a store without a recovery key, and a second one", async () => {
  await using api = await testApi();
  assertEquals(await refusal(await api.app.request(PATH, { method: "POST" })), {
    status: 401,
    code: "unauthorized",
  });
  assertEquals(await refusal(await api.admin("POST", PATH)), {
    status: 409,
    code: "no_recovery_key",
  });
  await api.deps.store.addRecoveryKey((await createRecoveryKeyPair()).publicKey);
  const headers = { Authorization: `Bearer ${ADMIN_TOKEN}` };
  const first = await api.app.request(PATH, { method: "POST", headers });
  const reader = first.body!.getReader();
  await reader.read();
  assertEquals(await refusal(await api.admin("POST", PATH)), {
    status: 409,
    code: "backup_running",
  });
  // The client goes away: noted as incomplete, and the next one may come.
  await reader.cancel();
  const again = await api.admin("POST", PATH);
  assertEquals(again.status, 200);
  await again.body?.cancel();
  const { records } = await api.deps.audit.read("acts", 0, 10);
  assertEquals(records[1]?.detail, "it was not complete");
});
