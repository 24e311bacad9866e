import { assert, assertEquals, assertMatch } from "@std/assert";
import { ADMIN_TOKEN, testApi } from "../../tests/fakes/api.ts";
import { AuditRecord, verifyAuditChain } from "./mod.ts";
import * as v from "valibot";

const PAGE = v.object({ records: v.array(AuditRecord), newest: v.number(), head: v.string() });

async function page(response: Response) {
  assertEquals(response.status, 200);
  return v.parse(PAGE, await response.json());
}

async function quiet(response: Promise<Response>): Promise<number> {
  const { status, body } = await response;
  await body?.cancel();
  return status;
}

Deno.test("GET /api/v1/audit shows the admin what the admin did, in a chain", async () => {
  await using api = await testApi();
  const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: "team" } };
  assertEquals(await quiet(api.admin("POST", "/api/v1/namespaces", namespace)), 201);
  assertEquals(await quiet(api.admin("POST", "/api/v1/namespaces", namespace)), 409);
  assertEquals(await quiet(api.admin("GET", "/api/v1/namespaces")), 200);
  assertEquals(await quiet(api.admin("GET", "/api/v1/namespaces/team/secrets")), 200);
  const { records, head } = await page(await api.admin("GET", "/api/v1/audit"));
  assertEquals(records.map(({ action, request, status }) => [action, request, status]), [
    ["kubernetes.post", "POST /api/v1/namespaces", null],
    ["kubernetes.post", "POST /api/v1/namespaces", null],
    ["outcome", "POST /api/v1/namespaces", 409],
    ["kubernetes.get", "GET /api/v1/namespaces/team/secrets", null],
  ]);
  assertEquals(verifyAuditChain(records), { intact: true, head });
  assert(!JSON.stringify(records).includes(ADMIN_TOKEN));
  const after = await page(await api.admin("GET", "/api/v1/audit?after=3&limit=1"));
  assertEquals(after.records.map(({ sequence }) => sequence), [4]);
});

Deno.test("GET /api/v1/audit?chain=refusals shows who was refused, tokens as HMACs only", async () => {
  await using api = await testApi();
  const headers = { Authorization: "Bearer guess-guess-guess" };
  assertEquals(await quiet(Promise.resolve(api.app.request("/api/v1/pods", { headers }))), 401);
  assertEquals(await quiet(Promise.resolve(api.app.request("/api/v1/pods"))), 401);
  await api.deps.audit.settled();
  const { records } = await page(await api.admin("GET", "/api/v1/audit?chain=refusals"));
  assertEquals(records.map(({ request, status }) => [request, status]), [
    ["GET /api/v1/pods", 401],
    ["GET /api/v1/pods", 401],
  ]);
  assertMatch(records[0]?.credential ?? "", /^[0-9a-f]{32}$/);
  assertEquals(records[1]?.credential, null);
  assert(!JSON.stringify(records).includes("guess"));
});

Deno.test("GET /api/v1/audit is the admin's alone and checks its parameters", async () => {
  await using api = await testApi();
  const anonymous = await api.app.request("/api/v1/audit");
  assertEquals(anonymous.status, 401);
  await anonymous.body?.cancel();
  for (
    const query of ["chain=x", "after=-1", "after=x", "limit=0", "limit=1001", "after=1&after=2"]
  ) {
    assertEquals(await quiet(api.admin("GET", `/api/v1/audit?${query}`)), 400, query);
  }
});

Deno.test("an admin act that cannot be written down is not done", async () => {
  await using api = await testApi();
  const failing = {
    ...api.deps.audit,
    act: () => Promise.reject(new Error("the disk is full")),
  };
  await using refused = await testApi({ deps: { audit: failing } });
  const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: "team" } };
  assertEquals(await quiet(refused.admin("POST", "/api/v1/namespaces", namespace)), 500);
  assertEquals(await quiet(refused.admin("GET", "/api/v1/namespaces/team")), 404);
});
