import { assertEquals, assertStringIncludes } from "@std/assert";
import { policyFromJson } from "../../backends/policy/mod.ts";
import { createWebCryptoVerifier } from "../../backends/signatures.ts";
import { createEvidenceVerifier } from "../../backends/verification.ts";
import type { VerifyServiceDeps } from "../../backends/verify_request.ts";
import { testApi } from "../../tests/fakes/api.ts";

function verifier(): VerifyServiceDeps {
  const signatures = createWebCryptoVerifier();
  const policy = policyFromJson({
    version: 1,
    id: "lab",
    sevSnp: { measurements: "any", minimumTcb: "any" },
  });
  return {
    policies: new Map([[policy.id, policy]]),
    evidence: createEvidenceVerifier({ signatures }),
    signatures,
    clock: () => Date.UTC(2026, 10, 22),
    verifierName: "nautilus test",
  };
}

const evidence = { tee_type: "SEV", data: new Uint8Array(1184).toBase64() };

Deno.test("POST /api/v1/verify answers a refusal as a result when the evidence is no good", async () => {
  await using api = await testApi({ deps: { verifier: verifier() } });
  const response = await api.post("/api/v1/verify", { evidence });
  assertEquals(response.status, 200);
  const result = JSON.stringify(await response.json());
  assertStringIncludes(result, "contraindicated");
  assertStringIncludes(result, "lab");
});

Deno.test("POST /api/v1/verify names the field when the request cannot be judged", async () => {
  await using api = await testApi({ deps: { verifier: verifier() } });
  const cases: [unknown, string][] = [
    [{ evidence, policy: "other" }, "policy"],
    [{ evidence: { ...evidence, tee_type: "ACME" } }, "evidence.tee_type"],
    [{ evidence, surplus: 1 }, "surplus"],
  ];
  for (const [body, field] of cases) {
    const response = await api.post("/api/v1/verify", body);
    const problem: Record<string, unknown> = await response.json();
    assertEquals([response.status, problem["field"]], [400, field], JSON.stringify(problem));
  }
});

Deno.test("POST /api/v1/verify is 503 when the operator has no policies", async () => {
  await using api = await testApi();
  const response = await api.post("/api/v1/verify", { evidence });
  const problem: Record<string, unknown> = await response.json();
  assertEquals([response.status, problem["code"]], [503, "verification_not_configured"]);
});
