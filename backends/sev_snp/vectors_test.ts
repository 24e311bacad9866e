import { assert, assertEquals } from "@std/assert";
import { testVectors, type VectorCase, vectorCases } from "../../tests/vectors/mod.ts";
import type { AttestationResult } from "../appraisal.ts";
import { EVIDENCE_MEDIA_TYPE } from "../attestation.ts";
import type { Bytes, Endorsement } from "../mod.ts";
import { policyFromJson, sectionOf } from "../policy/mod.ts";
import { createWebCryptoVerifier } from "../signatures.ts";
import { X509Cache } from "../x509/mod.ts";
import { createSevSnpVerifier } from "./appraise.ts";
import { amdRoots } from "./roots.ts";

const verifier = createSevSnpVerifier({
  signatures: createWebCryptoVerifier(),
  cache: new X509Cache(),
  roots: amdRoots(),
});

function endorsementsOf(vector: VectorCase): Endorsement[] {
  const out: Endorsement[] = [];
  for (const kind of ["vcek", "vlek"]) {
    if (vector.files.includes(`${kind}.der`)) {
      out.push({ type: kind, data: vector.read(`${kind}.der`) });
    }
  }
  out.push({ type: "certificates", data: vector.read("chain.pem") });
  return out;
}

async function appraise(
  vector: VectorCase,
  data: Bytes,
  leave: Record<string, unknown> = {},
): Promise<AttestationResult> {
  const policy = sectionOf(
    policyFromJson({
      version: 1,
      id: "vectors",
      sevSnp: {
        measurements: "any",
        minimumTcb: "any",
        crl: "if_given",
        reportData: "any",
        ...leave,
      },
    }),
    "sevSnp",
  );
  assert(policy !== undefined);
  return await verifier.appraise({
    evidence: { mediaType: EVIDENCE_MEDIA_TYPE.SEV, data, endorsements: [] },
    endorsements: endorsementsOf(vector),
    expectedReportData: new Uint8Array(0),
    policy,
    now: vector.validAt,
  });
}

const failures = (result: AttestationResult) =>
  result.checks.filter(({ status }) => status === "fail").map(({ id, code }) => `${id}:${code}`);

const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null
    ? Object.entries(value).find(([key]) => key === name)?.[1]
    : undefined;

/** What the default policy leaves to say about a genuine report. */
const REFUSALS: Readonly<Record<string, readonly string[]>> = {
  "milan-v2-aws-vlek": ["vmpl:vmpl_refused"],
  "milan-v2-vcek-debugpolicy": ["debug:debug_enabled"],
  // Its current microcode is ahead of the committed one, which the manifest's policy does not look at.
  "milan-v2-azure-hcl": ["firmware_committed:provisional_firmware"],
};

testVectors("sev-snp", "SNP evidence is judged as its manifest says", async (vector) => {
  const result = await appraise(vector, vector.read("report.bin"));
  if (vector.manifest.verdict.crypto === "valid") {
    assertEquals(failures(result), REFUSALS[vector.name] ?? []);
    assertEquals(result.tier, failures(result).length === 0 ? "affirming" : "contraindicated");
  } else {
    assertEquals(result.tier, "contraindicated");
    assert(failures(result).includes("signature:bad_signature"), failures(result).join());
  }
  const reasons = vector.manifest.verdict.reasons.join();
  if (reasons.includes("leaf_signed_by_intermediate")) {
    assert(failures(result).includes("certificate_chain:bad_signature"));
  }
  if (reasons.includes("tcb_matches")) {
    assert(failures(result).includes("tcb_certificate:tcb_mismatch"));
  }
  if (reasons.includes("hwid_matches")) {
    assert(failures(result).includes("chip_id:chip_id_mismatch"));
  }
});

testVectors("sev-snp", "SNP claims are the manifest's", async (vector) => {
  const { claims } = await appraise(vector, vector.read("report.bin"));
  const expected = vector.manifest.expected["report"];
  assert(typeof expected === "object" && expected !== null);
  for (
    const name of [
      "version",
      "guest_svn",
      "policy",
      "policy_debug",
      "policy_migrate_ma",
      "policy_smt",
      "policy_single_socket",
      "policy_cxl",
      "policy_memaes256xts",
      "policy_rapl_dis",
      "policy_ciphertext_hiding",
      "family_id",
      "image_id",
      "vmpl",
      "sig_algo",
      "platform_info",
      "report_data",
      "measurement",
      "host_data",
      "id_key_digest",
      "author_key_digest",
      "report_id",
      "report_id_ma",
      "chip_id",
      "current_fw",
      "committed_fw",
      "launch_mit_vector",
      "current_mit_vector",
    ]
  ) assertEquals(claims[name], field(expected, name), name);
  for (const name of ["current_tcb", "reported_tcb", "committed_tcb", "launch_tcb"]) {
    const { rsv: _reserved, ...tcb } = field(expected, name) as Record<string, unknown>;
    assertEquals(claims[name], tcb, name);
  }
  const cpuid = field(expected, "cpuid");
  assertEquals(field(claims["cpuid"], "family"), field(cpuid, "fam") ?? undefined);
  assertEquals(field(claims["cpuid"], "model"), field(cpuid, "mod") ?? undefined);
  assertEquals(claims["signing_key"], field(field(expected, "key_info"), "signing_key"));
  assertEquals(claims["leaf_sha256"], vector.manifest.expected["leaf_sha256"]);
  assertEquals(
    claims["leaf_product_name"],
    field(vector.manifest.expected["leaf_extensions"], "productName"),
  );
  assertEquals(claims["csp_id"], field(vector.manifest.expected["leaf_extensions"], "cspID"));
});

