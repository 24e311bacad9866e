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
import { PLATFORM_INFO_BITS, type SevSnpSection, type TcbByProduct } from "../policy/sev_snp.ts";
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

function checkGuest(report: SnpReport, section: SevSnpSection, list: CheckList): void {
  const { policy } = report;
  const allowed = (id: string, set: boolean, allow: boolean, code: string, text: string) => {
    if (set && allow) list.pass(id, "set, allowed by the policy");
    else list.expect(!set, id, code, text, set ? "set" : "clear");
  };
  const demanded = (id: string, set: boolean, demand: boolean, code: string, text: string) => {
    if (demand) list.expect(set, id, code, text, set ? "set" : "clear");
  };
  list.expect(
    accepts(section.measurements, report.measurement.toHex()),
    "measurement",
    "unknown_measurement",
    "the policy does not list this launch measurement",
    report.measurement.toHex(),
  );
  allowed(
    "debug",
    policy.debug,
    section.allowDebug,
    "debug_enabled",
    "the host may debug this guest (policy bit 19)",
  );
  allowed(
    "migration_agent",
    policy.migrationAgent,
    section.allowMigrationAgent,
    "migration_agent",
    "a migration agent may be bound to this guest (policy bit 18)",
  );
  allowed(
    "smt",
    policy.smt,
    section.allowSmt,
    "smt_allowed",
    "the guest may share cores through SMT (policy bit 16)",
  );
  allowed(
    "cxl",
    policy.cxl,
    section.allowCxl,
    "cxl_allowed",
    "CXL memory may be in use (policy bit 21)",
  );
  demanded(
    "single_socket",
    policy.singleSocket,
    section.requireSingleSocket,
    "multi_socket",
    "the guest may run on several sockets",
  );
  demanded(
    "aes_256_xts",
    policy.aes256Xts,
    section.requireAes256Xts,
    "aes_128",
    "memory encryption is not held to AES-256-XTS",
  );
  demanded(
    "rapl",
    policy.raplDisabled,
    section.requireRaplDisabled,
    "rapl_enabled",
    "power readings (RAPL) may be on",
  );
  demanded(
    "ciphertext_hiding",
    policy.ciphertextHiding,
    section.requireCiphertextHiding,
    "ciphertext_visible",
    "ciphertext hiding is not demanded by the guest",
  );
  demanded(
    "page_swap",
    policy.pageSwapDisabled,
    section.requirePageSwapDisabled,
    "page_swap",
    "the host may swap guest pages",
  );
  list.expect(
    section.vmpl.includes(report.vmpl),
    "vmpl",
    "vmpl_refused",
    `the policy accepts VMPL ${section.vmpl.join(", ")}`,
    String(report.vmpl),
  );
  const listed = (
    id: string,
    accepted: "any" | readonly string[],
    value: string,
    code: string,
    text: string,
  ) => {
    if (accepted !== "any") list.expect(accepted.includes(value), id, code, text, value);
  };
  listed(
    "host_data",
    section.hostData,
    report.hostData.toHex(),
    "unknown_host_data",
    "the policy does not list this host data",
  );
  listed(
    "id_key",
    section.idKeyDigests,
    report.idKeyDigest.toHex(),
    "unknown_id_key",
    "the policy does not list this ID key",
  );
  const author = report.authorKeyEnabled ? report.authorKeyDigest.toHex() : "";
  listed(
    "author_key",
    section.authorKeyDigests,
    author,
    "unknown_author_key",
    "the policy does not list this author key, or there is none",
  );
  listed(
    "family_id",
    section.familyIds,
    report.familyId.toHex(),
    "unknown_family_id",
    "the policy does not list this family id",
  );
  listed(
    "image_id",
    section.imageIds,
    report.imageId.toHex(),
    "unknown_image_id",
    "the policy does not list this image id",
  );
  listed(
    "chip",
    section.chipIds,
    report.chipId.toHex(),
    "unknown_chip",
    "the policy does not list this chip",
  );
  if (section.minimumGuestSvn > 0) {
    list.expect(
      report.guestSvn >= section.minimumGuestSvn,
      "guest_svn",
      "guest_svn_too_low",
      `at least ${section.minimumGuestSvn} is wanted`,
      String(report.guestSvn),
    );
  }
  checkPlatform(report, section, list);
}

function checkPlatform(report: SnpReport, section: SevSnpSection, list: CheckList): void {
  const isSet = (name: keyof typeof PLATFORM_INFO_BITS) =>
    ((report.platformInfo >> BigInt(PLATFORM_INFO_BITS[name])) & 1n) === 1n;
  const value = `0x${report.platformInfo.toString(16)}`;
  const missing = section.requiredPlatformInfo.filter((name) => !isSet(name));
  const present = section.forbiddenPlatformInfo.filter(isSet);
  if (section.requiredPlatformInfo.length + section.forbiddenPlatformInfo.length > 0) {
    const text = `wanted: ${missing.join(", ") || "nothing"}; not wanted: ${
      present.join(", ") || "nothing"
    }`;
    list.expect(
      missing.length + present.length === 0,
      "platform_info",
      "platform_refused",
      text,
      value,
    );
  }
  if (section.requiredMitigations === "none") return;
  const wanted = BigInt(section.requiredMitigations);
  const { currentMitigations, launchMitigations } = report;
  if (currentMitigations === undefined || launchMitigations === undefined) {
    list.fail(
      "mitigations",
      "no_mitigation_vector",
      "reports below version 5 carry no mitigation vector",
      String(report.version),
    );
    return;
  }
  list.expect(
    (currentMitigations & launchMitigations & wanted) === wanted,
    "mitigations",
    "mitigations_missing",
    `${section.requiredMitigations} must be set at launch and now`,
    `0x${launchMitigations.toString(16)}, 0x${currentMitigations.toString(16)}`,
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
