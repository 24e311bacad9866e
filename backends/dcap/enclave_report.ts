/** SGX enclave report body (384 bytes), of the quoted enclave and of the quoting enclave alike. */
import type { Bytes } from "../mod.ts";
import { allZero, ByteReader } from "./reader.ts";

export const ENCLAVE_REPORT_LENGTH = 384;

/** ATTRIBUTES.FLAGS bits (Intel SDM vol. 3D, 35.7.1). */
export const SGX_FLAG = {
  INIT: 1n << 0n,
  DEBUG: 1n << 1n,
  MODE64BIT: 1n << 2n,
  PROVISION_KEY: 1n << 4n,
  EINITTOKEN_KEY: 1n << 5n,
  CET: 1n << 6n,
  KSS: 1n << 7n,
  AEX_NOTIFY: 1n << 10n,
} as const;

const DEFINED_FLAGS = Object.values(SGX_FLAG).reduce((all, flag) => all | flag, 0n);

/** REPORT body (Intel SDM vol. 3D, 35.15), offsets in comments. */
export interface EnclaveReport {
  /** @0, 16 bytes. */
  readonly cpuSvn: Bytes;
  /** @16. */
  readonly miscSelect: number;
  /** @32, 16 bytes (KSS). */
  readonly isvExtProdId: Bytes;
  /** @48, 16 bytes: FLAGS then XFRM. */
  readonly attributes: Bytes;
  /** @64, 32 bytes. */
  readonly mrEnclave: Bytes;
  /** @128, 32 bytes. */
  readonly mrSigner: Bytes;
  /** @192, 64 bytes (KSS). */
  readonly configId: Bytes;
  /** @256. */
  readonly isvProdId: number;
  /** @258. */
  readonly isvSvn: number;
  /** @260 (KSS). */
  readonly configSvn: number;
  /** @304, 16 bytes (KSS). */
  readonly isvFamilyId: Bytes;
  /** @320, 64 bytes. */
  readonly reportData: Bytes;
  readonly flags: bigint;
  readonly xfrm: bigint;
  /** Names of reserved fields and flags that are not zero; empty in a good report. */
  readonly reservedNotZero: readonly string[];
}

/**
 * Decodes a report body.
 * @param bytes exactly 384 bytes; the result holds views of them.
 * @throws {BackendError} `malformed` on any other length.
 */
export function decodeEnclaveReport(bytes: Bytes): EnclaveReport {
  const reader = new ByteReader(bytes, "SGX", "enclave report");
  const reservedNotZero: string[] = [];
  const reserved = (length: number, name: string) => {
    if (!allZero(reader.bytes(length, name))) reservedNotZero.push(name);
  };
  const cpuSvn = reader.bytes(16, "cpusvn");
  const miscSelect = reader.u32("miscselect");
  reserved(12, "reserved@20");
  const isvExtProdId = reader.bytes(16, "isvextprodid");
  const attributes = reader.bytes(16, "attributes");
  const mrEnclave = reader.bytes(32, "mrenclave");
  reserved(32, "reserved@96");
  const mrSigner = reader.bytes(32, "mrsigner");
  reserved(32, "reserved@160");
  const configId = reader.bytes(64, "configid");
  const isvProdId = reader.u16("isvprodid");
  const isvSvn = reader.u16("isvsvn");
  const configSvn = reader.u16("configsvn");
  reserved(42, "reserved@262");
  const isvFamilyId = reader.bytes(16, "isvfamilyid");
  const reportData = reader.bytes(64, "report_data");
  reader.end();
  const view = new DataView(attributes.buffer, attributes.byteOffset);
  const flags = view.getBigUint64(0, true);
  if ((flags & ~DEFINED_FLAGS) !== 0n) {
    reservedNotZero.push(`attributes.flags 0x${(flags & ~DEFINED_FLAGS).toString(16)}`);
  }
  return {
    cpuSvn,
    miscSelect,
    isvExtProdId,
    attributes,
    mrEnclave,
    mrSigner,
    configId,
    isvProdId,
    isvSvn,
    configSvn,
    isvFamilyId,
    reportData,
    flags,
    xfrm: view.getBigUint64(8, true),
    reservedNotZero,
  };
}

/** The report's facts as they stand in an attestation result. */
export function enclaveReportClaims(report: EnclaveReport): Readonly<Record<string, unknown>> {
  return {
    cpu_svn: report.cpuSvn.toHex(),
    misc_select: hex32(report.miscSelect),
    isv_ext_prod_id: report.isvExtProdId.toHex(),
    attributes: report.attributes.toHex(),
    debug: (report.flags & SGX_FLAG.DEBUG) !== 0n,
    init: (report.flags & SGX_FLAG.INIT) !== 0n,
    mode64: (report.flags & SGX_FLAG.MODE64BIT) !== 0n,
    mr_enclave: report.mrEnclave.toHex(),
    mr_signer: report.mrSigner.toHex(),
    config_id: report.configId.toHex(),
    isv_prod_id: report.isvProdId,
    isv_svn: report.isvSvn,
    config_svn: report.configSvn,
    isv_family_id: report.isvFamilyId.toHex(),
    report_data: report.reportData.toHex(),
  };
}

/** Four bytes as they stand in the report, in hex. */
function hex32(value: number): string {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes.toHex();
}
