/**
 * OP-TEE's attestation PTA (39800861-182a-4720-9b67-2bcd622bc0b5): the output of commands 1 to 3 is
 * a SHA-256 digest, then RSASSA-PSS (SHA-256, salt of 32) over nonce ‖ digest. Source: OP-TEE,
 * lib/libutee/include/pta_attestation.h. The output does not say which command made it. Pure.
 */
import { BackendError, type Bytes } from "../mod.ts";

export const DIGEST_BYTES = 32;
/** Of PTA_ATTESTATION_GET_PUBKEY and the others: sizes of 2048 to 8192 bits. */
const MIN_SIGNATURE_BYTES = 256;
const MAX_SIGNATURE_BYTES = 1024;

export interface OpteeAttestation {
  readonly digest: Bytes;
  readonly signature: Bytes;
}

/** @throws {BackendError} `malformed` */
export function parseAttestation(bytes: Uint8Array): OpteeAttestation {
  const signatureBytes = bytes.length - DIGEST_BYTES;
  if (signatureBytes < MIN_SIGNATURE_BYTES || signatureBytes > MAX_SIGNATURE_BYTES) {
    throw new BackendError(
      "malformed",
      `OP-TEE attestation: ${bytes.length} bytes, ${DIGEST_BYTES + MIN_SIGNATURE_BYTES} to ${
        DIGEST_BYTES + MAX_SIGNATURE_BYTES
      } are wanted`,
      { kind: "TrustZone" },
    );
  }
  const raw = new Uint8Array(bytes);
  return { digest: raw.subarray(0, DIGEST_BYTES), signature: raw.subarray(DIGEST_BYTES) };
}

function tlv(tag: number, content: Uint8Array): Bytes {
  const length = content.length < 0x80
    ? [content.length]
    : content.length < 0x100
    ? [0x81, content.length]
    : [0x82, content.length >> 8, content.length & 0xff];
  return Uint8Array.from([tag, ...length, ...content]);
}

function positiveInteger(bytes: Uint8Array): Bytes {
  const start = bytes.findIndex((byte) => byte !== 0);
  const trimmed = start < 0 ? Uint8Array.of(0) : bytes.subarray(start);
  return tlv(0x02, (trimmed[0] ?? 0) >= 0x80 ? Uint8Array.from([0, ...trimmed]) : trimmed);
}

/** DER SubjectPublicKeyInfo of an RSA key, as the PTA gives it: modulus and exponent, big-endian. */
export function rsaSpki(modulus: Uint8Array, exponent: Uint8Array): Bytes {
  const key = tlv(
    0x30,
    Uint8Array.from([...positiveInteger(modulus), ...positiveInteger(exponent)]),
  );
  const algorithm = Uint8Array.fromHex("300d06092a864886f70d0101010500");
  const bits = tlv(0x03, Uint8Array.from([0, ...key]));
  return tlv(0x30, Uint8Array.from([...algorithm, ...bits]));
}
