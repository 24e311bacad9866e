/**
 * TCB info and enclave (QE) identity, as signed by Intel (PCS API version 4, "TCB Info V3",
 * "Enclave Identity V2"; TCB info version 2 of API version 3 for SGX). Pure decoding.
 *
 * Members that are not known here are let be: Intel adds some without a new version, and the
 * signature covers them. Members that are read must have exactly their type.
 */
import * as v from "valibot";
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";
import { parseJson } from "./json_text.ts";

/** Statuses that stand in signed collateral. */
export const PLATFORM_STATUSES = [
  "UpToDate",
  "SWHardeningNeeded",
  "ConfigurationNeeded",
  "ConfigurationAndSWHardeningNeeded",
  "OutOfDate",
  "OutOfDateConfigurationNeeded",
  "Revoked",
] as const;
export type PlatformStatus = typeof PLATFORM_STATUSES[number];

const MODULE_STATUSES = ["UpToDate", "OutOfDate", "Revoked"] as const;
export type ModuleStatus = typeof MODULE_STATUSES[number];

export interface TcbLevel {
  /** 16 component SVNs. */
  readonly sgxComponents: readonly number[];
  /** 16 component SVNs; undefined in TCB info for SGX. */
  readonly tdxComponents: readonly number[] | undefined;
  readonly pceSvn: number;
  readonly status: PlatformStatus;
  /** Milliseconds since the epoch. */
  readonly tcbDate: number;
  readonly advisoryIds: readonly string[];
}

/** A level that one ISVSVN decides: of a TDX module or of a quoting enclave. */
export interface IsvLevel<Status extends string> {
  readonly isvSvn: number;
  readonly status: Status;
  /** Milliseconds since the epoch. */
  readonly tcbDate: number;
  readonly advisoryIds: readonly string[];
}

export interface TdxModule {
  /** 48 bytes. */
  readonly mrSigner: Bytes;
  /** 8 bytes. */
  readonly attributes: Bytes;
  /** 8 bytes. */
  readonly attributesMask: Bytes;
}

export interface TdxModuleIdentity extends TdxModule {
  /** `TDX_01`, upper case. */
  readonly id: string;
  /** Highest SVN first. */
  readonly levels: readonly IsvLevel<ModuleStatus>[];
}

export interface TcbInfo {
  readonly id: "SGX" | "TDX";
  readonly version: 2 | 3;
  /** Milliseconds since the epoch. */
  readonly issueDate: number;
  readonly nextUpdate: number;
  /** 6 bytes. */
  readonly fmspc: Bytes;
  /** 2 bytes. */
  readonly pceId: Bytes;
  readonly tcbEvaluationDataNumber: number;
  readonly tdxModule: TdxModule | undefined;
  readonly tdxModuleIdentities: readonly TdxModuleIdentity[];
  /** Highest first, as Intel's library orders them. */
  readonly levels: readonly TcbLevel[];
}

export interface QeIdentity {
  readonly id: "QE" | "TD_QE" | "QVE";
  readonly version: 2;
  /** Milliseconds since the epoch. */
  readonly issueDate: number;
  readonly nextUpdate: number;
  readonly tcbEvaluationDataNumber: number;
  /** 4 bytes, in the report's byte order. */
  readonly miscSelect: Bytes;
  readonly miscSelectMask: Bytes;
  /** 16 bytes. */
  readonly attributes: Bytes;
  readonly attributesMask: Bytes;
  /** 32 bytes. */
  readonly mrSigner: Bytes;
  readonly isvProdId: number;
  /** As they stand; the first whose SVN is reached counts. */
  readonly levels: readonly IsvLevel<PlatformStatus>[];
}

const integer = (max: number) => v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(max));
const hex = (bytes: number) =>
  v.pipe(
    v.string(),
    v.regex(new RegExp(`^[0-9a-fA-F]{${2 * bytes}}$`), `${2 * bytes} hexadecimal digits expected`),
    v.transform((text): Bytes => Uint8Array.fromHex(text)),
  );
const date = v.pipe(
  v.string(),
  v.regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, "a date such as 2025-06-19T10:56:11Z expected"),
  v.transform((text) => Date.parse(text)),
  v.check((ms) => Number.isFinite(ms), "no such date"),
);
const advisoryIds = v.optional(
  v.pipe(v.array(v.pipe(v.string(), v.maxLength(64))), v.maxLength(256)),
  [],
);
const component = v.pipe(v.looseObject({ svn: integer(0xff) }), v.transform(({ svn }) => svn));
const components = v.pipe(v.array(component), v.length(16));
const list = <const S extends v.GenericSchema>(item: S) =>
  v.pipe(v.array(item), v.minLength(1), v.maxLength(256));

