/**
 * DCAP facts against the part of the policy that SGX and TDX share. Identifiers and codes are
 * documented in docs/VERIFYING-INTEL.md.
 */
import type { CheckList } from "../appraisal.ts";
import { accepts } from "../policy/schema.ts";
import type { SgxSection } from "../policy/dcap.ts";
import { iso } from "../x509/mod.ts";
import type { DcapCollateral } from "./collateral.ts";
import type { DcapChain } from "./context.ts";
import { SGX_FLAG } from "./enclave_report.ts";
import type { DcapQuote } from "./quote.ts";
import { type DcapFacts, type DocumentFacts, expectedQeId } from "./verify.ts";

export type DcapSection = Pick<
  SgxSection,
  | "tcbStatuses"
  | "acceptedAdvisories"
  | "collateral"
  | "crl"
  | "minimumTcbEvaluationDataNumber"
  | "maxCollateralAgeSeconds"
  | "fmspcs"
>;

/** MRSIGNER of Intel's quoting enclaves: what stands in when no QE identity was given. */
const INTEL_QE_SIGNERS: Readonly<Record<"SGX" | "TDX", string>> = {
  SGX: "8c4f5775d796503e96137f77c68a829a0056ac8ded70140b081b094490c57bff",
  TDX: "dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5",
};

const ALGORITHM = "ECDSA P-256, SHA-256";

/** Fills in every check that does not depend on what runs inside. */
export function appraiseDcap(
  list: CheckList,
  quote: DcapQuote,
  facts: DcapFacts,
  collateral: DcapCollateral,
  policy: DcapSection,
  now: number,
): void {
  checkPckChain(list, facts);
  checkRevocation(list, facts, policy.crl === "require");
  if (facts.pck?.chain.leaf === undefined) {
    const text = "there is no PCK certificate to verify the quoting enclave's report with";
    list.fail("qe_report_signature", "no_chain", text);
  } else {
    list.expect(
      facts.qeReportSignature,
      "qe_report_signature",
      "bad_signature",
      "the PCK did not sign the quoting enclave's report",
      ALGORITHM,
    );
  }
  list.expect(
    facts.keyBinding,
    "qe_key_binding",
    "key_not_bound",
    "the quoting enclave's report does not vouch for the attestation key",
    quote.attestationKey.subarray(0, 16).toHex(),
  );
  list.expect(
    facts.quoteSignature,
    "quote_signature",
    "bad_signature",
    "the attestation key did not sign this quote",
    ALGORITHM,
  );
  checkQe(list, quote, facts);
  const demanded = policy.collateral === "require";
  checkDocument(list, "qe_identity", facts.qeIdentity, policy, now, demanded);
  checkDocument(list, "tcb_info", facts.tcbInfo, policy, now, demanded);
  checkPlatform(list, quote, facts, policy);
  checkModule(list, quote, facts, demanded);
  checkTcb(list, facts, policy, demanded);
  checkUnusable(list, collateral);
}

/**
 * What was given and cannot be used. It fails the appraisal where something is missing, for which it
 * may have been meant; where all that is needed is there, leaving it out would change nothing.
 */
function checkUnusable(list: CheckList, { malformed, unsigned }: DcapCollateral): void {
  const id = "collateral";
  const incomplete = list.checks.some(({ status }) => status === "missing");
  for (const { source, text } of malformed) {
    const what = `${source}: ${text}`;
    if (incomplete) list.fail(id, "malformed", what);
    else list.notApplicable(id, "malformed", `not needed, and cannot be read: ${what}`);
  }
  if (unsigned.length > 0) {
    const what = `without its signature and so not looked at: ${unsigned.join(", ")}`;
    list.notApplicable(id, "unsigned", what);
  }
}

