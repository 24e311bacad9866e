/** Azure's runtime claims, bound by report data. */
import { sha256 } from "@noble/hashes/sha2.js";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { appraiseIntel, findings } from "../../tests/pki/intel_appraise.ts";
import { makePlatform, TEST_NOW } from "../../tests/pki/intel_platform.ts";
import { intelVectorsOrSkip } from "../../tests/vectors/intel.ts";
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";
import { bindsRuntimeClaims, decodeHclReport, looksLikeHclReport } from "./azure_hcl.ts";

const encode = (text: string): Bytes => new TextEncoder().encode(text);

interface HclSpec {
  readonly reportType?: number;
  readonly hashType?: number;
  readonly dataSize?: number;
  readonly claims?: string;
}

const USER_DATA = "ab".repeat(64);
const CLAIMS = `{"keys":[],"user-data":"${USER_DATA.toUpperCase()}"}`;

function hcl({ reportType = 4, hashType = 1, dataSize, claims = CLAIMS }: HclSpec = {}): Bytes {
  const text = encode(claims);
  const out = new Uint8Array(32 + 1184 + 20 + text.length + 64);
  out.set(encode("HCLA"));
  const view = new DataView(out.buffer);
  view.setUint32(1216, dataSize ?? 20 + text.length, true);
  view.setUint32(1224, reportType, true);
  view.setUint32(1228, hashType, true);
  view.setUint32(1232, text.length, true);
  out.set(text, 1236);
  return out;
}

Deno.test("decodeHclReport() reads the runtime claims and refuses other kinds", () => {
  assert(looksLikeHclReport(hcl()));
  const report = decodeHclReport(hcl());
  assertEquals(report.userData?.toHex(), USER_DATA);
  assertEquals(report.claims["keys"], []);
  assertEquals(decodeHclReport(hcl({ claims: "{}" })).userData, undefined);
  const bad: readonly Bytes[] = [
    hcl({ reportType: 2 }),
    hcl({ hashType: 9 }),
    hcl({ dataSize: 5 }),
    hcl({ claims: "[]" }),
    hcl({ claims: "{" }),
    hcl({ claims: '{"user-data":"00"}' }),
    hcl().slice(0, 1240),
    encode("HCLA"),
    encode("HCLB").slice(),
    new Uint8Array((64 << 10) + 1),
  ];
  for (const input of bad) {
    assertEquals(assertThrows(() => decodeHclReport(input), BackendError).code, "malformed");
  }
});

Deno.test("appraise() takes the caller's data from bound claims, and refuses unbound ones", async () => {
  const tdx = { tee: "TDX", quoteVersion: 4, bodyType: 2 } as const;
  const digest = sha256(encode(CLAIMS)).toHex();
  const body = { 520: digest + "00".repeat(32) };
  const { quote, endorsements, pki } = await makePlatform({ ...tdx, body });
  const appraise = (report: Bytes | undefined, expected: string) =>
    appraiseIntel({
      ...tdx,
      quote,
      endorsements: report === undefined
        ? endorsements
        : [...endorsements, { type: "hcl", data: report }],
      now: TEST_NOW,
      root: pki.root,
      expectedReportData: Uint8Array.fromHex(expected),
      policy: { azureHcl: report === undefined ? "if_given" : "require" },
    });
  const good = await appraise(hcl(), USER_DATA);
  assertEquals(findings(good), []);
  assertEquals(good.tier, "affirming");
  assertEquals(findings(await appraise(hcl(), "cd".repeat(64))), [
    "report_data/report_data_mismatch",
  ]);
  assertEquals(findings(await appraise(undefined, USER_DATA)), [
    "report_data/report_data_mismatch",
  ]);
  const forged = hcl({ claims: CLAIMS.replace('"keys":[]', '"keys":[1]') });
  assertEquals(findings(await appraise(forged, USER_DATA)), [
    "azure_hcl/claims_not_bound",
    "report_data/report_data_mismatch",
  ]);
  assertEquals(findings(await appraise(hcl({ reportType: 2 }), body[520])), [
    "azure_hcl/malformed",
  ]);
});

for (
  const vector of intelVectorsOrSkip("Azure TDX").filter(({ name }) => name.endsWith("azure-hcl"))
) {
  Deno.test(`bindsRuntimeClaims() holds for real evidence: ${vector.name}`, async () => {
    const { quote, files, endorsements, now } = vector;
    const bytes = files.get("hcl_report.bin");
    assert(quote !== undefined && bytes !== undefined);
    const report = decodeHclReport(bytes);
    assert(bindsRuntimeClaims(report, quote.subarray(48 + 520, 48 + 584)));
    const policy = {
      azureHcl: "require",
      collateral: "if_given",
      crl: "if_given",
      requireSeptVeDisable: false,
    };
    const result = await appraiseIntel({ tee: "TDX", quote, endorsements, now, policy });
    assertEquals(findings(result), []);
    const altered = endorsements.map(({ type, data }) => {
      if (type !== "hcl_report.bin") return { type, data };
      const out = data.slice();
      out[1300] = (out[1300] ?? 0) ^ 1;
      return { type, data: out };
    });
    const refused = await appraiseIntel({ tee: "TDX", quote, endorsements: altered, now, policy });
    assertEquals(refused.tier, "contraindicated");
  });
}
