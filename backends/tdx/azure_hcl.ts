/**
 * Azure's HCL report, TDX kind: the hypervisor layer asks for the hardware's report with the digest
 * of its runtime claims as report data; the claims hold the vTPM's keys and 64 bytes of the user.
 */
import { sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import * as v from "valibot";
import { jsonText, objectMembers, parseJson } from "../dcap/json_text.ts";
import { allZero, ByteReader, equalBytes } from "../dcap/reader.ts";
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";

const SIGNATURE = "HCLA";
const HARDWARE_REPORT_LENGTH = 1184;
const REPORT_TYPE_TDX = 4;
const MAX_HCL_LENGTH = 64 << 10;

/** By number in the report: IGVM_ATTEST hash types. */
const HASHES: Readonly<Record<number, (data: Uint8Array) => Uint8Array>> = {
  1: sha256,
  2: sha384,
  3: sha512,
};

export interface HclReport {
  readonly version: number;
  /** 4: TDX. */
  readonly reportType: number;
  /** 1 SHA-256, 2 SHA-384, 3 SHA-512. */
  readonly hashType: number;
  /** The claims exactly as they were digested. */
  readonly runtimeClaims: Bytes;
  /** The 64 bytes of the caller that the claims carry, if they do. */
  readonly userData: Bytes | undefined;
  /** The claims as they stand, once parsed. */
  readonly claims: Readonly<Record<string, unknown>>;
}

const Claims = v.looseObject({
  "user-data": v.optional(
    v.pipe(v.string(), v.regex(/^(?:[0-9a-fA-F]{2}){64}$/, "64 bytes in hex expected")),
  ),
});

export function looksLikeHclReport(bytes: Uint8Array): boolean {
  return new TextDecoder("latin1").decode(bytes.subarray(0, 4)) === SIGNATURE;
}

/** @throws {BackendError} `malformed`: no HCL report of TDX kind. */
export function decodeHclReport(input: Uint8Array): HclReport {
  const bytes = new Uint8Array(input);
  const reader = new ByteReader(bytes, "TDX", "HCL report");
  if (bytes.length > MAX_HCL_LENGTH) throw reader.malformed(`${bytes.length} bytes`);
  if (new TextDecoder("latin1").decode(reader.bytes(4, "signature")) !== SIGNATURE) {
    throw reader.malformed("does not begin with HCLA");
  }
  const version = reader.u32("version");
  reader.u32("report size");
  reader.bytes(20, "header");
  reader.bytes(HARDWARE_REPORT_LENGTH, "hardware report");
  const dataSize = reader.u32("data size");
  reader.u32("data version");
  const reportType = reader.u32("report type");
  const hashType = reader.u32("hash type");
  const claimsSize = reader.u32("claims size");
  if (dataSize !== 20 + claimsSize) {
    throw reader.malformed(`data size ${dataSize} with claims of ${claimsSize} bytes`);
  }
  const runtimeClaims = reader.bytes(claimsSize, "runtime claims");
  if (reportType !== REPORT_TYPE_TDX) throw reader.malformed(`report type ${reportType}, not TDX`);
  if (HASHES[hashType] === undefined) throw reader.malformed(`hash type ${hashType}`);
  const text = jsonText(runtimeClaims, "runtime claims");
  if (objectMembers(text, "runtime claims") === undefined) {
    throw reader.malformed("the runtime claims are no object");
  }
  const parsed = v.safeParse(Claims, parseJson(text, "runtime claims"));
  if (!parsed.success) {
    const [issue] = parsed.issues;
    const path = v.getDotPath(issue) ?? "claims";
    throw new BackendError("malformed", `HCL report: ${path}: ${issue.message}`, { kind: "TDX" });
  }
  const userData = parsed.output["user-data"];
  return {
    version,
    reportType,
    hashType,
    runtimeClaims,
    userData: userData === undefined ? undefined : Uint8Array.fromHex(userData),
    claims: parsed.output,
  };
}

/** Whether report data is the digest of the claims, padded with zeros. */
export function bindsRuntimeClaims(hcl: HclReport, reportData: Uint8Array): boolean {
  const digest = HASHES[hcl.hashType]?.(hcl.runtimeClaims);
  return digest !== undefined &&
    equalBytes(reportData.subarray(0, digest.length), digest) &&
    allZero(reportData.subarray(digest.length));
}
