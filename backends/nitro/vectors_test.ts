import { assert, assertEquals } from "@std/assert";
import { testVectors } from "../../tests/vectors/mod.ts";
import type { AppraisalInput, AttestationResult } from "../appraisal.ts";
import { EVIDENCE_MEDIA_TYPE } from "../attestation.ts";
import type { Bytes } from "../mod.ts";
import { policyFromJson, sectionOf } from "../policy/mod.ts";
import type { NitroSection } from "../policy/nitro.ts";
import { createWebCryptoVerifier } from "../signatures.ts";
import { X509Cache } from "../x509/mod.ts";
import { createNitroVerifier } from "./appraise.ts";
import { awsRoot } from "./verify.ts";

const verifier = createNitroVerifier({
  signatures: createWebCryptoVerifier(),
  cache: new X509Cache(),
  root: awsRoot(),
});

async function appraise(
  data: Bytes,
  now: number,
  expect: Partial<AppraisalInput<NitroSection>> = {},
  leave: Record<string, unknown> = {},
): Promise<AttestationResult> {
  const policy = sectionOf(
    policyFromJson({
      version: 1,
      id: "vectors",
      nitro: { pcrs: "any", reportData: "any", ...leave },
    }),
    "nitro",
  );
  assert(policy !== undefined);
  return await verifier.appraise({
    evidence: { mediaType: EVIDENCE_MEDIA_TYPE.NITRO, data, endorsements: [] },
    endorsements: [],
    expectedReportData: new Uint8Array(0),
    policy,
    now,
    ...expect,
  });
}

const failures = (result: AttestationResult) =>
  result.checks.filter(({ status }) => status === "fail").map(({ id, code }) => `${id}:${code}`);

testVectors(
  "nitro",
  "Nitro documents are judged as their manifests say",
  async ({ manifest, validAt, read }) => {
    const { verdict, expected } = manifest;
    const result = await appraise(read("document.cbor"), validAt);
    if (verdict.crypto !== "valid") assertEquals(failures(result), ["signature:bad_signature"]);
    else if (verdict.default_policy === "accept") {
      assertEquals(
        [result.tier, ...failures(result)],
        ["affirming"],
      );
    } else assertEquals(failures(result), ["debug:debug_enabled"]);
    assertEquals(result.claims["module_id"], expected["module_id"]);
    assertEquals(result.claims["pcrs"], expected["pcrs"]);
    for (const name of ["public_key", "user_data", "nonce", "digest"]) {
      assertEquals(result.claims[name], expected[name], name);
    }
    assertEquals(result.claims["timestamp"], Date.parse(String(expected["timestamp"])));
  },
);

testVectors(
  "nitro",
  "Nitro chains outside their dates, and old documents, are refused",
  async ({ manifest, read }) => {
    const [from, to] = (manifest.chain_validity ?? []).map((text) => Date.parse(text));
    assert(from !== undefined && to !== undefined);
    const data = read("document.cbor");
    assert(failures(await appraise(data, from - 1000)).includes("certificate_chain:not_yet_valid"));
    assert(failures(await appraise(data, to + 1000)).includes("certificate_chain:expired"));
    assert(failures(await appraise(data, to)).includes("age:too_old"));
    assert(
      failures(await appraise(data, from, {}, { clockSkewSeconds: 0 })).includes(
        "age:from_the_future",
      ),
    );
  },
  ({ manifest }) => manifest.verdict.crypto === "valid",
);

const STEP = Deno.env.get("NAUTILUS_NIGHTLY") === undefined ? 61 : 1;

testVectors("nitro", "every byte of a Nitro document counts", async ({ validAt, read }) => {
  const data = read("document.cbor");
  for (let offset = 0; offset < data.length; offset += STEP) {
    const flipped = data.slice();
    flipped[offset] = (flipped[offset] ?? 0) ^ 1;
    assert((await appraise(flipped, validAt)).tier !== "affirming", `byte ${offset} is free`);
  }
}, ({ manifest }) => manifest.verdict.default_policy === "accept");

/** Where CBOR headers stand: each of them one less, one more, and at its extremes. */
testVectors("nitro", "every length of a Nitro document counts", async ({ validAt, read }) => {
  const data = read("document.cbor");
  const headers = [0, 1, 6, 7, 8, 9, 10, data.length - 98, data.length - 97];
  for (let offset = 11; offset < 220; offset++) headers.push(offset);
  for (const offset of headers) {
    const was = data[offset] ?? 0;
    for (
      const value of new Set([
        (was + 255) % 256,
        (was + 1) % 256,
        0,
        0xff,
        0x7f,
        0x80,
        0x5b,
        0x9b,
        0xbb,
      ])
    ) {
      if (value === was) continue;
      const changed = data.slice();
      changed[offset] = value;
      assert((await appraise(changed, validAt)).tier !== "affirming", `byte ${offset} as ${value}`);
    }
  }
}, ({ name }) => name === "2025-dstack");
