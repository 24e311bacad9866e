/** SGX quotes against a policy. */
import { type CheckList, checkReportData, type Verifier } from "../appraisal.ts";
import type { DcapContext } from "../dcap/context.ts";
import { SGX_FLAG } from "../dcap/enclave_report.ts";
import { appraiseQuote, type QuoteSubject } from "../dcap/quote_appraisal.ts";
import type { SgxSection } from "../policy/dcap.ts";
import { accepts } from "../policy/schema.ts";
import { type SgxQuote, sgxReportClaims } from "./abi.ts";
import { type SgxVerified, verifySgxQuote } from "./verify.ts";

/** The verifier of tee_type SGX. */
export function createSgxVerifier(context: DcapContext): Verifier<SgxSection> {
  const subject: QuoteSubject<SgxSection, SgxVerified> = {
    kind: "SGX",
    verify: (bytes, collateral, now) => verifySgxQuote(bytes, collateral, context, now),
    describe: ({ quote }) => `SGX quote version ${quote.header.version}`,
    appraise(list, { quote }, input) {
      const { section } = input.policy;
      appraiseEnclave(list, quote, section);
      checkReportData(list, quote.report.reportData, input, section.reportData);
    },
    claims: ({ quote }) => sgxReportClaims(quote),
  };
  return { kind: "SGX", appraise: (input) => appraiseQuote(context, input, subject) };
}

/** The enclave itself: attributes, identity, versions. */
function appraiseEnclave(list: CheckList, { report }: SgxQuote, policy: SgxSection): void {
  const debug = (report.flags & SGX_FLAG.DEBUG) !== 0n;
  list.expect(
    !debug || policy.allowDebug,
    "debug",
    "debug_enclave",
    "DEBUG is set: whoever runs the host can read and change the enclave",
    debug ? "on" : "off",
  );
  list.expect(
    (report.flags & SGX_FLAG.INIT) !== 0n && report.reservedNotZero.length === 0,
    "attributes",
    "reserved_not_zero",
    report.reservedNotZero.length === 0
      ? "INIT is not set"
      : `not zero: ${report.reservedNotZero.join(", ")}`,
    report.attributes.toHex(),
  );
  const one = (id: string, value: string, accepted: "any" | readonly string[]) =>
    list.expect(
      accepts(accepted, value),
      id,
      "not_accepted",
      `the policy does not accept this ${id}`,
      value,
    );
  one("mrenclave", report.mrEnclave.toHex(), policy.mrenclaves);
  one("mrsigner", report.mrSigner.toHex(), policy.mrsigners);
  one("config_id", report.configId.toHex(), policy.configIds);
  list.expect(
    accepts(policy.isvProdIds, report.isvProdId),
    "isv_prod_id",
    "not_accepted",
    "the policy does not accept this ISVPRODID",
    String(report.isvProdId),
  );
  list.expect(
    report.isvSvn >= policy.minimumIsvSvn,
    "isv_svn",
    "isv_svn_too_low",
    `the policy wants ISVSVN ${policy.minimumIsvSvn} or more`,
    String(report.isvSvn),
  );
}
