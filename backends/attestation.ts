/** The attestation formats of the wire: report data, the signed statement, the bundle. Pure. */
import { sha256, sha512 } from "@noble/hashes/sha2.js";
import type { Bytes, Covers, Evidence, SecurityLevel, TeeType } from "./mod.ts";

export const EVIDENCE_MEDIA_TYPE: Readonly<Record<TeeType, string>> = {
  SGX: "application/vnd.nautilus.sgx-quote",
  SEV: "application/vnd.nautilus.sev-snp-report",
  TrustZone: "application/vnd.nautilus.optee-attestation",
  TDX: "application/vnd.nautilus.tdx-quote",
  NITRO: "application/vnd.nautilus.nitro-document",
  SIMULATION: "application/vnd.nautilus.simulation",
};

const SIGNATURE_CONTEXT = new TextEncoder().encode("nautilus-tee/attestation/v1\n");
const REPORT_DATA_CONTEXT = new TextEncoder().encode("nautilus-tee/report-data/v1");

/** What report data binds. Key fields are DER SubjectPublicKeyInfo. */
export interface ReportDataInput {
  /** 8 to 64 bytes from the caller; undefined: the boot id stands in its place. */
  readonly nonce: Bytes | undefined;
  /** 16 bytes, drawn at every start. */
  readonly bootId: Bytes;
  readonly identitySpki: Bytes;
  /** Empty where there is no TLS listener. */
  readonly tlsSpki: Bytes;
  /** SHA-256 of the sealed configuration as RFC 8785 JSON. */
  readonly configDigest: Bytes;
  /** 16 bytes. */
  readonly storeId: Bytes;
  /** 16 bytes. */
  readonly incarnation: Bytes;
}

/** LP(x): the length as u32 big-endian, then x. */
export function lengthPrefixed(...parts: readonly Uint8Array[]): Bytes {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.length, 0));
  const view = new DataView(out.buffer);
  let offset = 0;
  for (const part of parts) {
    view.setUint32(offset, part.length);
    out.set(part, offset + 4);
    offset += 4 + part.length;
  }
  return out;
}

function concat(...parts: readonly Uint8Array[]): Bytes {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}

/** The 64 bytes of report data that evidence carries (WIRE.md, "Attestation"). */
export function reportData(input: ReportDataInput): Bytes {
  const freshness = input.nonce === undefined
    ? concat(Uint8Array.of(0), input.bootId)
    : concat(Uint8Array.of(1), input.nonce);
  return new Uint8Array(sha512(lengthPrefixed(
    REPORT_DATA_CONTEXT,
    freshness,
    input.identitySpki,
    input.tlsSpki,
    input.configDigest,
    concat(input.storeId, input.incarnation),
  )));
}

/** `enclave_id`: the first 16 bytes of SHA-256 of the identity key's SPKI, in hex. */
export function enclaveId(identitySpki: Bytes): string {
  return sha256(identitySpki).subarray(0, 16).toHex();
}

/** The bytes that the identity key signs. */
export function attestationSignatureInput(signed: Bytes): Bytes {
  return concat(SIGNATURE_CONTEXT, signed);
}

/** The JSON inside `signed`. */
export interface SignedStatement {
  readonly v: 1;
  readonly nonce: string | null;
  readonly boot_id: string;
  readonly identity_key: string;
  readonly tls_key: string;
  readonly config_digest: string;
  readonly store_id: string;
  readonly incarnation: string;
  readonly store_head: { readonly sequence: string; readonly digest: string };
  readonly tee_type: TeeType;
  readonly security_level: SecurityLevel;
  readonly covers: Covers;
  readonly measurement: string;
  /**
   * Measurements, hex, of programs that an admin authorised to open this store after an upgrade.
   * Absent where there is none.
   */
  readonly successors?: readonly string[];
  /** Seconds since the epoch. */
  readonly timestamp: number;
}

/** The answer of `GET /api/v1/attestation`. */
export interface AttestationBundle {
  readonly enclave_id: string;
  readonly tee_type: TeeType;
  readonly security_level: SecurityLevel;
  readonly covers: Covers;
  readonly measurement: string;
  readonly timestamp: number;
  /** Base64 DER of the TLS certificate, or "". */
  readonly certificate: string;
  /** Base64 of the UTF-8 JSON of a SignedStatement. */
  readonly signed: string;
  /** Base64 Ed25519 signature by the identity key. */
  readonly signature: string;
  readonly evidence: {
    readonly media_type: string;
    readonly data: string;
    readonly endorsements: readonly { readonly type: string; readonly data: string }[];
  };
}

/** Evidence as it stands in the bundle. */
export function evidenceToWire(evidence: Evidence): AttestationBundle["evidence"] {
  return {
    media_type: evidence.mediaType,
    data: evidence.data.toBase64(),
    endorsements: evidence.endorsements.map(({ type, data }) => ({ type, data: data.toBase64() })),
  };
}
