/**
 * `/dev/tdx_guest`: one ioctl that gives a TDREPORT (linux/tdx-guest.h; Intel TDX module 1.5 ABI,
 * TDREPORT_STRUCT). It is MACed for this machine alone, so it proves nothing to others; it says
 * what this TD is. Pure; little-endian.
 */
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";

/** _IOWR('T', 1, struct tdx_report_req). */
export const TDX_CMD_GET_REPORT0 = 0xc4405401;
/** struct tdx_report_req: reportdata@0[64], tdreport@64[1024]. */
export const REPORT_REQUEST = { length: 1088, reportDataLength: 64, tdReportAt: 64 } as const;
const TD_REPORT_LENGTH = 1024;
/** REPORTMACSTRUCT.reporttype of a TD. */
const TYPE_TDX = 0x81;
const REPORT_DATA_AT = 128;
/** TDINFO_STRUCT: attributes 8, xfam 8, mrtd 48, mrconfigid, mrowner, mrownerconfig, rtmr0-3. */
const TD_INFO_AT = 512;
const RTMR_AT = TD_INFO_AT + 16 + 4 * 48;

export interface LocalTdReport {
  /** 48 bytes. */
  readonly mrTd: Bytes;
  /** Four times 48 bytes. */
  readonly rtmrs: readonly Bytes[];
}

/** @param reportData 64 bytes */
export function encodeReportRequest(reportData: Bytes): Bytes {
  if (reportData.length !== REPORT_REQUEST.reportDataLength) {
    throw new RangeError(`report data is ${reportData.length} bytes, 64 are wanted`);
  }
  const out = new Uint8Array(REPORT_REQUEST.length);
  out.set(reportData);
  return out;
}

/** @throws {BackendError} `malformed` for what is no TDREPORT with that report data. */
export function decodeReportAnswer(bytes: Bytes, reportData: Bytes): LocalTdReport {
  const fail = (what: string): BackendError =>
    new BackendError("malformed", `the TDX device answered ${what}`, { kind: "TDX" });
  if (bytes.length !== REPORT_REQUEST.length) throw fail(`${bytes.length} bytes`);
  const report = bytes.subarray(REPORT_REQUEST.tdReportAt);
  if (report.length !== TD_REPORT_LENGTH || report[0] !== TYPE_TDX) {
    throw fail(`a report of type ${report[0]}, not of a TD`);
  }
  const echoed = report.subarray(REPORT_DATA_AT, REPORT_DATA_AT + 64);
  if (echoed.some((byte, index) => byte !== reportData[index])) throw fail("other report data");
  return {
    mrTd: report.slice(TD_INFO_AT + 16, TD_INFO_AT + 64),
    rtmrs: [0, 1, 2, 3].map((index) =>
      report.slice(RTMR_AT + 48 * index, RTMR_AT + 48 * (index + 1))
    ),
  };
}