const levelFacts = {
  tcbDate: date,
  tcbStatus: v.picklist(PLATFORM_STATUSES),
  advisoryIDs: advisoryIds,
};
const sgxLevel3 = v.looseObject({
  tcb: v.looseObject({ sgxtcbcomponents: components, pcesvn: integer(0xffff) }),
  ...levelFacts,
});
const tdxLevel3 = v.looseObject({
  tcb: v.looseObject({
    sgxtcbcomponents: components,
    tdxtcbcomponents: components,
    pcesvn: integer(0xffff),
  }),
  ...levelFacts,
});
const COMPONENT_NAMES_2 = Array.from(
  { length: 16 },
  (_, i) => `sgxtcbcomp${String(i + 1).padStart(2, "0")}svn`,
);
const sgxLevel2 = v.looseObject({
  tcb: v.pipe(
    v.record(v.string(), v.unknown()),
    v.transform((tcb) => ({
      sgxtcbcomponents: COMPONENT_NAMES_2.map((name) => ({ svn: tcb[name] })),
      pcesvn: tcb["pcesvn"],
    })),
    v.object({ sgxtcbcomponents: components, pcesvn: integer(0xffff) }),
  ),
  ...levelFacts,
});

const tdxModule = { mrsigner: hex(48), attributes: hex(8), attributesMask: hex(8) };
const tdxModuleIdentity = v.looseObject({
  id: v.pipe(v.string(), v.regex(/^TDX_[0-9a-fA-F]{2}$/, "TDX_ and two digits expected")),
  ...tdxModule,
  tcbLevels: list(v.looseObject({
    tcb: v.looseObject({ isvsvn: integer(0xffff) }),
    tcbDate: date,
    tcbStatus: v.picklist(MODULE_STATUSES),
    advisoryIDs: advisoryIds,
  })),
});

const tcbInfoFacts = {
  issueDate: date,
  nextUpdate: date,
  fmspc: hex(6),
  pceId: hex(2),
  tcbType: v.literal(0, "TCB type 0 expected"),
  tcbEvaluationDataNumber: integer(0xffffffff),
};
const tcbInfo2 = v.looseObject({
  version: v.literal(2),
  ...tcbInfoFacts,
  tcbLevels: list(sgxLevel2),
});
const tcbInfoSgx3 = v.looseObject({
  id: v.literal("SGX"),
  version: v.literal(3),
  ...tcbInfoFacts,
  tdxModule: v.optional(v.never("TCB info for SGX has no TDX module")),
  tdxModuleIdentities: v.optional(v.never("TCB info for SGX has no TDX modules")),
  tcbLevels: list(sgxLevel3),
});
const tcbInfoTdx3 = v.looseObject({
  id: v.literal("TDX"),
  version: v.literal(3),
  ...tcbInfoFacts,
  tdxModule: v.looseObject(tdxModule),
  tdxModuleIdentities: v.optional(list(tdxModuleIdentity), undefined),
  tcbLevels: list(tdxLevel3),
});
const heading = v.looseObject({
  id: v.optional(v.picklist(["SGX", "TDX"])),
  version: v.picklist([2, 3]),
});

const qeIdentity = v.looseObject({
  id: v.picklist(["QE", "TD_QE", "QVE"]),
  version: v.literal(2),
  issueDate: date,
  nextUpdate: date,
  tcbEvaluationDataNumber: integer(0xffffffff),
  miscselect: hex(4),
  miscselectMask: hex(4),
  attributes: hex(16),
  attributesMask: hex(16),
  mrsigner: hex(32),
  isvprodid: integer(0xffff),
  tcbLevels: list(
    v.looseObject({ tcb: v.looseObject({ isvsvn: integer(0xffff) }), ...levelFacts }),
  ),
});

function decode<const S extends v.GenericSchema>(
  schema: S,
  value: unknown,
  what: string,
): v.InferOutput<S> {
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const path = v.getDotPath(issue) ?? "";
  throw new BackendError("malformed", `${what}${path === "" ? "" : `.${path}`}: ${issue.message}`);
}

/**
 * Decodes the text of a `tcbInfo` member.
 * @throws {BackendError} `malformed`, naming the member.
 */