function checkPckChain(list: CheckList, facts: DcapFacts): void {
  const id = "pck_chain";
  if (facts.pck === undefined) {
    const { code, text } = facts.pckProblem ?? { code: "pck_missing", text: "no PCK certificate" };
    if (code === "pck_missing") list.missing(id, code, text, true);
    else list.fail(id, code, text);
    return;
  }
  const { chain, extension, extensionProblem, source } = facts.pck;
  for (const { code, text } of chain.problems) list.fail(id, code, text);
  if (extension === undefined) list.fail(id, "bad_extension", extensionProblem ?? "no extension");
  if (chain.problems.length === 0 && extension !== undefined) {
    list.pass(id, `${chain.leaf?.issuerName ?? ""} (from the ${source})`);
  }
}

/** One check for each list: the PCK CA's is about the leaf, the root's about what stands above. */
function checkRevocation(list: CheckList, facts: DcapFacts, demanded: boolean): void {
  const chains = [
    { chain: facts.pck?.chain, own: 0 },
    { chain: facts.tcbInfo?.chain, own: -1 },
    { chain: facts.qeIdentity?.chain, own: -1 },
  ];
  for (const id of ["pck_crl", "root_crl"] as const) {
    const about = (own: number, index: number) => (index === own) === (id === "pck_crl");
    const seen = new Set<string>();
    let failed = false;
    for (const { chain, own } of chains) {
      for (const { code, text, index } of [...chain?.revoked ?? [], ...chain?.revocation ?? []]) {
        if (!about(own, index) || seen.has(`${code} ${text}`)) continue;
        seen.add(`${code} ${text}`);
        failed = true;
        if (code === "crl_missing") list.missing(id, code, text, demanded);
        else list.fail(id, code, text);
      }
    }
    if (failed) continue;
    if (facts.pck === undefined) {
      list.notApplicable(id, "no_chain", "there is no PCK chain to look at");
    } else list.pass(id, listsUsed(facts, id));
  }
}

/** Whose lists were looked at. */
function listsUsed(facts: DcapFacts, id: "pck_crl" | "root_crl"): string {
  const used = [facts.pck?.chain, facts.tcbInfo?.chain, facts.qeIdentity?.chain]
    .flatMap((chain) => chain?.crlsUsed ?? []);
  const ofRoot = (name: string) => name.includes("Root CA");
  return [...new Set(used.filter((name) => ofRoot(name) === (id === "root_crl")))].join(", ");
}

/** The quoting enclave itself: never a debug enclave, and Intel's even when no identity was given. */
function checkQe(list: CheckList, quote: DcapQuote, facts: DcapFacts): void {
  const id = "qe_report";
  const { flags, mrSigner, isvSvn } = quote.qeReport;
  const before = facts.qeMismatches ?? [];
  if ((flags & SGX_FLAG.DEBUG) !== 0n) {
    list.fail(id, "qe_debug", "the quoting enclave is a debug enclave");
  }
  for (const field of before) {
    list.fail(id, "qe_mismatch", `the quoting enclave's ${field} is not that of the QE identity`);
  }
  if (facts.qeMismatches === undefined && mrSigner.toHex() !== INTEL_QE_SIGNERS[quote.tee]) {
    list.fail(id, "qe_mismatch", "the quoting enclave is not signed by Intel", mrSigner.toHex());
  }
  if (!list.failed(id)) list.pass(id, `${mrSigner.toHex()}, SVN ${isvSvn}`);
}

