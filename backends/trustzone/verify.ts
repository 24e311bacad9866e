/** Which pinned device key signed an OP-TEE attestation, if any. There is no chain to a vendor. */
import type { Bytes } from "../mod.ts";
import type { TrustZoneSection } from "../policy/trustzone.ts";
import type { SignatureVerifier } from "../signatures.ts";
import { keyFits, keyKind } from "../x509/mod.ts";
import { type OpteeAttestation, rsaSpki } from "./abi.ts";

const PSS = { kind: "rsa-pss", hash: "SHA-256", saltLength: 32 } as const;

export interface PinnedKey {
  readonly id: string;
  readonly spki: Bytes;
}

/** The policy's keys as SPKI; `unusable` names those that are no RSA key of 2048 to 8192 bits. */
export function pinnedKeys(section: TrustZoneSection): { keys: PinnedKey[]; unusable: string[] } {
  const keys: PinnedKey[] = [];
  const unusable: string[] = [];
  for (const key of section.keys) {
    const spki = "spki" in key
      ? Uint8Array.fromBase64(key.spki)
      : rsaSpki(Uint8Array.fromHex(key.modulus), evenHex(key.exponent));
    let fits = false;
    try {
      fits = keyFits(keyKind(spki), PSS);
    } catch {
      fits = false; // not DER: named below
    }
    if (fits) keys.push({ id: key.id, spki });
    else unusable.push(key.id);
  }
  return { keys, unusable };
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