export function decodeTcbInfo(text: string): TcbInfo {
  const value = parseJson(text, "tcbInfo");
  const { id = "SGX", version } = decode(heading, value, "tcbInfo");
  if (id === "TDX") {
    const info = decode(tcbInfoTdx3, value, "tcbInfo");
    return {
      ...common(info),
      id,
      version: 3,
      tdxModule: moduleOf(info.tdxModule),
      tdxModuleIdentities: (info.tdxModuleIdentities ?? []).map((identity) => ({
        ...moduleOf(identity),
        id: identity.id.toUpperCase(),
        levels: sortedIsvLevels(identity.tcbLevels.map(isvLevel)),
      })),
      levels: sortedLevels(info.tcbLevels.map((level) => ({
        ...facts(level),
        sgxComponents: level.tcb.sgxtcbcomponents,
        tdxComponents: level.tcb.tdxtcbcomponents,
        pceSvn: level.tcb.pcesvn,
      }))),
    };
  }
  const info = version === 2
    ? decode(tcbInfo2, value, "tcbInfo")
    : decode(tcbInfoSgx3, value, "tcbInfo");
  return {
    ...common(info),
    id,
    version,
    tdxModule: undefined,
    tdxModuleIdentities: [],
    levels: sortedLevels(info.tcbLevels.map((level) => ({
      ...facts(level),
      sgxComponents: level.tcb.sgxtcbcomponents,
      tdxComponents: undefined,
      pceSvn: level.tcb.pcesvn,
    }))),
  };
}

/**
 * Decodes the text of an `enclaveIdentity` member.
 * @throws {BackendError} `malformed`, naming the member.
 */
export function decodeQeIdentity(text: string): QeIdentity {
  const identity = decode(qeIdentity, parseJson(text, "enclaveIdentity"), "enclaveIdentity");
  return {
    id: identity.id,
    version: identity.version,
    issueDate: identity.issueDate,
    nextUpdate: identity.nextUpdate,
    tcbEvaluationDataNumber: identity.tcbEvaluationDataNumber,
    miscSelect: identity.miscselect,
    miscSelectMask: identity.miscselectMask,
    attributes: identity.attributes,
    attributesMask: identity.attributesMask,
    mrSigner: identity.mrsigner,
    isvProdId: identity.isvprodid,
    levels: identity.tcbLevels.map(isvLevel),
  };
}

function common(
  info: Pick<
    v.InferOutput<typeof tcbInfo2>,
    "issueDate" | "nextUpdate" | "fmspc" | "pceId" | "tcbEvaluationDataNumber"
  >,
) {
  const { issueDate, nextUpdate, fmspc, pceId, tcbEvaluationDataNumber } = info;
  return { issueDate, nextUpdate, fmspc, pceId, tcbEvaluationDataNumber };
}

function moduleOf(
  module: { mrsigner: Bytes; attributes: Bytes; attributesMask: Bytes },
): TdxModule {
  return {
    mrSigner: module.mrsigner,
    attributes: module.attributes,
    attributesMask: module.attributesMask,
  };
}

function facts<Status extends string>(
  level: { tcbDate: number; tcbStatus: Status; advisoryIDs: string[] },
) {
  return { tcbDate: level.tcbDate, status: level.tcbStatus, advisoryIds: level.advisoryIDs };
}

function isvLevel<Status extends string>(
  level: { tcb: { isvsvn: number }; tcbDate: number; tcbStatus: Status; advisoryIDs: string[] },
): IsvLevel<Status> {
  return { ...facts(level), isvSvn: level.tcb.isvsvn };
}

/** Descending, as Intel's library keeps them; its duplicates are refused there too. */
function sortedLevels(levels: TcbLevel[]): TcbLevel[] {
  levels.sort((a, b) => -compareLevels(a, b));
  refuseDuplicates(levels, compareLevels, "tcbInfo.tcbLevels");
  return levels;
}

function sortedIsvLevels<S extends string>(levels: IsvLevel<S>[]): IsvLevel<S>[] {
  const compare = (a: IsvLevel<S>, b: IsvLevel<S>) => a.isvSvn - b.isvSvn;
  levels.sort((a, b) => -compare(a, b));
  refuseDuplicates(levels, compare, "tcbInfo.tdxModuleIdentities.tcbLevels");
  return levels;
}

function refuseDuplicates<T>(sorted: readonly T[], compare: (a: T, b: T) => number, what: string) {
  for (let i = 1; i < sorted.length; i++) {
    const [a, b] = [sorted[i - 1], sorted[i]];
    if (a !== undefined && b !== undefined && compare(a, b) === 0) {
      throw new BackendError("malformed", `${what}: two levels with the same SVNs`);
    }
  }
}

function compareLevels(a: TcbLevel, b: TcbLevel): number {
  return compareNumbers(a.sgxComponents, b.sgxComponents) || a.pceSvn - b.pceSvn ||
    compareNumbers(a.tdxComponents ?? [], b.tdxComponents ?? []);
}

function compareNumbers(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = (a[i] ?? -1) - (b[i] ?? -1);
    if (difference !== 0) return difference;
  }
  return 0;
}