function checkDocument(
  list: CheckList,
  id: "tcb_info" | "qe_identity",
  facts:
    | DocumentFacts<{
      readonly issueDate: number;
      readonly nextUpdate: number;
      readonly tcbEvaluationDataNumber: number;
    }>
    | undefined,
  policy: DcapSection,
  now: number,
  demanded: boolean,
): void {
  const name = id === "tcb_info" ? "TCB info" : "QE identity";
  if (facts === undefined) {
    list.missing(id, "collateral_missing", `no ${name} with Intel's signature was given`, demanded);
    return;
  }
  const { issueDate, nextUpdate, tcbEvaluationDataNumber } = facts.document.value;
  const { source } = facts.document;
  const fail = (code: string, text: string) => list.fail(id, code, `${source}: ${text}`);
  for (const { code, text } of facts.chain.problems) fail(code, text);
  if (!facts.signature) fail("bad_signature", `Intel did not sign this ${name}`);
  if (now < issueDate) fail("not_yet_valid", `issued ${iso(issueDate)}, after ${iso(now)}`);
  if (now >= nextUpdate) fail("expired", `the next one was due ${iso(nextUpdate)}`);
  const { maxCollateralAgeSeconds: maxAge, minimumTcbEvaluationDataNumber: minimum } = policy;
  if (maxAge !== "any" && now - issueDate > maxAge * 1000) {
    fail("too_old", `issued ${iso(issueDate)}, more than ${maxAge} s before ${iso(now)}`);
  }
  if (tcbEvaluationDataNumber < minimum) {
    fail("tcb_evaluation_data_number", `${tcbEvaluationDataNumber} is below ${minimum}`);
  }
  if (!list.failed(id)) {
    list.pass(
      id,
      `${iso(issueDate)} to ${iso(nextUpdate)}, number ${tcbEvaluationDataNumber}` +
        (facts.chainSource === "built-in" ? ", chain not given, built-in used" : ""),
    );
  }
}

/** FMSPC and PCE id of the platform: the ones TCB info is for, and ones the policy wants. */
function checkPlatform(
  list: CheckList,
  quote: DcapQuote,
  facts: DcapFacts,
  policy: DcapSection,
): void {
  const id = "platform";
  const extension = facts.pck?.extension;
  if (extension === undefined) {
    list.notApplicable(id, "no_chain", "there is no PCK certificate that names the platform");
    return;
  }
  const fmspc = extension.fmspc.toHex();
  const pceId = extension.pceId.toHex();
  const info = facts.tcbInfo?.document.value;
  if (info !== undefined) {
    if (info.id !== quote.tee) {
      list.fail(id, "tee_mismatch", `TCB info is for ${info.id}, the quote is of ${quote.tee}`);
    }
    if (info.fmspc.toHex() !== fmspc) {
      const text = `TCB info is for FMSPC ${info.fmspc.toHex()}, the platform's is ${fmspc}`;
      list.fail(id, "fmspc_mismatch", text, fmspc);
    }
    if (info.pceId.toHex() !== pceId) {
      const text = `TCB info is for PCE id ${info.pceId.toHex()}, the platform's is ${pceId}`;
      list.fail(id, "pceid_mismatch", text, pceId);
    }
  }
  if (!accepts(policy.fmspcs, fmspc)) {
    list.fail(id, "fmspc_not_accepted", "the policy does not accept this FMSPC", fmspc);
  }
  if (!list.failed(id)) list.pass(id, `FMSPC ${fmspc}, PCE id ${pceId}`);
}

function checkModule(
  list: CheckList,
  quote: DcapQuote,
  facts: DcapFacts,
  demanded: boolean,
): void {
  const id = "tdx_module";
  if (quote.tee !== "TDX") return;
  for (const field of facts.moduleMismatches ?? []) {
    list.fail(id, "module_mismatch", `the TDX module is not one that Intel vouches for: ${field}`);
  }
  if (facts.tcbInfo === undefined) {
    const text = "without TCB info the TDX module cannot be recognised";
    list.missing(id, "collateral_missing", text, demanded);
    return;
  }
  const module = facts.tcb?.module;
  if (module?.kind === "unmatched") {
    list.fail(id, "module_unmatched", `${module.id}: its SVN is below every level`);
  } else if (module?.kind === "matched" && module.level.status === "Revoked") {
    list.fail(id, "module_revoked", `${module.id}: revoked at SVN ${module.level.isvSvn}`);
  }
  if (!list.failed(id)) {
    list.pass(id, module?.kind === "matched" ? `${module.id} ${module.level.status}` : "TDX 1.0");
  }
}

