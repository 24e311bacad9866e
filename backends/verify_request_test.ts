import { assert, assertEquals } from "@std/assert";
import { makeNode } from "../tests/pki/node.ts";
import { SNP_NOW } from "../tests/pki/snp.ts";
import { policyFromJson } from "./policy/mod.ts";
import { createWebCryptoVerifier } from "./signatures.ts";
import { createEvidenceVerifier, vendorRoots } from "./verification.ts";
import { answerVerifyRequest, type VerifyServiceDeps } from "./verify_request.ts";

const NONCE = new Uint8Array(32).fill(9);

async function world() {
  const node = await makeNode();
  const signatures = createWebCryptoVerifier();
  const policy = (id: string) =>
    policyFromJson({
      version: 1,
      id,
      sevSnp: { measurements: "any", minimumTcb: "any", crl: "if_given" },
    });
  const deps: VerifyServiceDeps = {
    policies: new Map([["a", policy("a")], ["b", policy("b")]]),
    evidence: createEvidenceVerifier({
      signatures,
      roots: { ...vendorRoots(), amd: node.roots },
      cache: "none",
    }),
    signatures,
    clock: () => SNP_NOW,
    verifierName: "test",
  };
  return { node, deps };
}

Deno.test("answerVerifyRequest() judges a bundle by the policy that is named", async () => {
  const { node, deps } = await world();
  const bundle = await node.answer(NONCE);
  const good = await answerVerifyRequest({ policy: "b", bundle, nonce: NONCE.toHex() }, deps);
  assert(good.ok);
  assertEquals([good.result["ear.status"], good.result["ear.appraisal-policy-id"]], [
    "affirming",
    "b",
  ]);
  const refused = await answerVerifyRequest({ policy: "a", bundle, nonce: "00".repeat(32) }, deps);
  assert(refused.ok);
  assertEquals(refused.result["ear.status"], "contraindicated");
});

Deno.test("answerVerifyRequest() judges raw evidence with its endorsements", async () => {
  const { node, deps } = await world();
  const { evidence } = await node.answer(NONCE);
  const reportData = Uint8Array.fromBase64(evidence.data).slice(0x50, 0x90).toHex();
  const body = {
    policy: "a",
    evidence: { tee_type: "SEV", data: evidence.data },
    endorsements: evidence.endorsements,
    report_data: reportData,
  };
  const good = await answerVerifyRequest(body, deps);
  assert(good.ok);
  assertEquals(good.result["ear.status"], "affirming");
  const other = await answerVerifyRequest({
    ...body,
    evidence: { tee_type: "TDX", data: evidence.data },
  }, deps);
  assert(other.ok);
  assertEquals(other.result["ear.status"], "contraindicated");
  const bare = await answerVerifyRequest({ ...body, endorsements: [] }, deps);
  assert(bare.ok);
  assertEquals(bare.result["ear.status"], "warning");
});

Deno.test("answerVerifyRequest() names the field of a request that cannot be judged", async () => {
  const { node, deps } = await world();
  const bundle = await node.answer(NONCE);
  for (
    const [body, field] of [
      [null, ""],
      [{}, ""],
      [{ bundle, evidence: { tee_type: "SEV", data: "" } }, ""],
      [{ bundle, report_data: "00".repeat(64) }, ""],
      [{ bundle, more: 1 }, "more"],
      [{ bundle }, "policy"],
      [{ bundle, policy: "c" }, "policy"],
      [{ bundle: { ...bundle, signed: "%" }, policy: "a" }, "bundle"],
      [{ bundle, policy: "a", nonce: "xy" }, "nonce"],
      [{ evidence: { tee_type: "X", data: "" }, policy: "a" }, "evidence.tee_type"],
      [{ evidence: { tee_type: "SEV", data: "%" }, policy: "a" }, "evidence.data"],
      [{ bundle, policy: "a", endorsements: [{ type: "a" }] }, "endorsements.0.data"],
    ] as const
  ) {
    const answer = await answerVerifyRequest(body, deps);
    assert(!answer.ok);
    assertEquals(answer.field, field, JSON.stringify(answer));
  }
  const alone = { ...deps, policies: new Map([...deps.policies].slice(0, 1)) };
  assert((await answerVerifyRequest({ bundle, nonce: NONCE.toHex() }, alone)).ok);
});
