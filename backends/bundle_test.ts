import { assertEquals, assertThrows } from "@std/assert";
import { type BundleChange, makeNode, NODE } from "../tests/pki/node.ts";
import { makeCertificate, makeKey } from "../tests/pki/pki.ts";
import { SNP_NOW } from "../tests/pki/snp.ts";
import type { AttestationResult } from "./appraisal.ts";
import { appraiseBundle, type BundleInput, parseBundle } from "./bundle.ts";
import { BackendError, type Bytes } from "./mod.ts";
import { policyFromJson } from "./policy/mod.ts";
import { createWebCryptoVerifier } from "./signatures.ts";
import { createEvidenceVerifier, vendorRoots } from "./verification.ts";

const signatures = createWebCryptoVerifier();
const NONCE = new Uint8Array(32).fill(9);

async function world() {
  const node = await makeNode();
  const evidence = createEvidenceVerifier({
    signatures,
    roots: { ...vendorRoots(), amd: node.roots },
  });
  async function appraise(
    nonce: Bytes | undefined,
    change: BundleChange = {},
    input: Partial<BundleInput> = {},
    policy: Record<string, unknown> = {},
  ): Promise<AttestationResult> {
    const text = JSON.stringify(await node.answer(nonce, change));
    return await appraiseBundle({
      bundle: parseBundle(text),
      nonce,
      peerTlsSpki: node.tlsKey.spki,
      endorsements: [],
      policy: policyFromJson({
        version: 1,
        id: "test",
        node: policy,
        sevSnp: { measurements: ["11".repeat(48)], minimumTcb: "any", crl: "if_given" },
      }),
      now: SNP_NOW,
      ...input,
    }, { signatures, evidence });
  }
  return { node, appraise };
}

const found = (result: AttestationResult): string[] =>
  result.checks.filter(({ status, waived }) =>
    status === "fail" || (status === "missing" && waived !== true)
  )
    .map(({ id, code }) => `${id}:${code}`);

Deno.test("appraiseBundle() affirms a node that answers the nonce over its own TLS key", async () => {
  const { appraise } = await world();
  const result = await appraise(NONCE);
  assertEquals([result.tier, ...found(result)], ["affirming"]);
  assertEquals(result.expiresAt, SNP_NOW + 300_000);
  assertEquals(result.teeType, "SEV");
});

Deno.test("appraiseBundle() without a nonce affirms only by the policy's leave, and by age", async () => {
  const { appraise } = await world();
  const refused = await appraise(undefined);
  assertEquals([refused.tier, ...found(refused)], ["warning", "nonce:nonceless"]);
  const leave = { allowNonceless: true, maxAgeSeconds: 60 };
  assertEquals(found(await appraise(undefined, {}, {}, leave)), []);
  const at = SNP_NOW / 1000;
  assertEquals(found(await appraise(undefined, { timestamp: at - 60 }, {}, leave)), []);
  assertEquals(found(await appraise(undefined, { timestamp: at - 61 }, {}, leave)), [
    "statement_age:too_old",
  ]);
  assertEquals(found(await appraise(undefined, { timestamp: at + 61 }, {}, leave)), [
    "statement_age:from_the_future",
  ]);
  // An answer to somebody else's nonce is no better than one to none.
  assertEquals(found(await appraise(NONCE, {}, { nonce: undefined })), ["nonce:nonceless"]);
});

