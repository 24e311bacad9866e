/** TDX quotes against a policy. */
import { type CheckList, checkReportData, type Verifier } from "../appraisal.ts";
import type { DcapContext } from "../dcap/context.ts";
import { appraiseQuote, type QuoteSubject } from "../dcap/quote_appraisal.ts";
import type { Bytes } from "../mod.ts";
import type { TdxSection } from "../policy/dcap.ts";
import { accepts } from "../policy/schema.ts";
import { TD_ATTRIBUTE, tdAttributeNames, tdReportClaims, type TdxQuote } from "./abi.ts";
import { type TdxVerified, verifyTdxQuote } from "./verify.ts";

/** The verifier of tee_type TDX. */
export function createTdxVerifier(context: DcapContext): Verifier<TdxSection> {
  const subject: QuoteSubject<TdxSection, TdxVerified> = {
    kind: "TDX",
    verify: (bytes, collateral, now) => verifyTdxQuote(bytes, collateral, context, now),
    describe: ({ quote }) =>
      `TDX quote version ${quote.header.version}, body type ${quote.bodyType}`,
    appraise(list, verified, input) {
      const { quote } = verified;
      const { section } = input.policy;
      appraiseTd(list, quote, section);
      checkEventLog(list, verified, section);
      const actual = checkAzure(list, verified, section) ?? quote.report.reportData;
      checkReportData(list, actual, input, section.reportData);
    },
    claims: (verified) => ({ ...tdReportClaims(verified.quote.report), ...extras(verified) }),
  };
  return { kind: "TDX", appraise: (input) => appraiseQuote(context, input, subject) };
}

/** The TD itself: attributes, measurements, who owns and serves it. */
function appraiseTd(list: CheckList, { report }: TdxQuote, policy: TdxSection): void {
  const { attributes } = report;
  const debug = (attributes & TD_ATTRIBUTE.DEBUG) !== 0n;
  list.expect(
    !debug || policy.allowDebug,
    "debug",
    "debug_td",
    "DEBUG is set: whoever runs the host can read and change the TD",
    debug ? "on" : "off",
  );
  const septVeDisable = (attributes & TD_ATTRIBUTE.SEPT_VE_DISABLE) !== 0n;
  list.expect(
    septVeDisable || !policy.requireSeptVeDisable,
    "sept_ve_disable",
    "sept_ve_enabled",
    "SEPT_VE_DISABLE is not set: the host can make the TD's memory fault at will",
    septVeDisable ? "on" : "off",
  );
  const allowed: readonly string[] = ["DEBUG", "SEPT_VE_DISABLE", ...policy.tdAttributes];
  const names = tdAttributeNames(attributes);
  const refused = names.filter((name) => !allowed.includes(name));
  list.expect(
    refused.length === 0,
    "attributes",
    "attribute_not_accepted",
    `reserved, or not accepted by the policy: ${refused.join(", ")}`,
    names.join(", "),
  );
  const one = (id: string, value: string | undefined, accepted: "any" | readonly string[]) => {
    if (value === undefined) return;
    list.expect(
      accepts(accepted, value),
      id,
      "not_accepted",
      `the policy does not accept this ${id}`,
      value,
    );
  };
  one("xfam", report.xfam.toHex(), policy.xfams);
  one("mr_seam", report.mrSeam.toHex(), policy.mrSeams);
  one("mrtd", report.mrTd.toHex(), policy.mrtds);
  one("mr_config_id", report.mrConfigId.toHex(), policy.mrConfigIds);
  one("mr_owner", report.mrOwner.toHex(), policy.mrOwners);
  one("mr_owner_config", report.mrOwnerConfig.toHex(), policy.mrOwnerConfigs);
  one("mr_service_td", report.mrServiceTd?.toHex(), policy.mrServiceTds);
  for (const index of [0, 1, 2, 3] as const) {
    const wanted = policy.rtmrs === "any" ? "any" : policy.rtmrs[index] ?? "any";
    one(`rtmr${index}`, report.rtmrs[index].toHex(), wanted);
  }
}

function checkEventLog(list: CheckList, { eventLogs }: TdxVerified, policy: TdxSection): void {
  const id = "event_log";
  if (eventLogs.length === 0) {
    const text = "no event log was given to replay";
    list.missing(id, "event_log_missing", text, policy.eventLog === "require");
  }
  for (const { source, problem, mismatches, eventCount } of eventLogs) {
    if (problem !== undefined) list.fail(id, "malformed", `${source}: ${problem}`);
    else {
      list.expect(
        mismatches.length === 0,
        id,
        "event_log_mismatch",
        `${source} does not replay to ${mismatches.map((index) => `RTMR${index}`).join(", ")}`,
        `${eventCount} events`,
      );
    }
  }
}

/** @returns the 64 bytes of the user that the claims carry in place of report data, if so. */
function checkAzure(
  list: CheckList,
  { hclReports }: TdxVerified,
  policy: TdxSection,
): Uint8Array | undefined {
  const id = "azure_hcl";
  if (hclReports.length === 0) {
    if (policy.azureHcl === "require") {
      list.missing(id, "hcl_report_missing", "no HCL report was given", true);
    }
    return undefined;
  }
  let userData: Uint8Array | undefined;
  for (const { source, problem, bound, report } of hclReports) {
    if (problem !== undefined) list.fail(id, "malformed", `${source}: ${problem}`);
    else if (!bound) {
      const text = `${source}: report data is not the digest of these runtime claims`;
      list.fail(id, "claims_not_bound", text);
    } else {
      list.pass(id, "report data binds the runtime claims");
      userData ??= report?.userData;
    }
  }
  return userData;
}

function extras({ eventLogs, hclReports }: TdxVerified): Readonly<Record<string, unknown>> {
  const bound = hclReports.find((hcl) => hcl.bound)?.report;
  return {
    ...(eventLogs.length === 0 ? {} : { event_log_events: eventLogs.map((log) => log.eventCount) }),
    ...(bound === undefined ? {} : { azure_runtime_claims: runtimeClaims(bound.claims) }),
  };
}

/** The claims as JSON; that they are an object was seen when the report was read. */
function runtimeClaims(claims: Bytes): unknown {
  const value: unknown = JSON.parse(new TextDecoder().decode(claims));
  return value;
}