testVectors("sev-snp", "Azure HCL evidence binds its runtime claims", async (vector) => {
  const hcl = vector.read("hcl_report.bin");
  const result = await appraise(vector, hcl, { allowProvisionalFirmware: true });
  assertEquals(result.tier, "affirming", failures(result).join());
  assertEquals(result.checks.find(({ id }) => id === "azure_hcl")?.status, "pass");
  assertEquals(
    JSON.parse(String(result.claims["azure_runtime_claims"]))["vm-configuration"],
    field(vector.manifest.expected["azure_hcl"], "vm_configuration"),
  );
  for (let offset = 0; offset < hcl.length; offset += 7) {
    const flipped = hcl.slice();
    flipped[offset] = (flipped[offset] ?? 0) ^ 0x10;
    const { tier } = await appraise(vector, flipped, { allowProvisionalFirmware: true });
    assert(tier !== "affirming", `byte ${offset} of the HCL report is free`);
  }
}, (vector) => vector.files.includes("hcl_report.bin"));

testVectors("sev-snp", "SNP leaf outside its dates is refused", async (vector) => {
  const [from, to] = vector.manifest.chain_validity ?? [];
  assert(from !== undefined && to !== undefined);
  for (
    const [now, code] of [[Date.parse(from) - 1000, "not_yet_valid"], [
      Date.parse(to) + 1000,
      "expired",
    ]] as const
  ) {
    const result = await appraise({ ...vector, validAt: now }, vector.read("report.bin"));
    assert(failures(result).includes(`certificate_chain:${code}`), failures(result).join());
  }
}, (vector) => vector.manifest.verdict.crypto === "valid");

const STEP = Deno.env.get("NAUTILUS_NIGHTLY") === undefined ? 13 : 1;

testVectors("sev-snp", "every byte of an SNP report counts", async (vector) => {
  const report = vector.read("report.bin");
  const leave = { allowProvisionalFirmware: true, allowDebug: true, vmpl: [0, 1, 2, 3] };
  assertEquals((await appraise(vector, report, leave)).tier, "affirming");
  for (let offset = 0; offset < report.length; offset += STEP) {
    const flipped = report.slice();
    flipped[offset] = (flipped[offset] ?? 0) ^ 1;
    const result = await appraise(vector, flipped, leave);
    assertEquals(result.tier, "contraindicated", `byte 0x${offset.toString(16)} is free`);
    if (offset < 0x2a0) {
      assert(
        failures(result).some((code) =>
          /^(signature|signer|leaf|product|report_version)/.test(code)
        ),
      );
    }
  }
}, (vector) => vector.manifest.verdict.crypto === "valid");

testVectors(
  "sev-snp",
  "an SNP report under another chip's certificate is refused",
  async (vector) => {
    const other = vectorCases("sev-snp")?.find(({ name, manifest, files }) =>
      manifest.verdict.crypto === "valid" && files.includes("vcek.der") && name !== vector.name
    );
    assert(other !== undefined);
    const swapped: VectorCase = {
      ...vector,
      files: ["vcek.der"],
      read: (file) => file === "vcek.der" ? other.read("vcek.der") : vector.read(file),
    };
    const result = await appraise(swapped, vector.read("report.bin"));
    assertEquals(result.tier, "contraindicated");
    const codes = failures(result);
    assert(codes.some((code) => /^(signature|chip_id|product|leaf)/.test(code)), codes.join());
  },
  (vector) => vector.manifest.verdict.crypto === "valid",
);

testVectors("sev-snp", "SNP evidence under other roots is refused", async (vector) => {
  const { Milan, Turin } = amdRoots();
  const line =
    String(vector.manifest.expected["leaf_extensions"] === undefined ? "" : vector.name).startsWith(
        "turin",
      )
      ? Milan
      : Turin;
  const strange = createSevSnpVerifier({
    signatures: createWebCryptoVerifier(),
    cache: new X509Cache(),
    roots: { Milan: line, Genoa: line, Turin: line },
  });
  const policy = sectionOf(
    policyFromJson({
      version: 1,
      id: "x",
      sevSnp: { measurements: "any", minimumTcb: "any", crl: "if_given", reportData: "any" },
    }),
    "sevSnp",
  );
  assert(policy !== undefined);
  const result = await strange.appraise({
    evidence: { mediaType: "", data: vector.read("report.bin"), endorsements: [] },
    endorsements: endorsementsOf(vector).slice(0, 1),
    expectedReportData: new Uint8Array(0),
    policy,
    now: vector.validAt,
  });
  assert(failures(result).includes("certificate_chain:wrong_issuer"), failures(result).join());
  assert(failures(result).includes("certificate_chain:bad_signature"), failures(result).join());
}, (vector) => vector.manifest.verdict.crypto === "valid");
