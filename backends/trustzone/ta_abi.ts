/** Bytes of the TA (native/trustzone/nautilus_ta.h): what it says of itself, and its evidence. Pure. */
import { BackendError, type Bytes } from "../mod.ts";
import { type OpteeAttestation, parseAttestation } from "./abi.ts";

export const TA_UUID = "cb8899bc-da92-4080-89e4-57a9dfcead58";

export const COMMAND = { info: 0, seal: 1, unseal: 2, attest: 3, keyId: 4 } as const;
export const POLICY_MEASUREMENT = 1;

export const TA_ERROR_OTHER_CODE = 0x80000001;
export const TA_ERROR_ROLLED_BACK = 0x80000002;
export const TA_ERROR_POLICY = 0x80000003;

export const INFO_LENGTH = 152;
/** Without a platform attestation. */
export const EVIDENCE_LENGTH = 272;
/** A digest and an RSA signature of 8192 bits at most. */
export const MAX_EVIDENCE_LENGTH = EVIDENCE_LENGTH + 32 + 1024;
export const KEY_ID_LENGTH = 16;
/** What sealing adds: header 40, tag 16. */
export const SEALED_OVERHEAD = 56;

const FORMAT = 1;
const FLAG_PLATFORM = 1;
const BODY_LENGTH = 208;
const EVIDENCE_CONTEXT = new TextEncoder().encode("nautilus-tee/trustzone/evidence/v1\n");

/** Who speaks: common to both formats, bytes 8 to 79. */
export interface TaIdentity {
  /** In its text form. */
  readonly uuid: string;
  readonly codeVersion: number;
  /** The newest code version that ever ran on the device, as the TA remembers it. */
  readonly newestCodeVersion: number;
  /** 48 bytes. */
  readonly measurement: Bytes;
}

export interface TaInfo extends TaIdentity {
  /** Whether evidence comes with the platform's own attestation. */
  readonly platform: boolean;
  /** P-256, x ‖ y, 64 bytes. */
  readonly attestationKey: Bytes;
}

export interface TaEvidence extends TaInfo {
  /** 64 bytes. */
  readonly reportData: Bytes;
  /** What the signature is over. */
  readonly signed: Bytes;
  /** r ‖ s, 64 bytes. */
  readonly signature: Bytes;
  /** OP-TEE's attestation PTA over the TA's memory, and the bytes whose SHA-256 is its nonce. */
  readonly platformAttestation:
    | { readonly attestation: OpteeAttestation; readonly nonceOf: Bytes }
    | undefined;
}

function malformed(what: string): BackendError {
  return new BackendError("malformed", what, { kind: "TrustZone" });
}

/** Whether bytes say that they are a TA's own evidence, and not the attestation PTA's. */
export function isTaEvidence(bytes: Uint8Array): boolean {
  return startsWith(bytes, "NTZE");
}

function startsWith(bytes: Uint8Array, magic: string): boolean {
  return bytes.length >= 4 && [...magic].every((c, index) => bytes[index] === c.charCodeAt(0));
}

function uuidText(bytes: Uint8Array): string {
  return bytes.toHex().replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** Bytes 0 to 79. */
function parseHead(bytes: Bytes, magic: string, what: string): TaIdentity & { platform: boolean } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!startsWith(bytes, magic)) throw malformed(`${what} does not start with "${magic}"`);
  const format = view.getUint16(4);
  if (format !== FORMAT) throw malformed(`${what} of format ${format}, this program knows 1`);
  const flags = view.getUint16(6);
  if ((flags & ~FLAG_PLATFORM) !== 0) throw malformed(`${what} with unknown flags ${flags}`);
  const codeVersion = view.getUint32(24);
  const newestCodeVersion = view.getUint32(28);
  if (newestCodeVersion < codeVersion) {
    throw malformed(`${what}: newest code version ${newestCodeVersion}, own ${codeVersion}`);
  }
  return {
    uuid: uuidText(bytes.subarray(8, 24)),
    codeVersion,
    newestCodeVersion,
    measurement: bytes.slice(32, 80),
    platform: (flags & FLAG_PLATFORM) !== 0,
  };
}

/** The answer of command `info`. @throws {BackendError} `malformed` */
export function parseInfo(bytes: Bytes): TaInfo {
  if (bytes.length !== INFO_LENGTH) {
    throw malformed(`the TA's description is ${bytes.length} bytes, ${INFO_LENGTH} are wanted`);
  }
  const head = parseHead(bytes, "NTZI", "the TA's description");
  if (bytes.subarray(80, 88).some((byte) => byte !== 0)) {
    throw malformed("the TA's description: bytes 80 to 87 are not zero");
  }
  return { ...head, attestationKey: bytes.slice(88, INFO_LENGTH) };
}

/** Evidence that a TA signed. Nothing in it is verified. @throws {BackendError} `malformed` */
export function parseTaEvidence(bytes: Bytes): TaEvidence {
  if (bytes.length < EVIDENCE_LENGTH || bytes.length > MAX_EVIDENCE_LENGTH) {
    throw malformed(
      `TA evidence is ${bytes.length} bytes, ${EVIDENCE_LENGTH} to ${MAX_EVIDENCE_LENGTH} are wanted`,
    );
  }
  const head = parseHead(bytes, "NTZE", "TA evidence");
  if (!head.platform && bytes.length !== EVIDENCE_LENGTH) {
    throw malformed(`TA evidence without a platform attestation is ${bytes.length} bytes`);
  }
  const signed = new Uint8Array(EVIDENCE_CONTEXT.length + BODY_LENGTH);
  signed.set(EVIDENCE_CONTEXT);
  signed.set(bytes.subarray(0, BODY_LENGTH), EVIDENCE_CONTEXT.length);
  return {
    ...head,
    reportData: bytes.slice(80, 144),
    attestationKey: bytes.slice(144, BODY_LENGTH),
    signed,
    signature: bytes.slice(BODY_LENGTH, EVIDENCE_LENGTH),
    platformAttestation: head.platform
      ? {
        attestation: parseAttestation(bytes.subarray(EVIDENCE_LENGTH)),
        nonceOf: bytes.slice(0, EVIDENCE_LENGTH),
      }
      : undefined,
  };
}
