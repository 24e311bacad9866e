/**
 * The report of Azure's paravisor (HCL), as it stands in the vTPM's NV index 0x01400001: header,
 * hardware report, then runtime data whose JSON claims are bound by the hardware report's
 * report_data. Source: Microsoft, "Confidential VM guest attestation", runtime data. Pure.
 */
import { sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import { BackendError, type Bytes } from "./mod.ts";

export const HCL_MAGIC = "48434c41"; // "HCLA"
const HEADER_BYTES = 32;
const RUNTIME_HEADER_BYTES = 20;
/** The field holds an SNP report, or a TDREPORT with padding. */
export const HCL_HARDWARE_BYTES = 1184;
const MAX_CLAIMS_BYTES = 64 << 10;

export interface HclReport {
  readonly version: number;
  /** What the hardware field holds. */
  readonly hardware: "snp" | "tdx";
  /** 1184 bytes. */
  readonly hardwareReport: Bytes;
  readonly hash: "SHA-256" | "SHA-384" | "SHA-512";
  /** The claims exactly as they were hashed. */
  readonly claims: Bytes;
  /** Digest of the claims, which report_data must begin with (zeros after it). */
  readonly claimsDigest: Bytes;
  /** `user-data` of the claims: what a caller wrote for the paravisor to bind. */
  readonly userData: Bytes | undefined;
}

/** Whether bytes begin as an HCL report does. */
export function looksLikeHcl(bytes: Uint8Array): boolean {
  return bytes.length > HEADER_BYTES && bytes.subarray(0, 4).toHex() === HCL_MAGIC;
}

/** @throws {BackendError} `malformed` */
export function parseHclReport(bytes: Uint8Array): HclReport {
  const fail = (message: string) => new BackendError("malformed", `HCL report: ${message}`);
  if (!looksLikeHcl(bytes)) throw fail("does not begin with HCLA");
  const runtimeStart = HEADER_BYTES + HCL_HARDWARE_BYTES;
  if (bytes.length < runtimeStart + RUNTIME_HEADER_BYTES) {
    throw fail(`${bytes.length} bytes are too few`);
  }
  const raw = new Uint8Array(bytes);
  const view = new DataView(raw.buffer);
  const u32 = (offset: number) => view.getUint32(offset, true);
  const version = u32(4);
  if (version < 1 || version > 2) throw fail(`version ${version} is unknown`);
  const requestType = u32(12);
  if (requestType !== 2) throw fail(`request type ${requestType} is not 2 (attestation)`);
  if (raw.subarray(16, HEADER_BYTES).some((byte) => byte !== 0)) {
    throw fail("its status or reserved bytes are not zero");
  }
  if (u32(runtimeStart + 4) !== 1) {
    throw fail(`runtime data version ${u32(runtimeStart + 4)} is unknown`);
  }
  // Size, version, report type (2 SNP, 4 TDX), hash (1 SHA-256, 2 SHA-384, 3 SHA-512), claims' size.
  const reportType = u32(runtimeStart + 8);
  const hashType = u32(runtimeStart + 12);
  const claimsBytes = u32(runtimeStart + 16);
  const dataBytes = u32(runtimeStart);
  if (u32(8) !== runtimeStart + dataBytes) {
    throw fail(`claims a size of ${u32(8)} bytes, not ${runtimeStart + dataBytes}`);
  }
  const hardware = reportType === 2 ? "snp" : reportType === 4 ? "tdx" : undefined;
  if (hardware === undefined) throw fail(`report type ${reportType} is unknown`);
  const claimsStart = runtimeStart + RUNTIME_HEADER_BYTES;
  if (
    claimsBytes === 0 || claimsBytes > MAX_CLAIMS_BYTES || claimsBytes > raw.length - claimsStart
  ) {
    throw fail(`claims of ${claimsBytes} bytes, ${raw.length - claimsStart} are there`);
  }
  if (dataBytes !== claimsBytes + RUNTIME_HEADER_BYTES) {
    throw fail(`runtime data of ${dataBytes} bytes around claims of ${claimsBytes}`);
  }
  if (raw.subarray(claimsStart + claimsBytes).some((byte) => byte !== 0)) {
    throw fail("bytes follow the claims");
  }
  const claims = raw.subarray(claimsStart, claimsStart + claimsBytes);
  const hashes = {
    1: ["SHA-256", sha256],
    2: ["SHA-384", sha384],
    3: ["SHA-512", sha512],
  } as const;
  if (hashType !== 1 && hashType !== 2 && hashType !== 3) {
    throw fail(`hash type ${hashType} is unknown`);
  }
  const [hash, digest] = hashes[hashType];
  return {
    version,
    hardware,
    hardwareReport: raw.subarray(HEADER_BYTES, HEADER_BYTES + HCL_HARDWARE_BYTES),
    hash,
    claims,
    claimsDigest: new Uint8Array(digest(claims)),
    userData: readUserData(claims, fail),
  };
}

/** Whether 64 bytes of report data are the digest of the claims, then zeros. */
export function bindsClaims(reportData: Uint8Array, { claimsDigest }: HclReport): boolean {
  const wanted = new Uint8Array(64);
  wanted.set(claimsDigest);
  return reportData.length === 64 && wanted.every((byte, i) => byte === reportData[i]);
}

function readUserData(claims: Bytes, fail: (message: string) => BackendError): Bytes | undefined {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(claims));
  } catch (error) {
    throw fail(
      `its claims are no JSON (${error instanceof Error ? error.message.slice(0, 80) : "?"})`,
    );
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw fail("its claims are no object");
  }
  const text: unknown = "user-data" in json ? json["user-data"] : undefined;
  if (text === undefined) return undefined;
  if (typeof text !== "string" || !/^(?:[0-9a-fA-F]{2}){0,64}$/.test(text)) {
    throw fail("its user-data is not hex of up to 64 bytes");
  }
  const out = new Uint8Array(64);
  out.set(Uint8Array.fromHex(text));
  return out;
}
