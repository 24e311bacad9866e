/**
 * ECDSA quotes of SGX and TDX: header and signature data ("Intel SGX ECDSA QuoteLibReference",
 * A.4; "Intel TDX DCAP Quoting Library API", A.3 for versions 4 and 5). Pure; nothing is trusted.
 *
 * Bytes after the signature data are ignored, as Intel's library does: quote buffers are
 * allocated in fixed sizes and sometimes handed on whole. They are counted, not read.
 */
import { BackendError } from "../errors.ts";
import type { Bytes, TeeType } from "../mod.ts";
import {
  decodeEnclaveReport,
  ENCLAVE_REPORT_LENGTH,
  type EnclaveReport,
} from "./enclave_report.ts";
import { ByteReader, equalBytes } from "./reader.ts";

export const QUOTE_HEADER_LENGTH = 48;
export const TD_REPORT_10_LENGTH = 584;
export const TD_REPORT_15_LENGTH = 648;
/** Far above any real quote (about 5 KB), far below what could hurt. */
export const MAX_QUOTE_LENGTH = 1 << 20;

export const TEE_TYPE_SGX = 0x00;
export const TEE_TYPE_TDX = 0x81;

/** ECDSA-256 with P-256, the only attestation key type that Intel issues. */
export const KEY_TYPE_ECDSA_P256 = 2;

const INTEL_QE_VENDOR_ID = Uint8Array.fromHex("939a7233f79c4ca9940a0db3957f0607");

/** Certification data types (QuoteLibReference, table 9). */
export const CERTIFICATION_DATA = {
  PPID_PLAIN: 1,
  PPID_RSA_2048: 2,
  PPID_RSA_3072: 3,
  PCK_LEAF: 4,
  PCK_CHAIN: 5,
  QE_REPORT: 6,
} as const;

export interface QuoteHeader {
  /** @0: 3, 4 or 5. */
  readonly version: 3 | 4 | 5;
  /** @2. */
  readonly attestationKeyType: number;
  /** @4. */
  readonly teeType: number;
  /** @8; reserved in later revisions of version 4. */
  readonly qeSvn: number;
  /** @10; reserved in later revisions of version 4. */
  readonly pceSvn: number;
  /** @12, 16 bytes. */
  readonly qeVendorId: Bytes;
  /** @28, 20 bytes: the first 16 name the platform (QE id). */
  readonly userData: Bytes;
}

/** SGX enclave report, TD report of TDX 1.0, TD report of TDX 1.5 (as numbered in quote version 5). */
export type QuoteBodyType = 1 | 2 | 3;

export interface DcapQuote {
  readonly tee: "SGX" | "TDX";
  readonly header: QuoteHeader;
  /** As declared in version 5; for 3 and 4 what the TEE type implies. */
  readonly bodyType: QuoteBodyType;
  /** 384, 584 or 648 bytes. */
  readonly body: Bytes;
  /** Header and body (and the version 5 body descriptor): what the attestation key signed. */
  readonly signedBytes: Bytes;
  readonly signatureDataLength: number;
  /** 64 bytes, r then s, over signedBytes. */
  readonly signature: Bytes;
  /** 64 bytes, x then y. */
  readonly attestationKey: Bytes;
  /** The 384 bytes that the PCK signed. */
  readonly qeReportBytes: Bytes;
  readonly qeReport: EnclaveReport;
  /** 64 bytes, r then s, by the PCK. */
  readonly qeReportSignature: Bytes;
  readonly qeAuthData: Bytes;
  /** Type 1 to 5; in versions 4 and 5 it is nested inside type 6. */
  readonly certificationData: { readonly type: number; readonly data: Bytes };
  /** Bytes after the signature data, ignored. */
  readonly trailingLength: number;
}

const BODY: Readonly<Record<QuoteBodyType, { tee: "SGX" | "TDX"; length: number }>> = {
  1: { tee: "SGX", length: ENCLAVE_REPORT_LENGTH },
  2: { tee: "TDX", length: TD_REPORT_10_LENGTH },
  3: { tee: "TDX", length: TD_REPORT_15_LENGTH },
};

/**
 * Decodes a quote, version 3, 4 or 5.
 * @throws {BackendError} `malformed`, naming the field, for anything that is not such a quote:
 * lengths that do not add up, an unknown version, TEE type, body type, key type or QE vendor.
 */
