/** AlgorithmIdentifier to the algorithms this project verifies. */
import type { Bytes } from "../mod.ts";
import type { EcCurve, HashName, SignatureAlgorithm } from "../signatures.ts";
import { children, content, derError, oidString, readOnly, TAG, unsignedInteger } from "./der.ts";
import { OID } from "./names.ts";

/** An algorithm nobody here verifies; a signature under it is never good. */
export interface UnsupportedAlgorithm {
  readonly kind: "unsupported";
  readonly oid: string;
}

const HASHES: Readonly<Record<string, HashName>> = {
  [OID.sha256]: "SHA-256",
  [OID.sha384]: "SHA-384",
  [OID.sha512]: "SHA-512",
};

/** What a certificate or CRL says it is signed with. ECDSA takes its curve from the hash. */
export function certificateAlgorithm(der: Bytes): SignatureAlgorithm | UnsupportedAlgorithm {
  const { oid, rest: parameters } = algorithmOid(der);
  const bare = parameters === undefined;
  switch (oid) {
    case OID.ecdsaSha256:
      return bare ? { kind: "ecdsa", curve: "P-256", format: "der" } : { kind: "unsupported", oid };
    case OID.ecdsaSha384:
      return bare ? { kind: "ecdsa", curve: "P-384", format: "der" } : { kind: "unsupported", oid };
    case OID.ed25519:
      return bare ? { kind: "ed25519" } : { kind: "unsupported", oid };
    case OID.sha256WithRsa:
      return { kind: "rsa-pkcs1", hash: "SHA-256" };
    case OID.sha384WithRsa:
      return { kind: "rsa-pkcs1", hash: "SHA-384" };
    case OID.sha512WithRsa:
      return { kind: "rsa-pkcs1", hash: "SHA-512" };
    case OID.rsaPss:
      return bare ? { kind: "unsupported", oid } : pssParameters(parameters);
    default:
      return { kind: "unsupported", oid };
  }
}

/** RSASSA-PSS-params (RFC 4055, 3.1): one hash for both, an explicit salt length, trailer 1. */
function pssParameters(der: Bytes): SignatureAlgorithm | UnsupportedAlgorithm {
  const unsupported: UnsupportedAlgorithm = { kind: "unsupported", oid: OID.rsaPss };
  let hash: HashName | undefined;
  let mgfHash: HashName | undefined;
  let saltLength: number | undefined;
  let lastTag = 0;
  for (const field of children(der, readOnly(der, TAG.sequence, "RSASSA-PSS-params"))) {
    if (field.tag <= lastTag) throw derError("RSASSA-PSS-params: fields out of order");
    lastTag = field.tag;
    const value = content(der, field);
    if (field.tag === 0xa0) hash = HASHES[algorithmOid(value).oid];
    else if (field.tag === 0xa1) {
      const { oid, rest } = algorithmOid(value);
      if (oid !== OID.mgf1 || rest === undefined) return unsupported;
      mgfHash = HASHES[algorithmOid(rest).oid];
    } else if (field.tag === 0xa2) {
      saltLength = unsignedInteger(content(value, readOnly(value, TAG.integer, "saltLength")));
    } else if (field.tag === 0xa3) {
      if (unsignedInteger(content(value, readOnly(value, TAG.integer, "trailerField"))) !== 1) {
        return unsupported;
      }
    } else throw derError("RSASSA-PSS-params: unknown field");
  }
  if (hash === undefined || hash !== mgfHash || saltLength === undefined) return unsupported;
  return { kind: "rsa-pss", hash, saltLength };
}

function algorithmOid(der: Bytes): { oid: string; rest: Bytes | undefined } {
  const parts = children(der, readOnly(der, TAG.sequence, "AlgorithmIdentifier"));
  const [oid, parameters] = parts;
  if (oid === undefined || oid.tag !== TAG.oid || parts.length > 2) {
    throw derError("bad AlgorithmIdentifier");
  }
  return {
    oid: oidString(content(der, oid)),
    rest: parameters === undefined ? undefined : der.subarray(parameters.start, parameters.end),
  };
}

/** What kind of key an SPKI holds. */
export type KeyKind =
  | { readonly kind: "ec"; readonly curve: EcCurve }
  | { readonly kind: "rsa"; readonly bits: number; readonly exponent: bigint }
  | { readonly kind: "ed25519" }
  | UnsupportedAlgorithm;

/** Reads an SPKI's algorithm and, for RSA, its size. @throws {BackendError} `malformed` */
export function keyKind(spki: Bytes): KeyKind {
  const parts = children(spki, readOnly(spki, TAG.sequence, "SubjectPublicKeyInfo"));
  const [algorithm, key] = parts;
  if (
    algorithm === undefined || key === undefined || parts.length !== 2 || key.tag !== TAG.bitString
  ) {
    throw derError("bad SubjectPublicKeyInfo");
  }
  const { oid, rest } = algorithmOid(spki.subarray(algorithm.start, algorithm.end));
  if (oid === OID.ecPublicKey) {
    const curve = rest !== undefined && rest[0] === TAG.oid
      ? oidString(content(rest, readOnly(rest, TAG.oid, "curve")))
      : oid;
    if (curve === OID.p256) return { kind: "ec", curve: "P-256" };
    if (curve === OID.p384) return { kind: "ec", curve: "P-384" };
    return { kind: "unsupported", oid: curve };
  }
  if (oid === OID.rsaEncryption || oid === OID.rsaPss) {
    const bits = content(spki, key).subarray(1);
    const [n, e] = children(bits, readOnly(bits, TAG.sequence, "RSAPublicKey"));
    if (n === undefined || e === undefined || n.tag !== TAG.integer || e.tag !== TAG.integer) {
      throw derError("bad RSA key");
    }
    const modulus = content(bits, n);
    const exponent = content(bits, e);
    if (
      ((modulus[0] ?? 0x80) & 0x80) !== 0 || ((exponent[0] ?? 0x80) & 0x80) !== 0 ||
      exponent.length > 8
    ) {
      throw derError("bad RSA key");
    }
    const top = modulus.findIndex((byte) => byte !== 0);
    if (top < 0) throw derError("bad RSA key");
    return {
      kind: "rsa",
      bits: (modulus.length - top) * 8 - Math.clz32(modulus[top] ?? 1) + 24,
      exponent: BigInt(`0x${exponent.toHex()}`),
    };
  }
  if (oid === OID.ed25519) return { kind: "ed25519" };
  return { kind: "unsupported", oid };
}

/** Whether a key may be used under an algorithm: right family and curve, RSA of 2048-8192 bits with an odd exponent of 65537 or more. */
export function keyFits(
  key: KeyKind,
  algorithm: SignatureAlgorithm | UnsupportedAlgorithm,
): boolean {
  switch (algorithm.kind) {
    case "ecdsa":
      return key.kind === "ec" && key.curve === algorithm.curve;
    case "rsa-pss":
    case "rsa-pkcs1":
      return key.kind === "rsa" && key.bits >= 2048 && key.bits <= 8192 &&
        key.exponent >= 65537n && (key.exponent & 1n) === 1n;
    case "ed25519":
      return key.kind === "ed25519";
    case "unsupported":
      return false;
  }
}
