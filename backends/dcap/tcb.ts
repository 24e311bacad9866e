/**
 * Which TCB level a platform is at, as Intel's quote verification library decides it
 * ("Intel SGX DCAP Quote Verification Library", 4.1.2.4.17). Pure: signatures and dates come before.
 */
import type { PckExtension } from "./pck_extension.ts";
import type {
  IsvLevel,
  ModuleStatus,
  PlatformStatus,
  QeIdentity,
  TcbInfo,
  TcbLevel,
  TdxModuleIdentity,
} from "./tcb_info.ts";

/**
 * The result of the whole evaluation. Intel's documents never contain the last three: `NoMatch` is
 * the library's TCB_NOT_SUPPORTED, the others say that a TD runs on an updated platform but was
 * launched before the update.
 */
export type TcbStatus =
  | PlatformStatus
  | "TDRelaunchAdvised"
  | "TDRelaunchAdvisedConfigurationNeeded"
  | "NoMatch";

export const TCB_STATUSES: readonly TcbStatus[] = [
  "UpToDate",
  "SWHardeningNeeded",
  "ConfigurationNeeded",
  "ConfigurationAndSWHardeningNeeded",
  "TDRelaunchAdvised",
  "TDRelaunchAdvisedConfigurationNeeded",
  "OutOfDate",
  "OutOfDateConfigurationNeeded",
  "Revoked",
  "NoMatch",
];

/** The status of a quoting enclave's ISVSVN. */
export type QeStatus = "UpToDate" | "OutOfDate" | "Revoked" | "NoMatch";

/** What the TD report brings to the evaluation. */
export interface TeeTcb {
  /** 16 bytes. */
  readonly teeTcbSvn: Uint8Array;
  /** 16 bytes, TDX 1.5. */
  readonly teeTcbSvn2: Uint8Array | undefined;
}

export interface TcbEvaluation {
  readonly status: TcbStatus;
  /** First level that the PCK certificate reaches. */
  readonly sgxLevel: TcbLevel | undefined;
  /** TDX: first level that the TD report reaches as well. */
  readonly tdxLevel: TcbLevel | undefined;
  readonly module: ModuleEvaluation;
  readonly qeStatus: QeStatus | undefined;
  /** Of platform, module and quoting enclave, each once, sorted. */
  readonly advisoryIds: readonly string[];
  /** The oldest of the dates of the levels that count, in milliseconds since the epoch. */
  readonly tcbDate: number | undefined;
}

/** TDX module: `none` for SGX, and for modules of TDX 1.0 that carry no identity. */
export type ModuleEvaluation =
  | { readonly kind: "none" }
  | { readonly kind: "unknown"; readonly id: string }
  | { readonly kind: "unmatched"; readonly id: string }
  | {
    readonly kind: "matched";
    readonly id: string;
    readonly level: IsvLevel<ModuleStatus>;
  };

/** `TDX_01` for major version 1. */
export function tdxModuleId(version: number): string {
  return `TDX_${version.toString(16).padStart(2, "0").toUpperCase()}`;
}

export function findTdxModuleIdentity(
  info: TcbInfo,
  version: number,
): TdxModuleIdentity | undefined {
  const id = tdxModuleId(version);
  return info.tdxModuleIdentities.find((identity) => identity.id === id);
}

/** First level of a quoting enclave whose ISVSVN is reached. */
export function evaluateQe(
  identity: QeIdentity,
  isvSvn: number,
): { status: QeStatus; level: IsvLevel<PlatformStatus> | undefined } {
  const level = identity.levels.find((candidate) => candidate.isvSvn <= isvSvn);
  if (level === undefined) return { status: "NoMatch", level };
  if (level.status === "UpToDate" || level.status === "Revoked") {
    return { status: level.status, level };
  }
  return { status: "OutOfDate", level };
}

/**
 * @param tee undefined for SGX.
 * @param qe undefined when no QE identity was given: then its status counts for nothing, and
 * the caller must report that it is missing.
 */
export function evaluateTcb(
  info: TcbInfo,
  pck: Pick<PckExtension, "tcbComponents" | "pceSvn">,
  tee: TeeTcb | undefined,
  qe: ReturnType<typeof evaluateQe> | undefined,
): TcbEvaluation {
  const reached = info.levels.filter((level) =>
    atLeast(pck.tcbComponents, level.sgxComponents, 0) && pck.pceSvn >= level.pceSvn
  );
  const sgxLevel = reached[0];
  const tdxLevel = tee === undefined ? undefined : reached.find((level) =>
    // From TDX 1.5 on the first two bytes are the module's own and judged by its identity.
    atLeast(tee.teeTcbSvn, level.tdxComponents ?? [], (tee.teeTcbSvn[1] ?? 0) > 0 ? 2 : 0)
  );
  const module = tee === undefined
    ? { kind: "none" } as const
    : evaluateModule(info, tee.teeTcbSvn);
  const level = tee === undefined ? sgxLevel : tdxLevel;
  const counted = [level, module.kind === "matched" ? module.level : undefined, qe?.level]
    .filter((one) => one !== undefined);
  return {
    status: mergedStatus(info, sgxLevel, level, tee, module, qe?.status),
    sgxLevel,
    tdxLevel,
    module,
    qeStatus: qe?.status,
    advisoryIds: [...new Set(counted.flatMap((one) => one.advisoryIds))].sort(),
    tcbDate: counted.length === 0 ? undefined : Math.min(...counted.map((one) => one.tcbDate)),
  };
}

