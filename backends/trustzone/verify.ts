/** Which pinned device key signed an OP-TEE attestation, if any. There is no chain to a vendor. */
import type { Bytes } from "../mod.ts";
import type { TrustZoneSection } from "../policy/trustzone.ts";
import type { SignatureAlgorithm, SignatureVerifier } from "../signatures.ts";
import { keyFits, keyKind } from "../x509/mod.ts";
import { type OpteeAttestation, rsaSpki } from "./abi.ts";

const PSS = { kind: "rsa-pss", hash: "SHA-256", saltLength: 32 } as const;
export const TA_SIGNATURE = { kind: "ecdsa", curve: "P-256", format: "p1363" } as const;

export interface PinnedKey {
  readonly id: string;
  readonly spki: Bytes;
}

export interface PinnedKeys {
  /** RSA, 2048 to 8192 bits: of the platform's attestation PTA. */
  readonly platform: readonly PinnedKey[];
  /** P-256: of TAs that sign for themselves. */
  readonly ta: readonly PinnedKey[];
  /** Names of keys that are neither. */
  readonly unusable: readonly string[];
}

/** The policy's keys as SPKI, by what they can have signed. */
export function pinnedKeys(section: TrustZoneSection): PinnedKeys {
  const platform: PinnedKey[] = [];
  const ta: PinnedKey[] = [];
  const unusable: string[] = [];
  for (const key of section.keys) {
    const spki = "spki" in key
      ? Uint8Array.fromBase64(key.spki)
      : rsaSpki(Uint8Array.fromHex(key.modulus), evenHex(key.exponent));
    const list = fits(spki, PSS) ? platform : fits(spki, TA_SIGNATURE) ? ta : undefined;
    if (list === undefined) unusable.push(key.id);
    else list.push({ id: key.id, spki });
  }
  return { platform, ta, unusable };
}

function fits(spki: Bytes, algorithm: SignatureAlgorithm): boolean {
  try {
    return keyFits(keyKind(spki), algorithm);
  } catch {
    return false; // not DER: named as unusable
  }
}

function evenHex(text: string): Bytes {
  return Uint8Array.fromHex(text.length % 2 === 0 ? text : `0${text}`);
}

/** The first pinned key under which the signature over nonce ‖ digest is good. */
export async function signingKey(
  attestation: OpteeAttestation,
  nonce: Bytes,
  keys: readonly PinnedKey[],
  signatures: SignatureVerifier,
): Promise<PinnedKey | undefined> {
  const signed = new Uint8Array(nonce.length + attestation.digest.length);
  signed.set(nonce);
  signed.set(attestation.digest, nonce.length);
  for (const key of keys) {
    if (await signatures.verify(PSS, key.spki, attestation.signature, signed)) return key;
  }
  return undefined;
}
