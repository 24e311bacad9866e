/**
 * Simulated evidence: 312 bytes, integers big-endian, of a layout of our own. Pure.
 *
 * ```text
 *   0  4  magic "NTSE"
 *   4  1  version (1)
 *   5  3  zero
 *   8 16  boot id, drawn when the backend was opened
 *  24  8  issued at, milliseconds since the epoch by the host's clock
 *  32 48  measurement (SHA-384, WIRE.md "Measurement of the program")
 *  80 64  report data
 * 144 32  attestation key, raw Ed25519
 * 176 64  certificate: the root's Ed25519 signature over CERTIFICATE_CONTEXT ‖ 144..176 ‖ 32..80
 * 240  8  zero
 * 248 64  signature of the attestation key over EVIDENCE_CONTEXT ‖ 0..248
 * ```
 *
 * The certificate names key and measurement, so a root vouches for "this key is that program's".
 * The root's SPKI (44 bytes, RFC 8410) comes along as endorsement `simulation-root`; that it is the
 * right one only a policy can say.
 *
 * @module
 */
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";

export const EVIDENCE_LENGTH = 312;
export const MEASUREMENT_LENGTH = 48;
export const REPORT_DATA_LENGTH = 64;
export const BOOT_ID_LENGTH = 16;
export const PUBLIC_KEY_LENGTH = 32;
export const SIGNATURE_LENGTH = 64;
export const ROOT_ENDORSEMENT = "simulation-root";

const MAGIC = Uint8Array.of(0x4e, 0x54, 0x53, 0x45);
const VERSION = 1;
const SIGNED_LENGTH = 248;
const CERTIFICATE_CONTEXT = new TextEncoder().encode("nautilus-tee/simulation/certificate/v1\n");
const EVIDENCE_CONTEXT = new TextEncoder().encode("nautilus-tee/simulation/evidence/v1\n");
/** DER of SubjectPublicKeyInfo for Ed25519 up to the key (RFC 8410, 4). */
const SPKI_PREFIX = Uint8Array.fromHex("302a300506032b6570032100");

export interface SimulationEvidence {
  /** 16 bytes. */
  readonly bootId: Bytes;
  /** Milliseconds since the epoch, below 2^53. */
  readonly issuedAt: number;
  /** 48 bytes. */
  readonly measurement: Bytes;
  /** 64 bytes. */
  readonly reportData: Bytes;
  /** 32 bytes, raw Ed25519. */
  readonly attestationKey: Bytes;
  /** 64 bytes. */
  readonly certificate: Bytes;
  /** 64 bytes. */
  readonly signature: Bytes;
}

function join(...parts: readonly Uint8Array[]): Bytes {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}

function field(name: string, value: Bytes, length: number): Bytes {
  if (value.length !== length) {
    throw new RangeError(`${name} is ${value.length} bytes, ${length} are wanted`);
  }
  return value;
}

/** What the root signs: an attestation key and the measurement it stands for. */
export function certificateInput(attestationKey: Bytes, measurement: Bytes): Bytes {
  return join(
    CERTIFICATE_CONTEXT,
    field("attestation key", attestationKey, PUBLIC_KEY_LENGTH),
    field("measurement", measurement, MEASUREMENT_LENGTH),
  );
}

/** What the attestation key signs, for evidence whose signature is still to come or to be checked. */
export function evidenceInput(evidence: Bytes): Bytes {
  return join(EVIDENCE_CONTEXT, evidence.subarray(0, SIGNED_LENGTH));
}

/** @throws {RangeError} for a field of another length: a mistake of the caller. */
export function encodeEvidence(evidence: SimulationEvidence): Bytes {
  const out = new Uint8Array(EVIDENCE_LENGTH);
  out.set(MAGIC);
  out[4] = VERSION;
  out.set(field("boot id", evidence.bootId, BOOT_ID_LENGTH), 8);
  new DataView(out.buffer).setBigUint64(24, BigInt(evidence.issuedAt));
  out.set(field("measurement", evidence.measurement, MEASUREMENT_LENGTH), 32);
  out.set(field("report data", evidence.reportData, REPORT_DATA_LENGTH), 80);
  out.set(field("attestation key", evidence.attestationKey, PUBLIC_KEY_LENGTH), 144);
  out.set(field("certificate", evidence.certificate, SIGNATURE_LENGTH), 176);
  out.set(field("signature", evidence.signature, SIGNATURE_LENGTH), SIGNED_LENGTH);
  return out;
}

/** @throws {BackendError} `malformed`, naming the field, for anything that is not this layout. */
export function decodeEvidence(bytes: Bytes): SimulationEvidence {
  const fail = (what: string): BackendError =>
    new BackendError("malformed", `not simulated evidence: ${what}`, { kind: "SIMULATION" });
  if (bytes.length !== EVIDENCE_LENGTH) {
    throw fail(`${bytes.length} bytes, ${EVIDENCE_LENGTH} are wanted`);
  }
  if (MAGIC.some((byte, index) => bytes[index] !== byte)) throw fail("no NTSE at its start");
  if (bytes[4] !== VERSION) throw fail(`version ${bytes[4]}, this program reads ${VERSION}`);
  if (bytes.subarray(5, 8).some(Boolean)) throw fail("bytes 5 to 7 are not zero");
  if (bytes.subarray(240, SIGNED_LENGTH).some(Boolean)) throw fail("bytes 240 to 247 are not zero");
  const issuedAt = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(24);
  if (issuedAt > BigInt(Number.MAX_SAFE_INTEGER)) throw fail(`issued at ${issuedAt} is no time`);
  return {
    bootId: bytes.slice(8, 24),
    issuedAt: Number(issuedAt),
    measurement: bytes.slice(32, 80),
    reportData: bytes.slice(80, 144),
    attestationKey: bytes.slice(144, 176),
    certificate: bytes.slice(176, 240),
    signature: bytes.slice(SIGNED_LENGTH),
  };
}

/** Raw Ed25519 public key as SubjectPublicKeyInfo, 44 bytes. */
export function ed25519Spki(publicKey: Bytes): Bytes {
  return join(SPKI_PREFIX, field("public key", publicKey, PUBLIC_KEY_LENGTH));
}

/** The raw key inside a 44-byte Ed25519 SPKI, or undefined for anything else. */
export function ed25519FromSpki(spki: Bytes): Bytes | undefined {
  if (spki.length !== SPKI_PREFIX.length + PUBLIC_KEY_LENGTH) return undefined;
  if (SPKI_PREFIX.some((byte, index) => spki[index] !== byte)) return undefined;
  return spki.slice(SPKI_PREFIX.length);
}
