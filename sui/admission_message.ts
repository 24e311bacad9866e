/**
 * The bytes that a worker's wallet and its node key sign to be admitted. Text, so that a wallet
 * shows its owner what is signed; one line per field, fixed order, every value of an alphabet
 * without line feeds, so that two different proofs never have the same bytes. See docs/ADMISSION.md.
 */
import { createHash } from "node:crypto";
import { isCanonicalAddress } from "./address.ts";
import { CHALLENGE_LENGTH } from "./challenge.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export interface AdmissionFields {
  /** Base58 digest of the chain's genesis checkpoint. */
  readonly chainId: string;
  /** 16 bytes. */
  readonly clusterId: Uint8Array;
  /** A Kubernetes node name: RFC 1123 subdomain, at most 253 characters. */
  readonly nodeId: string;
  /** Object id of the Seal token, 0x + 64 hex. */
  readonly tokenId: string;
  /** Who signs, 0x + 64 hex. */
  readonly owner: string;
  /** SPKI of the worker's node key (Ed25519, 44 bytes). */
  readonly nodeKey: Uint8Array;
  /** SPKI of the master's identity key. */
  readonly masterIdentityKey: Uint8Array;
  /** SPKI of the master's TLS key; empty where it has no TLS listener. */
  readonly masterTlsKey: Uint8Array;
  /** The master's measurement, as its evidence shows it. */
  readonly measurement: Uint8Array;
  /** 81 bytes. */
  readonly challenge: Uint8Array;
  /** As the challenge says, milliseconds since the epoch. */
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

/** DER of an Ed25519 SubjectPublicKeyInfo (RFC 8410) before the 32 bytes of the key. */
const ED25519_SPKI_PREFIX = Uint8Array.fromHex("302a300506032b6570032100");
const NODE_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const DIGEST = /^[1-9A-HJ-NP-Za-km-z]{32,44}$/;
/** Goes before the message when the node key signs it. */
const NODE_SIGNATURE_DOMAIN = "nautilus-tee/admission-node/v1\n";
const REPORT_DATA_DOMAIN = "nautilus-tee/worker-report-data/v1";

/** Whether a node may be called so. */
export function isNodeId(value: string): boolean {
  return value.length >= 1 && value.length <= 253 && NODE_NAME.test(value);
}

/** Whether `spki` is the 44-byte DER of an Ed25519 key. */
export function isEd25519Spki(spki: Uint8Array): boolean {
  return spki.length === 44 && ED25519_SPKI_PREFIX.every((byte, i) => spki[i] === byte);
}

/**
 * The message, ASCII, every line ended by a line feed.
 *
 * @throws {TypeError} naming the field that is out of its alphabet or length
 */
export function admissionMessage(fields: AdmissionFields): Bytes {
  check("chainId", DIGEST.test(fields.chainId));
  check("clusterId", fields.clusterId.length === 16);
  check("nodeId", isNodeId(fields.nodeId));
  check("tokenId", isCanonicalAddress(fields.tokenId));
  check("owner", isCanonicalAddress(fields.owner));
  check("nodeKey", isEd25519Spki(fields.nodeKey));
  check("masterIdentityKey", fields.masterIdentityKey.length <= 1024);
  check("masterTlsKey", fields.masterTlsKey.length <= 1024);
  check("measurement", fields.measurement.length >= 1 && fields.measurement.length <= 64);
  check("challenge", fields.challenge.length === CHALLENGE_LENGTH);
  check("issuedAtMs", Number.isSafeInteger(fields.issuedAtMs) && fields.issuedAtMs >= 0);
  check("expiresAtMs", Number.isSafeInteger(fields.expiresAtMs) && fields.expiresAtMs >= 0);
  const lines = [
    "Nautilus TEE: admission of a worker, version 1",
    `chain: ${fields.chainId}`,
    `cluster: ${hex(fields.clusterId)}`,
    `node: ${fields.nodeId}`,
    `seal-token: ${fields.tokenId}`,
    `owner: ${fields.owner}`,
    `node-key: ${base64(fields.nodeKey)}`,
    `master-identity: ${base64(fields.masterIdentityKey)}`,
    `master-tls: ${base64(fields.masterTlsKey)}`,
    `master-measurement: ${hex(fields.measurement)}`,
    `challenge: ${hex(fields.challenge)}`,
    `issued-at-ms: ${fields.issuedAtMs}`,
    `expires-at-ms: ${fields.expiresAtMs}`,
  ];
  return new TextEncoder().encode(lines.join("\n") + "\n");
}

/**
 * The 64 bytes of report data that a worker's own TEE evidence carries: SHA-512 over LP(domain) ‖
 * LP(message), LP being the length as u32 big-endian, then the bytes. The message names challenge,
 * node key, token and master, so evidence made for anything else has other report data.
 */
export function workerReportData(message: Uint8Array): Bytes {
  const hash = createHash("sha512");
  for (const part of [new TextEncoder().encode(REPORT_DATA_DOMAIN), message]) {
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, part.length);
    hash.update(length).update(part);
  }
  return new Uint8Array(hash.digest());
}

/** What the node key signs: the domain line, then the message. */
export function nodeSignatureInput(message: Uint8Array): Bytes {
  const domain = new TextEncoder().encode(NODE_SIGNATURE_DOMAIN);
  const out = new Uint8Array(domain.length + message.length);
  out.set(domain);
  out.set(message, domain.length);
  return out;
}

/** As `node_key_hash` on chain: SHA-256 of the SPKI, hex. */
export function nodeKeyHash(spki: Uint8Array): string {
  return createHash("sha256").update(spki).digest("hex");
}

function check(field: string, fits: boolean): void {
  if (!fits) throw new TypeError(`admission message: ${field} is not what it must be`);
}

function hex(bytes: Uint8Array): string {
  return Uint8Array.from(bytes).toHex();
}

function base64(bytes: Uint8Array): string {
  return Uint8Array.from(bytes).toBase64();
}
