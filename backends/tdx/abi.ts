/** TDX evidence: a DCAP quote whose body is a TD report of TDX 1.0 or 1.5. Pure. */
import { type DcapQuote, decodeQuote } from "../dcap/quote.ts";
import { ByteReader } from "../dcap/reader.ts";
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";

/**
 * TD ATTRIBUTES bits (TDX module 1.5 ABI, "ATTRIBUTES"). Bits 0 to 7 (TUD) make a TD untrusted.
 */
export const TD_ATTRIBUTE = {
  DEBUG: 1n << 0n,
  HGS_PLUS_PROF: 1n << 4n,
  PERF_PROF: 1n << 5n,
  PMT_PROF: 1n << 6n,
  ICSSD: 1n << 16n,
  LASS: 1n << 27n,
  SEPT_VE_DISABLE: 1n << 28n,
  MIGRATABLE: 1n << 29n,
  PKS: 1n << 30n,
  KL: 1n << 31n,
  TPA: 1n << 62n,
  PERFMON: 1n << 63n,
} as const;

export type TdAttributeName = keyof typeof TD_ATTRIBUTE;

/** Body of a TDX quote ("TD Quote Body Descriptor"), offsets in comments. */
export interface TdReport {
  /** @0, 16 bytes: the TDX module's SVN, its major version, microcode SVN, zeros. */
  readonly teeTcbSvn: Bytes;
  /** @16, 48 bytes. */
  readonly mrSeam: Bytes;
  /** @64, 48 bytes. */
  readonly mrSignerSeam: Bytes;
  /** @112, 8 bytes. */
  readonly seamAttributes: Bytes;
  /** @120, 8 bytes. */
  readonly tdAttributes: Bytes;
  /** @128, 8 bytes. */
  readonly xfam: Bytes;
  /** @136, 48 bytes. */
  readonly mrTd: Bytes;
  /** @184, 48 bytes. */
  readonly mrConfigId: Bytes;
  /** @232, 48 bytes. */
  readonly mrOwner: Bytes;
  /** @280, 48 bytes. */
  readonly mrOwnerConfig: Bytes;
  /** @328, four times 48 bytes. */
  readonly rtmrs: readonly [Bytes, Bytes, Bytes, Bytes];
  /** @520, 64 bytes. */
  readonly reportData: Bytes;
  /** @584, 16 bytes, TDX 1.5: what the module could be relaunched with. */
  readonly teeTcbSvn2: Bytes | undefined;
  /** @600, 48 bytes, TDX 1.5. */
  readonly mrServiceTd: Bytes | undefined;
  /** tdAttributes as a number. */
  readonly attributes: bigint;
}

export interface TdxQuote extends DcapQuote {
  readonly tee: "TDX";
  readonly report: TdReport;
}

/**
 * Decodes a TD report body.
 * @param bytes 584 bytes (TDX 1.0) or 648 bytes (TDX 1.5); the result holds views of them.
 * @throws {BackendError} `malformed` on any other length.
 */
export function decodeTdReport(bytes: Bytes): TdReport {
  const reader = new ByteReader(bytes, "TDX", "TD report");
  const teeTcbSvn = reader.bytes(16, "tee_tcb_svn");
  const mrSeam = reader.bytes(48, "mr_seam");
  const mrSignerSeam = reader.bytes(48, "mr_signer_seam");
  const seamAttributes = reader.bytes(8, "seam_attributes");
  const tdAttributes = reader.bytes(8, "td_attributes");
  const xfam = reader.bytes(8, "xfam");
  const mrTd = reader.bytes(48, "mr_td");
  const mrConfigId = reader.bytes(48, "mr_config_id");
  const mrOwner = reader.bytes(48, "mr_owner");
  const mrOwnerConfig = reader.bytes(48, "mr_owner_config");
  const rtmrs = [
    reader.bytes(48, "rtmr0"),
    reader.bytes(48, "rtmr1"),
    reader.bytes(48, "rtmr2"),
    reader.bytes(48, "rtmr3"),
  ] as const;
  const reportData = reader.bytes(64, "report_data");
  const extended = reader.remaining > 0;
  const teeTcbSvn2 = extended ? reader.bytes(16, "tee_tcb_svn2") : undefined;
  const mrServiceTd = extended ? reader.bytes(48, "mr_service_td") : undefined;
  reader.end();
  return {
    teeTcbSvn,
    mrSeam,
    mrSignerSeam,
    seamAttributes,
    tdAttributes,
    xfam,
    mrTd,
    mrConfigId,
    mrOwner,
    mrOwnerConfig,
    rtmrs,
    reportData,
    teeTcbSvn2,
    mrServiceTd,
    attributes: new DataView(tdAttributes.buffer, tdAttributes.byteOffset).getBigUint64(0, true),
  };
}

/**
 * Decodes a TDX quote, version 4 or 5.
 * @throws {BackendError} `malformed`, also for an SGX quote.
 */
export function decodeTdxQuote(bytes: Uint8Array): TdxQuote {
  const quote = decodeQuote(bytes);
  if (quote.tee !== "TDX") {
    throw new BackendError("malformed", "quote: this is an SGX quote, not a TDX quote", {
      kind: "TDX",
      hint: "verify it as SGX",
    });
  }
  return { ...quote, tee: "TDX", report: decodeTdReport(quote.body) };
}

/** Names of the attribute bits that are set; bits without a name appear as `bit N`. */
export function tdAttributeNames(attributes: bigint): string[] {
  const named = new Map(Object.entries(TD_ATTRIBUTE).map(([name, bit]) => [bit, name]));
  const names: string[] = [];
  for (let index = 0n; index < 64n; index++) {
    const bit = 1n << index;
    if ((attributes & bit) !== 0n) names.push(named.get(bit) ?? `bit ${index}`);
  }
  return names;
}

/** The TD's facts by field name. */
export function tdReportClaims(report: TdReport): Readonly<Record<string, unknown>> {
  const is = (bit: bigint) => (report.attributes & bit) !== 0n;
  return {
    tee_tcb_svn: report.teeTcbSvn.toHex(),
    mr_seam: report.mrSeam.toHex(),
    mr_signer_seam: report.mrSignerSeam.toHex(),
    seam_attributes: report.seamAttributes.toHex(),
    // As a number, so that bit 28 reads 10000000.
    td_attributes: report.attributes.toString(16).padStart(16, "0"),
    td_debug: is(TD_ATTRIBUTE.DEBUG),
    sept_ve_disable: is(TD_ATTRIBUTE.SEPT_VE_DISABLE),
    migratable: is(TD_ATTRIBUTE.MIGRATABLE),
    pks: is(TD_ATTRIBUTE.PKS),
    kl: is(TD_ATTRIBUTE.KL),
    perfmon: is(TD_ATTRIBUTE.PERFMON),
    xfam: report.xfam.toHex(),
    mr_td: report.mrTd.toHex(),
    mr_config_id: report.mrConfigId.toHex(),
    mr_owner: report.mrOwner.toHex(),
    mr_owner_config: report.mrOwnerConfig.toHex(),
    rtmr: report.rtmrs.map((rtmr) => rtmr.toHex()),
    report_data: report.reportData.toHex(),
    ...(report.teeTcbSvn2 === undefined ? {} : { tee_tcb_svn2: report.teeTcbSvn2.toHex() }),
    ...(report.mrServiceTd === undefined ? {} : { mr_service_td: report.mrServiceTd.toHex() }),
  };
}