export function decodeQuote(input: Uint8Array): DcapQuote {
  const kind: TeeType = input.length >= 8 && input[4] === TEE_TYPE_TDX ? "TDX" : "SGX";
  if (input.length > MAX_QUOTE_LENGTH) {
    throw new BackendError(
      "malformed",
      `quote: ${input.length} bytes, at most ${MAX_QUOTE_LENGTH}`,
      {
        kind,
      },
    );
  }
  // The one copy: everything below is a view of it, and later changes of the input change nothing.
  const bytes = new Uint8Array(input);
  const reader = new ByteReader(bytes, kind, "quote");
  const header = readHeader(reader);
  const bodyType = readBodyType(reader, header);
  const { tee, length } = BODY[bodyType];
  const body = reader.bytes(length, "report body");
  const signedBytes = bytes.subarray(0, reader.offset);
  const signatureDataLength = reader.u32("signature data length");
  const signatureData = new ByteReader(
    reader.bytes(signatureDataLength, "signature data"),
    kind,
    "signature data",
  );
  const signature = signatureData.bytes(64, "quote signature");
  const attestationKey = signatureData.bytes(64, "attestation key");
  const certified = header.version === 3 ? signatureData : nestedQeReport(signatureData, kind);
  const qeReportBytes = certified.bytes(ENCLAVE_REPORT_LENGTH, "QE report");
  const qeReportSignature = certified.bytes(64, "QE report signature");
  const qeAuthData = certified.bytes(certified.u16("QE auth data length"), "QE auth data");
  const certificationData = readCertificationData(certified);
  certified.end();
  if (certificationData.type < 1 || certificationData.type > 5) {
    throw certified.malformed(
      `certification data type ${certificationData.type}, known are 1 to 5`,
    );
  }
  return {
    tee,
    header,
    bodyType,
    body,
    signedBytes,
    signatureDataLength,
    signature,
    attestationKey,
    qeReportBytes,
    qeReport: decodeEnclaveReport(qeReportBytes),
    qeReportSignature,
    qeAuthData,
    certificationData,
    trailingLength: reader.remaining,
  };
}

function readHeader(reader: ByteReader): QuoteHeader {
  const version = reader.u16("version");
  if (version !== 3 && version !== 4 && version !== 5) {
    throw reader.malformed(`version ${version}, known are 3, 4 and 5`);
  }
  const attestationKeyType = reader.u16("attestation key type");
  if (attestationKeyType !== KEY_TYPE_ECDSA_P256) {
    throw reader.malformed(`attestation key type ${attestationKeyType}, known is 2 (ECDSA P-256)`);
  }
  const teeType = reader.u32("TEE type");
  if (teeType !== TEE_TYPE_SGX && teeType !== TEE_TYPE_TDX) {
    throw reader.malformed(`TEE type 0x${teeType.toString(16)}, known are 0x0 (SGX), 0x81 (TDX)`);
  }
  if (version === 3 && teeType !== TEE_TYPE_SGX) {
    throw reader.malformed("version 3 with a TEE type other than SGX");
  }
  const qeSvn = reader.u16("QE SVN");
  const pceSvn = reader.u16("PCE SVN");
  const qeVendorId = reader.bytes(16, "QE vendor");
  if (!equalBytes(qeVendorId, INTEL_QE_VENDOR_ID)) {
    throw reader.malformed(`QE vendor ${qeVendorId.toHex()} is not Intel`);
  }
  const userData = reader.bytes(20, "user data");
  return { version, attestationKeyType, teeType, qeSvn, pceSvn, qeVendorId, userData };
}

function readBodyType(reader: ByteReader, header: QuoteHeader): QuoteBodyType {
  const implied: QuoteBodyType = header.teeType === TEE_TYPE_SGX ? 1 : 2;
  if (header.version !== 5) return implied;
  const type = reader.u16("body type");
  const size = reader.u32("body size");
  if (type !== 1 && type !== 2 && type !== 3) {
    throw reader.malformed(`body type ${type}, known are 1, 2 and 3`);
  }
  if ((type === 1) !== (implied === 1)) {
    throw reader.malformed(`body type ${type} with TEE type 0x${header.teeType.toString(16)}`);
  }
  if (size !== BODY[type].length) {
    throw reader.malformed(`body size ${size}, body type ${type} has ${BODY[type].length}`);
  }
  return type;
}

function readCertificationData(reader: ByteReader): { type: number; data: Bytes } {
  const type = reader.u16("certification data type");
  return {
    type,
    data: reader.bytes(reader.u32("certification data length"), "certification data"),
  };
}

/** Versions 4 and 5 wrap QE report and certification data in certification data of type 6. */
function nestedQeReport(signatureData: ByteReader, kind: TeeType): ByteReader {
  const outer = readCertificationData(signatureData);
  signatureData.end();
  if (outer.type !== CERTIFICATION_DATA.QE_REPORT) {
    throw signatureData.malformed(`certification data type ${outer.type}, expected 6`);
  }
  return new ByteReader(outer.data, kind, "QE report certification data");
}