function checkTcb(
  list: CheckList,
  facts: DcapFacts,
  policy: DcapSection,
  demanded: boolean,
): void {
  const { tcb } = facts;
  if (tcb === undefined && facts.tcbInfo !== undefined) {
    const text = "the collateral cannot be relied on, or is not for this platform";
    list.fail("tcb_status", "tcb_not_judged", text);
    return;
  }
  if (tcb === undefined) {
    const text = "without TCB info for it the platform's TCB cannot be judged";
    list.missing("tcb_status", "collateral_missing", text, demanded);
    return;
  }
  const { status, advisoryIds } = tcb;
  if (status === "Revoked" || status === "NoMatch") {
    list.fail(
      "tcb_status",
      status === "Revoked" ? "tcb_revoked" : "tcb_no_match",
      status === "Revoked"
        ? "this TCB is revoked"
        : "the TCB is below every level that Intel lists, or its parts are unknown",
      status,
    );
  } else {
    list.expect(
      policy.tcbStatuses.includes(status),
      "tcb_status",
      "tcb_status_not_accepted",
      `the policy accepts ${policy.tcbStatuses.join(", ")}`,
      status,
    );
  }
  const refused = advisoryIds.filter((advisory) => !accepts(policy.acceptedAdvisories, advisory));
  list.expect(
    refused.length === 0,
    "advisories",
    "advisory_not_accepted",
    `the policy does not accept ${refused.join(", ")}`,
    advisoryIds.length === 0 ? "none" : advisoryIds.join(", "),
  );
}

/** When the first thing relied on runs out, in milliseconds since the epoch. */
export function dcapExpiry(facts: DcapFacts): number | undefined {
  const chains: readonly (DcapChain | undefined)[] = [
    facts.pck?.chain,
    facts.tcbInfo?.chain,
    facts.qeIdentity?.chain,
  ];
  const times = [
    ...chains.map((chain) => chain?.expiresAt),
    facts.tcbInfo?.document.value.nextUpdate,
    facts.qeIdentity?.document.value.nextUpdate,
  ].filter((time) => time !== undefined && Number.isFinite(time));
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

/** What the quote and the collateral say about the platform, by field name. */
export function dcapClaims(
  quote: DcapQuote,
  facts: DcapFacts,
): Readonly<Record<string, unknown>> {
  const { header } = quote;
  const pck = facts.pck?.extension;
  const { tcb } = facts;
  return {
    quote_version: header.version,
    body_type: quote.bodyType,
    trailing_bytes: quote.trailingLength,
    qe_vendor: header.qeVendorId.toHex(),
    user_data: header.userData.toHex(),
    certification_data_type: quote.certificationData.type,
    qe: {
      expected_identity: expectedQeId(quote.tee),
      mr_enclave: quote.qeReport.mrEnclave.toHex(),
      mr_signer: quote.qeReport.mrSigner.toHex(),
      isv_prod_id: quote.qeReport.isvProdId,
      isv_svn: quote.qeReport.isvSvn,
      status: tcb?.qeStatus ?? null,
    },
    pck: pck === undefined ? null : {
      ppid: pck.ppid.toHex(),
      fmspc: pck.fmspc.toHex(),
      pce_id: pck.pceId.toHex(),
      pce_svn: pck.pceSvn,
      cpu_svn: pck.cpuSvn.toHex(),
      tcb_components: pck.tcbComponents,
      sgx_type: pck.sgxType,
      platform_instance_id: pck.platformInstanceId?.toHex() ?? null,
      dynamic_platform: pck.dynamicPlatform ?? null,
      cached_keys: pck.cachedKeys ?? null,
      smt_enabled: pck.smtEnabled ?? null,
      serial: facts.pck?.chain.leaf?.serial ?? null,
    },
    tcb: tcb === undefined ? null : {
      status: tcb.status,
      platform_status: (quote.tee === "TDX" ? tcb.tdxLevel : tcb.sgxLevel)?.status ?? null,
      module: tcb.module.kind === "none" ? null : tcb.module.id,
      module_status: tcb.module.kind === "matched" ? tcb.module.level.status : null,
      tcb_date: tcb.tcbDate === undefined ? null : iso(tcb.tcbDate),
      advisories: tcb.advisoryIds,
      evaluation_data_number: facts.tcbInfo?.document.value.tcbEvaluationDataNumber ?? null,
    },
  };
}