Deno.test("appraiseBundle() refuses every thing that does not fit together", async () => {
  const { appraise } = await world();
  const other = (await makeNode()).tlsKey;
  const strange = await makeKey("P-256");
  const certificate = await makeCertificate({
    subject: "x",
    issuer: "x",
    key: strange,
    issuerKey: strange,
    notBefore: SNP_NOW,
    notAfter: SNP_NOW,
  });
  const flip = (text: unknown) => {
    const bytes = Uint8Array.fromBase64(String(text));
    bytes[0] = (bytes[0] ?? 0) ^ 1;
    return bytes.toBase64();
  };
  const both = (name: string, value: unknown): BundleChange => ({
    statement: (statement) => statement[name] = value,
    bundle: (bundle) => bundle[name] = value,
  });
  const tries: readonly [BundleChange, ...string[]][] = [
    ...["tee_type", "security_level", "covers", "measurement", "timestamp", "enclave_id"].map((
      name,
    ): [BundleChange, string] => [
      {
        bundle: (bundle) =>
          bundle[name] = name === "tee_type"
            ? "TDX"
            : name === "covers"
            ? "program"
            : name === "security_level"
            ? 3
            : name === "timestamp"
            ? SNP_NOW / 1000 - 1
            : name === "enclave_id"
            ? "00".repeat(16)
            : "22".repeat(48),
      },
      "outer_fields:outer_mismatch",
    ]),
    [
      { bundle: (bundle) => bundle["signature"] = flip(bundle["signature"]) },
      "identity_signature:bad_identity_signature",
    ],
    [
      { statement: (statement) => statement["config_digest"] = "05".repeat(32) },
      "report_data:report_data_mismatch",
    ],
    [
      { statement: (statement) => statement["store_id"] = "05".repeat(16) },
      "report_data:report_data_mismatch",
    ],
    [
      { statement: (statement) => statement["incarnation"] = "05".repeat(16) },
      "report_data:report_data_mismatch",
    ],
    [
      { statement: (statement) => statement["nonce"] = "05".repeat(32) },
      "nonce:nonce_mismatch",
      "report_data:report_data_mismatch",
    ],
    [
      { statement: (statement) => statement["nonce"] = null },
      "nonce:nonce_missing",
      "report_data:report_data_mismatch",
    ],
    [
      { statement: (statement) => statement["tls_key"] = other.spki.toBase64() },
      "tls_certificate:tls_key_mismatch",
      "tls_peer:tls_peer_mismatch",
      "report_data:report_data_mismatch",
    ],
    [{ certificate }, "tls_certificate:tls_key_mismatch"],
    [{ certificate: new Uint8Array(0) }, "tls_certificate:certificate_missing"],
    [{ certificate: Uint8Array.of(1, 2, 3) }, "tls_certificate:malformed"],
    [{ reportData: new Uint8Array(64) }, "report_data:report_data_mismatch"],
    [both("measurement", "22".repeat(48)), "stated_measurement:measurement_mismatch"],
    [both("covers", "program"), "covers:covers_impossible"],
    [both("security_level", 3), "security_level:wrong_security_level"],
    [both("timestamp", SNP_NOW / 1000 - 301), "statement_age:too_old"],
    [{
      bundle: (bundle) =>
        bundle["evidence"] = { ...Object(bundle["evidence"]), media_type: "text/plain" },
    }, "media_type:wrong_media_type"],
  ];
  for (const [change, ...wanted] of tries) {
    assertEquals(found(await appraise(NONCE, change)), wanted, wanted.join());
  }
  assertEquals(found(await appraise(NONCE, {}, { peerTlsSpki: other.spki })), [
    "tls_peer:tls_peer_mismatch",
  ]);
  assertEquals(found(await appraise(NONCE, {}, { nonce: NONCE.slice(1) })), [
    "nonce:nonce_mismatch",
  ]);
  assertEquals(found(await appraise(NONCE, {}, { peerTlsSpki: undefined })), []);
});

Deno.test("appraiseBundle() keeps to the node section of the policy", async () => {
  const { appraise } = await world();
  const hex = (byte: number, length: number) => byte.toString(16).padStart(2, "0").repeat(length);
  const tries: readonly [Record<string, unknown>, ...string[]][] = [
    [{ covers: ["program"] }, "covers:covers_refused"],
    [{ configDigests: [hex(9, 32)] }, "config_digest:unknown_config_digest"],
    [{ storeIds: [hex(9, 16)] }, "store_id:unknown_store_id"],
    [{ incarnations: [hex(9, 16)] }, "incarnation:unknown_incarnation"],
    [{ enclaveIds: [hex(9, 16)] }, "enclave_id:unknown_enclave_id"],
    [{ configDigests: [NODE.configDigest.toHex()], storeIds: [NODE.storeId.toHex()] }],
  ];
  for (const [policy, ...wanted] of tries) {
    assertEquals(found(await appraise(NONCE, {}, {}, policy)), wanted);
  }
});

Deno.test("appraiseBundle() refuses a TEE that the policy has no section for", async () => {
  const { appraise } = await world();
  const result = await appraise(NONCE, {}, { policy: policyFromJson({ version: 1, id: "none" }) });
  assertEquals(found(result), [
    "stated_measurement:measurement_mismatch",
    "policy:tee_not_in_policy",
  ]);
});

Deno.test("parseBundle() decodes strictly, naming the field", async () => {
  const { node } = await world();
  const good = await node.answer(NONCE);
  const refuse = (change: Record<string, unknown>, field: string) =>
    assertThrows(() => parseBundle(JSON.stringify({ ...good, ...change })), BackendError, field);
  refuse({ more: 1 }, "more");
  refuse({ tee_type: "SGX2" }, "tee_type");
  refuse({ security_level: 4 }, "security_level");
  refuse({ signed: "%%%" }, "signed");
  refuse({ signed: btoa("{}") }, "signed");
  refuse({ signed: btoa("\xff") }, "UTF-8");
  refuse({ evidence: { ...good.evidence, data: "x" } }, "evidence.data");
  refuse({
    evidence: {
      ...good.evidence,
      endorsements: Array.from({ length: 65 }, () => ({ type: "a", data: "" })),
    },
  }, "endorsements");
  refuse({ measurement: "AB" }, "measurement");
  refuse({ timestamp: 1.5 }, "timestamp");
  assertThrows(() => parseBundle("{"), BackendError, "JSON");
  assertThrows(() => parseBundle(" ".repeat(5 << 20)), BackendError, "larger");
});
