import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { attestationResult, CheckList } from "../../backends/appraisal.ts";
import { BackendError, type Bytes, type TeeBackend, type TeeType } from "../../backends/mod.ts";
import { createWebCryptoVerifier } from "../../backends/signatures.ts";
import { createEvidenceVerifier, type EvidenceInput } from "../../backends/verification.ts";
import { appraiseSelf } from "./self_appraisal.ts";

function backend(kind: TeeType, attests: boolean): TeeBackend {
  return {
    kind,
    securityLevel: 2,
    covers: "image",
    measurement: () => Promise.resolve(new Uint8Array(48)),
    sealer: undefined,
    counter: undefined,
    attester: attests
      ? {
        attest: (data) => Promise.resolve({ mediaType: "x", data: data.slice(), endorsements: [] }),
      }
      : undefined,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

const random = (length: number): Bytes => new Uint8Array(length).fill(7);
const now = () => 1_790_000_000_000;

Deno.test("appraiseSelf() asks for evidence over fresh report data and takes an affirming result", async () => {
  const seen: EvidenceInput[] = [];
  const verifier = {
    appraise(input: EvidenceInput) {
      seen.push(input);
      const list = new CheckList();
      list.pass("signature");
      return Promise.resolve(attestationResult(input, {
        teeType: "SEV",
        claims: {},
        checks: list.checks,
        expiresAt: undefined,
      }));
    },
  };
  const result = await appraiseSelf(backend("SEV", true), {
    verifier,
    random,
    now,
    teeKey: undefined,
  });
  assertEquals(result.tier, "affirming");
  assertEquals(seen[0]?.expectedReportData?.toHex(), "07".repeat(64));
  assertEquals(seen[0]?.evidence.data.toHex(), "07".repeat(64));
});

Deno.test("appraiseSelf() refuses evidence that does not lead to the vendor's root", async () => {
  const verifier = createEvidenceVerifier({ signatures: createWebCryptoVerifier() });
  for (const kind of ["SEV", "SGX", "TDX", "NITRO"] as const) {
    const error = await assertRejects(
      () => appraiseSelf(backend(kind, true), { verifier, random, now, teeKey: undefined }),
      BackendError,
    );
    assertEquals(error.code, "not_genuine");
    assertStringIncludes(error.message, `this ${kind} does not prove real hardware`);
  }
});

Deno.test("appraiseSelf() refuses a TEE without evidence or without a vendor's root", async () => {
  const verifier = createEvidenceVerifier({ signatures: createWebCryptoVerifier() });
  for (const tee of [backend("SEV", false), backend("TrustZone", true)]) {
    const error = await assertRejects(
      () => appraiseSelf(tee, { verifier, random, now, teeKey: undefined }),
      BackendError,
    );
    assertEquals(error.code, "unavailable");
  }
});
