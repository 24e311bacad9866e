/** What a file is, by its content: evidence of which TEE, a node's bundle, or something to go with it. */
import { looksLikeHcl, parseHclReport } from "./azure_hcl.ts";
import { BackendError, type Bytes, type Endorsement, type TeeType } from "./mod.ts";
import { isCertificateTable, REPORT_BYTES } from "./sev_snp/abi.ts";
import { EVIDENCE_LENGTH } from "./simulation/abi.ts";
import { isTaEvidence } from "./trustzone/ta_abi.ts";
import { looksLikePem } from "./x509/mod.ts";

export type Classified =
  | { readonly kind: "bundle"; readonly text: string }
  | { readonly kind: "evidence"; readonly teeType: TeeType; readonly data: Bytes }
  | { readonly kind: "endorsement"; readonly endorsement: Endorsement };

/** Never throws: what is not known goes along as an endorsement, for the verifier to name. */
export function classify(bytes: Bytes): Classified {
  const teeType = evidenceKind(bytes);
  if (teeType !== undefined) return { kind: "evidence", teeType, data: bytes };
  const text = asText(bytes);
  if (text !== undefined) {
    if (text.trimStart().startsWith("{")) {
      return isBundle(text)
        ? { kind: "bundle", text }
        : { kind: "endorsement", endorsement: { type: "collateral", data: bytes } };
    }
    const decoded = decodeText(text);
    const inner = decoded === undefined ? undefined : evidenceKind(decoded);
    if (decoded !== undefined && inner !== undefined) {
      return { kind: "evidence", teeType: inner, data: decoded };
    }
  }
  return { kind: "endorsement", endorsement: { type: endorsementType(bytes), data: bytes } };
}

/** Evidence bytes for a kind that was named: taken out of base64 or hex where they are text. */
export function evidenceBytes(bytes: Bytes): Bytes {
  const text = asText(bytes);
  return (text === undefined ? undefined : decodeText(text)) ?? bytes;
}

function evidenceKind(bytes: Bytes): TeeType | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 8) return undefined;
  const magic = view.getUint32(0);
  if (magic === 0x4e545345 && bytes.length === EVIDENCE_LENGTH) return "SIMULATION";
  if (looksLikeHcl(bytes)) return hclKind(bytes);
  if (isTaEvidence(bytes)) return "TrustZone";
  // A COSE_Sign1 with its four-byte protected header.
  if ((magic >>> 8) === 0x8444a1) return "NITRO";
  const version = view.getUint16(0, true);
  const next = view.getUint16(2, true);
  if (next === 0 && version >= 1 && version < 64 && looksLikeSnpReport(bytes, view)) return "SEV";
  if (version >= 3 && version <= 5 && (next === 2 || next === 3) && bytes.length >= 436) {
    const tee = view.getUint32(4, true);
    if (tee === 0) return "SGX";
    if (tee === 0x81) return "TDX";
  }
  return undefined;
}

/** By length; an extended report by what its fields must be: policy bit 17, signature algorithm 1. */
function looksLikeSnpReport(bytes: Bytes, view: DataView): boolean {
  if (bytes.length <= REPORT_BYTES) return bytes.length === REPORT_BYTES;
  return (view.getUint8(0x0a) & 2) !== 0 && view.getUint32(0x34, true) === 1;
}

/** Azure's wrapper of a TDX machine goes along with the quote; of an SNP machine it is the evidence. */
function hclKind(bytes: Bytes): TeeType | undefined {
  try {
    return parseHclReport(bytes).hardware === "snp" ? "SEV" : undefined;
  } catch (error) {
    if (error instanceof BackendError) return "SEV"; // the verifier says what is wrong with it
    throw error;
  }
}

function endorsementType(bytes: Bytes): string {
  if (looksLikePem(bytes)) {
    const head = new TextDecoder("latin1").decode(bytes.subarray(0, 4096));
    return head.includes("-----BEGIN X509 CRL-----") ? "crl" : "certificates";
  }
  if (looksLikeHcl(bytes)) return "hcl-report";
  if (isCertificateTable(bytes.subarray(0, 16))) return "certificate-table";
  if (bytes[0] === 0x30) return derType(bytes);
  return "collateral";
}

/** A certificate's signed part begins with [0] or an INTEGER serial before a SEQUENCE; a CRL's has a date third or fourth. */
function derType(bytes: Bytes): string {
  const text = bytes.subarray(0, 64 << 10);
  // Skip two SEQUENCE headers; then a certificate of version 2 or 3 has the explicit tag [0].
  let at = 0;
  for (let i = 0; i < 2; i++) {
    if (text[at] !== 0x30) return "collateral";
    const first = text[at + 1] ?? 0;
    at += first < 0x80 ? 2 : 2 + (first & 0x7f);
  }
  return text[at] === 0xa0 ? "certificates" : "crl";
}

function asText(bytes: Bytes): string | undefined {
  if (bytes.length === 0 || bytes.length > 8 << 20) return undefined;
  if (bytes.some((byte) => byte === 0)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined; // not text
  }
}

function isBundle(text: string): boolean {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === "object" && json !== null && "signed" in json && "evidence" in json;
  } catch {
    return false; // not JSON after all; the verifier names it
  }
}

/** Standard or URL-safe base64, or hex, with white space. */
function decodeText(text: string): Bytes | undefined {
  const bare = text.replace(/\s/g, "");
  if (/^(?:[0-9a-fA-F]{2})+$/.test(bare)) return Uint8Array.fromHex(bare);
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(bare)) return undefined;
  try {
    return Uint8Array.fromBase64(bare.replace(/-/g, "+").replace(/_/g, "/"));
  } catch {
    return undefined; // not base64
  }
}
