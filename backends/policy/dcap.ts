/** The policy sections of Intel SGX and TDX. */
import * as v from "valibot";
import { anyOrList, Demand, hex, PositiveSeconds, ReportDataDemand, unsigned } from "./schema.ts";

/** Intel's words for the state of a platform, module or quoting enclave; `Revoked` cannot be accepted. */
export const TcbStatus = v.picklist([
  "UpToDate",
  "SWHardeningNeeded",
  "ConfigurationNeeded",
  "ConfigurationAndSWHardeningNeeded",
  "OutOfDate",
  "OutOfDateConfigurationNeeded",
  "TDRelaunchAdvised",
  "TDRelaunchAdvisedConfigurationNeeded",
]);
export type TcbStatus = v.InferOutput<typeof TcbStatus>;

const shared = {
  /** What the merged status of platform, module and quoting enclave may be. */
  tcbStatuses: v.optional(v.pipe(v.array(TcbStatus), v.minLength(1)), ["UpToDate"]),
  /** Advisories (INTEL-SA-…) that may apply to an accepted level. */
  acceptedAdvisories: v.optional(
    anyOrList(v.pipe(v.string(), v.regex(/^INTEL-[A-Z]+-\d+$/))),
    "any",
  ),
  /** TCB info, QE identity and their chains. Without them a platform's state cannot be told. */
  collateral: v.optional(Demand, "require"),
  /** Both lists: of the root CA and of the PCK CA. */
  crl: v.optional(Demand, "require"),
  minimumTcbEvaluationDataNumber: v.optional(unsigned(), 0),
  /** Seconds since the collateral's issueDate; the date of its nextUpdate always counts. */
  maxCollateralAgeSeconds: v.optional(v.union([v.literal("any"), PositiveSeconds]), "any"),
  fmspcs: v.optional(anyOrList(hex(6)), "any"),
  allowDebug: v.optional(v.boolean(), false),
  reportData: v.optional(ReportDataDemand, "require"),
};

export const SgxSection = v.strictObject({
  /** At least one of mrenclaves and mrsigners should be a list; `policy check` says so. */
  mrenclaves: anyOrList(hex(32)),
  mrsigners: anyOrList(hex(32)),
  isvProdIds: v.optional(anyOrList(unsigned(65535)), "any"),
  minimumIsvSvn: v.optional(unsigned(65535), 0),
  /** CONFIGID of enclaves with key separation and sharing (KSS). */
  configIds: v.optional(anyOrList(hex(64)), "any"),
  ...shared,
});
export type SgxSection = v.InferOutput<typeof SgxSection>;

/** Attributes a TD may have beside SEPT_VE_DISABLE (TDX module 1.5 ABI). Profiling is never accepted. */
const TdAttribute = v.picklist(["ICSSD", "LASS", "MIGRATABLE", "PKS", "KL", "TPA", "PERFMON"]);

export const TdxSection = v.strictObject({
  mrtds: anyOrList(hex(48)),
  /** By index 0-3; an index that is not listed is not looked at. */
  rtmrs: v.union([
    v.literal("any"),
    v.strictObject({
      "0": v.optional(anyOrList(hex(48))),
      "1": v.optional(anyOrList(hex(48))),
      "2": v.optional(anyOrList(hex(48))),
      "3": v.optional(anyOrList(hex(48))),
    }),
  ]),
  mrSeams: v.optional(anyOrList(hex(48)), "any"),
  mrConfigIds: v.optional(anyOrList(hex(48)), "any"),
  mrOwners: v.optional(anyOrList(hex(48)), "any"),
  mrOwnerConfigs: v.optional(anyOrList(hex(48)), "any"),
  /** Whether SEPT_VE_DISABLE (bit 28 of the TD's attributes) must be set. */
  requireSeptVeDisable: v.optional(v.boolean(), true),
  /** Further attributes that may be set; any other bit, also one that is reserved, is refused. */
  tdAttributes: v.optional(v.array(TdAttribute), ["PKS", "KL", "PERFMON"]),
  xfams: v.optional(anyOrList(hex(8)), "any"),
  /** MRSERVICETD of TDX 1.5: a service TD is part of what must be trusted, so none by default. */
  mrServiceTds: v.optional(anyOrList(hex(48)), ["0".repeat(96)]),
  /** Azure: report data holds the digest of the runtime claims, to be given as HCL report. */
  azureHcl: v.optional(Demand, "if_given"),
  /** A CCEL event log that replays to the RTMRs. */
  eventLog: v.optional(Demand, "if_given"),
  ...shared,
});
export type TdxSection = v.InferOutput<typeof TdxSection>;