function mergedStatus(
  info: TcbInfo,
  sgxLevel: TcbLevel | undefined,
  level: TcbLevel | undefined,
  tee: TeeTcb | undefined,
  module: ModuleEvaluation,
  qe: QeStatus | undefined,
): TcbStatus {
  if (sgxLevel === undefined || level === undefined) return "NoMatch";
  if (module.kind === "unknown" || module.kind === "unmatched") return "NoMatch";
  let status: TcbStatus = level.status;
  if (module.kind === "matched") status = worsen(status, module.level.status);
  if (
    tee?.teeTcbSvn2 !== undefined && module.kind === "matched" && status !== "Revoked"
  ) {
    status = relaunch(info, sgxLevel.status, status, module.level.status, tee.teeTcbSvn2, qe);
  }
  return qe === undefined ? status : worsen(status, qe);
}

/** Merges the status of a part (module, quoting enclave) into the platform's. */
function worsen(status: TcbStatus, part: QeStatus): TcbStatus {
  if (part === "Revoked" || part === "NoMatch") return status === "Revoked" ? status : part;
  if (part === "UpToDate") return status;
  switch (status) {
    case "UpToDate":
    case "SWHardeningNeeded":
      return "OutOfDate";
    case "ConfigurationNeeded":
    case "ConfigurationAndSWHardeningNeeded":
      return "OutOfDateConfigurationNeeded";
    default:
      return status;
  }
}

function evaluateModule(info: TcbInfo, teeTcbSvn: Uint8Array): ModuleEvaluation {
  const [isvSvn = 0, version = 0] = teeTcbSvn;
  if (version === 0) return { kind: "none" };
  const id = tdxModuleId(version);
  const identity = findTdxModuleIdentity(info, version);
  if (identity === undefined) return { kind: "unknown", id };
  const level = identity.levels.find((candidate) => isvSvn >= candidate.isvSvn);
  return level === undefined ? { kind: "unmatched", id } : { kind: "matched", id, level };
}

/**
 * TDX 1.5: the platform has been updated under a running TD, which would be up to date after a
 * relaunch (4.1.2.4.17.4.3).
 */
function relaunch(
  info: TcbInfo,
  sgx: PlatformStatus,
  status: TcbStatus,
  module: ModuleStatus,
  teeTcbSvn2: Uint8Array,
  qe: QeStatus | undefined,
): TcbStatus {
  if (qe !== undefined && qe !== "UpToDate") return status;
  const sgxCurrent = sgx === "UpToDate" || sgx === "SWHardeningNeeded" ||
    sgx === "ConfigurationNeeded" || sgx === "ConfigurationAndSWHardeningNeeded";
  const outOfDate = status === "OutOfDate" || status === "OutOfDateConfigurationNeeded";
  if (!sgxCurrent || !outOfDate || module !== "OutOfDate") return status;
  const [isvSvn2 = 0, version2 = 0, microcode2 = 0] = teeTcbSvn2;
  const latest = info.levels[0]?.tdxComponents;
  if (latest === undefined) return status;
  let moduleNeeded = latest[0] ?? 0;
  if (version2 > 0) {
    const identity = findTdxModuleIdentity(info, version2);
    if (identity === undefined) return "NoMatch";
    moduleNeeded = identity.levels[0]?.isvSvn ?? 0x100;
  }
  if (isvSvn2 < moduleNeeded || microcode2 < (latest[2] ?? 0)) return status;
  const configuration = sgx === "ConfigurationNeeded" ||
    sgx === "ConfigurationAndSWHardeningNeeded" || status === "OutOfDateConfigurationNeeded";
  return configuration ? "TDRelaunchAdvisedConfigurationNeeded" : "TDRelaunchAdvised";
}

function atLeast(actual: ArrayLike<number>, needed: ArrayLike<number>, from: number): boolean {
  for (let i = from; i < 16; i++) {
    if ((actual[i] ?? 0) < (needed[i] ?? 0x100)) return false;
  }
  return true;
}
