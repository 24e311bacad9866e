/** Azure's runtime claims, bound by report data. */
import { sha256 } from "@noble/hashes/sha2.js";
import { assert, assertEquals } from "@std/assert";
import { appraiseIntel, findings } from "../../tests/pki/intel_appraise.ts";
import { makePlatform, TEST_NOW } from "../../tests/pki/intel_platform.ts";
import { intelVectorsOrSkip } from "../../tests/vectors/intel.ts";
import type { Bytes } from "../mod.ts";
import { bindsClaims, parseHclReport } from "../azure_hcl.ts";

const encode = (text: string): Bytes => new TextEncoder().encode(text);

interface HclSpec {
  readonly reportType?: number;
  readonly claims?: string;
}

const USER_DATA = "ab".repeat(64);
const CLAIMS = `{"keys":[],"user-data":"${USER_DATA.toUpperCase()}"}`;

function hcl({ reportType = 4, claims = CLAIMS }: HclSpec = {}): Bytes {
  const text = encode(claims);
  const out = new Uint8Array(32 + 1184 + 20 + text.length + 64);
  out.set(encode("HCLA"));
  const view = new DataView(out.buffer);
  const words: Readonly<Record<number, number>> = {
    4: 2,
    8: 1216 + 20 + text.length,
    12: 2,
    1216: 20 + text.length,
    1220: 1,
    1224: reportType,
    1228: 1,
    1232: text.length,
  };
  for (const [offset, value] of Object.entries(words)) view.setUint32(Number(offset), value, true);
  out.set(text, 1236);
  return out;
}

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
  Deno.test(`bindsClaims() holds for real evidence: ${vector.name}`, async () => {
    const { quote, files, endorsements, now } = vector;
    const bytes = files.get("hcl_report.bin");
    assert(quote !== undefined && bytes !== undefined);
    const report = parseHclReport(bytes);
    assert(bindsClaims(quote.subarray(48 + 520, 48 + 584), report));
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
