/** A genuine SNP report against a policy: the verifier of tee_type SEV. */
import {
  type AppraisalInput,
  type AttestationResult,
  attestationResult,
  CheckList,
  checkReportData,
  type Verifier,
} from "../appraisal.ts";
import {
  bindsClaims,
  HCL_MAGIC,
  type HclReport,
  looksLikeHcl,
  parseHclReport,
} from "../azure_hcl.ts";
import { BackendError } from "../mod.ts";
import { accepts } from "../policy/schema.ts";
import type { SevSnpSection, TcbByProduct } from "../policy/sev_snp.ts";
import {
  firmwareString,
  parseReport,
  type SnpReport,
  splitExtendedReport,
  tcbBelow,
  tcbString,
  tcbVersion,
} from "./abi.ts";
import { readEndorsements } from "./endorsements.ts";
import { snpClaims } from "./claims.ts";
import { checkGuest } from "./guest.ts";
import { policyNames, type Product } from "./roots.ts";
import { type SevSnpDeps, verifyReport } from "./verify.ts";

/** The verifier of SEV-SNP: a report, an extended report, or an HCL report of Azure. */
export function createSevSnpVerifier(deps: SevSnpDeps): Verifier<SevSnpSection> {
  return { kind: "SEV", appraise: (input) => appraise(input, deps) };
}

async function appraise(
  input: AppraisalInput<SevSnpSection>,
  deps: SevSnpDeps,
): Promise<AttestationResult> {
  const list = new CheckList();
  const { evidence, policy: { section }, now } = input;
  let report: SnpReport;
  let hcl: HclReport | undefined;
  let endorsements;
  try {
    hcl = looksLikeHcl(evidence.data) ? parseHclReport(evidence.data) : undefined;
    if (hcl !== undefined && hcl.hardware !== "snp") {
      throw new BackendError("malformed", "the HCL report holds no SNP report", { kind: "SEV" });
    }
    const split = hcl === undefined
      ? splitExtendedReport(evidence.data)
      : { report: hcl.hardwareReport, certificates: [] };
    report = parseReport(split.report);
    list.pass(
      "format",
      `SNP report version ${report.version}${hcl === undefined ? "" : ` inside ${HCL_NAME}`}`,
    );
    endorsements = readEndorsements(split.certificates, [
      ...evidence.endorsements,
      ...input.endorsements,
    ], deps.cache);
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    list.fail(list.has("format") ? "certificates" : "format", "malformed", error.message);
    return attestationResult(input, {
      teeType: "SEV",
      claims: {},
      checks: list.checks,
      expiresAt: undefined,
    });
  }
  const verified = await verifyReport({ report, endorsements, section, now }, list, deps);
  if (verified.product !== undefined) {
    checkProductAndTcb(report, verified.product, section, list);
  }
  if (verified.claims?.cspId !== undefined) {
    const cspId = verified.claims.cspId;
    list.expect(
      accepts(section.cspIds, cspId),
      "csp_id",
      "csp_id_refused",
      "the policy does not accept this cloud's key",
      cspId,
    );
  } else if (section.cspIds !== "any") {
    list.notApplicable("csp_id", "vcek", "only a VLEK names a cloud");
  }
  checkGuest(report, section, list);
  checkBinding(report, hcl, input, list);
  return attestationResult(input, {
    teeType: "SEV",
    claims: snpClaims(report, verified, hcl),
    checks: list.checks,
    expiresAt: verified.expiresAt,
  });
}

const HCL_NAME = `an Azure HCL report (${new TextDecoder().decode(Uint8Array.fromHex(HCL_MAGIC))})`;

function checkProductAndTcb(
  report: SnpReport,
  product: Product,
  section: SevSnpSection,
  list: CheckList,
): void {
  const names = policyNames(product);
  if (!names.some((name) => section.products.includes(name))) {
    list.fail(
      "product",
      "product_refused",
      "the policy does not accept this product",
      product.name,
    );
  }
  const [reported, current, committed, launch] = [
    report.reportedTcb,
    report.currentTcb,
    report.committedTcb,
    report.launchTcb,
  ].map((raw) => tcbVersion(raw, product.layout));
  if (
    reported === undefined || current === undefined || committed === undefined ||
    launch === undefined
  ) return;
  if (![reported, current, committed, launch].every(({ reservedClear }) => reservedClear)) {
    list.fail("reserved", "reserved_not_zero", "reserved bytes of a TCB version are not zero");
  }
  const above = [...tcbBelow(current, reported), ...tcbBelow(current, committed)];
  list.expect(
    above.length === 0,
    "tcb_order",
    "tcb_above_current",
    `reported or committed versions are above the current ones (${above.join(", ")})`,
    tcbString(current),
  );
  const firmware = `${firmwareString(report.currentFirmware)}, ${tcbString(current)}`;
  const provisional = tcbBelow(committed, current).length > 0 ||
    tcbBelow(current, committed).length > 0 ||
    firmwareString(report.currentFirmware) !== firmwareString(report.committedFirmware);
  if (provisional && section.allowProvisionalFirmware) {
    list.pass("firmware_committed", `provisional, allowed by the policy: ${firmware}`);
  } else {
    list.expect(
      !provisional,
      "firmware_committed",
      "provisional_firmware",
      `what runs is not committed and can be rolled back to ${
        firmwareString(report.committedFirmware)
      }, ${tcbString(committed)}`,
      firmware,
    );
  }
  checkMinimum("tcb_minimum", reported, names, section.minimumTcb, list);
  const launchMinimum = section.minimumLaunchTcb === "same"
    ? section.minimumTcb
    : section.minimumLaunchTcb;
  checkMinimum("launch_tcb_minimum", launch, names, launchMinimum, list);
}

function checkMinimum(
  id: string,
  tcb: ReturnType<typeof tcbVersion>,
  names: ReturnType<typeof policyNames>,
  minimum: "any" | TcbByProduct,
  list: CheckList,
): void {
  if (minimum === "any") {
    list.notApplicable(id, "not_demanded", "the policy sets no minimum");
    return;
  }
  const minima = names.flatMap((name) => minimum[name] ?? []);
  if (minima.length === 0) {
    list.fail(id, "no_minimum", `the policy has no minimum for ${names.join("/")}`, tcbString(tcb));
    return;
  }
  const below = [...new Set(minima.flatMap((wanted) => tcbBelow(tcb, wanted)))];
  list.expect(
    below.length === 0,
    id,
    "tcb_too_low",
    `below the policy's minimum: ${below.join(", ")}`,
    tcbString(tcb),
  );
}

/** Behind Azure's paravisor, what a caller asks for stands in the claims that report_data binds. */
function checkBinding(
  report: SnpReport,
  hcl: HclReport | undefined,
  input: AppraisalInput<SevSnpSection>,
  list: CheckList,
): void {
  const demand = input.policy.section.reportData;
  if (hcl === undefined) {
    checkReportData(list, report.reportData, input, demand);
    return;
  }
  const bound = bindsClaims(report.reportData, hcl);
  list.expect(
    bound,
    "azure_hcl",
    "claims_not_bound",
    "report_data is not the digest of the runtime claims",
    `${hcl.hash} ${hcl.claimsDigest.toHex()}`,
  );
  const direct = input.expectedReportData.toHex() === report.reportData.toHex();
  checkReportData(
    list,
    !direct && bound && hcl.userData !== undefined ? hcl.userData : report.reportData,
    input,
    demand,
  );
}
