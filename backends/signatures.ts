/**
 * Signature verification, one narrow port: verifiers say what to check, a provider says yes or no.
 * WebCrypto is the reference; backends/ffi/libcrypto_verify.ts is the same over libcrypto.
 */
import type { Bytes } from "./mod.ts";
import { readOnly, readTlv, TAG } from "./x509/der.ts";

export type EcCurve = "P-256" | "P-384";
export type HashName = "SHA-256" | "SHA-384" | "SHA-512";

/** The algorithms vendors sign evidence and certificates with; everything else is refused by name. */
export type SignatureAlgorithm =
  /** P-256 goes with SHA-256, P-384 with SHA-384. `der`: ECDSA-Sig-Value; `p1363`: r ‖ s, big-endian. */
  | { readonly kind: "ecdsa"; readonly curve: EcCurve; readonly format: "der" | "p1363" }
  /** MGF1 with the same hash. */
  | { readonly kind: "rsa-pss"; readonly hash: HashName; readonly saltLength: number }
  | { readonly kind: "rsa-pkcs1"; readonly hash: HashName }
  | { readonly kind: "ed25519" };

export interface SignatureVerifier {
  readonly name: string;
  /**
   * @param spki DER SubjectPublicKeyInfo
   * @returns false for a wrong signature, a signature not in its strict form, or a key that does not
   *   fit the algorithm. A negative answer is a value; nothing about the input throws.
   */
  verify(
    algorithm: SignatureAlgorithm,
    spki: Bytes,
    signature: Bytes,
    data: Bytes,
  ): Promise<boolean>;
}

const ORDER: Readonly<Record<EcCurve, bigint>> = {
  "P-256": 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  "P-384":
    0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
};
export const SCALAR_BYTES: Readonly<Record<EcCurve, number>> = { "P-256": 32, "P-384": 48 };

/** ECDSA-Sig-Value in strict DER to r ‖ s; undefined where it is anything else. */
export function ecdsaDerToP1363(signature: Uint8Array, curve: EcCurve): Bytes | undefined {
  const size = SCALAR_BYTES[curve];
  if (signature.length > 2 * size + 9) return undefined;
  const out = new Uint8Array(2 * size);
  try {
    const sequence = readOnly(signature, TAG.sequence, "signature");
    let offset = sequence.contentStart;
    for (let i = 0; i < 2; i++) {
      const tlv = readTlv(signature, offset, sequence.end);
      const first = signature[tlv.contentStart] ?? 0x80;
      if (tlv.tag !== TAG.integer || tlv.end === tlv.contentStart || first >= 0x80) {
        return undefined;
      }
      let start = tlv.contentStart;
      if (first === 0 && tlv.end - start > 1) {
        if ((signature[start + 1] ?? 0) < 0x80) return undefined;
        start++;
      }
      if (tlv.end - start > size) return undefined;
      out.set(signature.subarray(start, tlv.end), (i + 1) * size - (tlv.end - start));
      offset = tlv.end;
    }
    return offset === sequence.end ? out : undefined;
  } catch {
    return undefined; // not DER: not a signature
  }
}

/** r ‖ s to ECDSA-Sig-Value. */
export function ecdsaP1363ToDer(signature: Uint8Array): Bytes {
  const half = signature.length / 2;
  const integers = [signature.subarray(0, half), signature.subarray(half)].map((scalar) => {
    let start = 0;
    while (start < scalar.length - 1 && scalar[start] === 0) start++;
    const trimmed = scalar.subarray(start);
    const pad = (trimmed[0] ?? 0) >= 0x80 ? [0] : [];
    return [TAG.integer, trimmed.length + pad.length, ...pad, ...trimmed];
  });
  const body = integers.flat();
  const length = body.length < 0x80 ? [body.length] : [0x81, body.length];
  return Uint8Array.from([TAG.sequence, ...length, ...body]);
}

/** Whether r and s both lie in 1..n-1. */
export function ecdsaInRange(signature: Uint8Array, curve: EcCurve): boolean {
  const size = SCALAR_BYTES[curve];
  if (signature.length !== 2 * size) return false;
  return [signature.subarray(0, size), signature.subarray(size)].every((scalar) => {
    const value = BigInt(`0x${scalar.toHex()}`);
    return value > 0n && value < ORDER[curve];
  });
}

/** Strict r ‖ s in range, from either format; undefined where there is none. */
export function normalizeEcdsa(
  algorithm: Extract<SignatureAlgorithm, { kind: "ecdsa" }>,
  signature: Bytes,
): Bytes | undefined {
  const raw = algorithm.format === "p1363"
    ? signature
    : ecdsaDerToP1363(signature, algorithm.curve);
  return raw !== undefined && ecdsaInRange(raw, algorithm.curve) ? raw : undefined;
}

const EC_SPKI_PREFIX: Readonly<Record<EcCurve, string>> = {
  "P-256": "3059301306072a8648ce3d020106082a8648ce3d03010703420004",
  "P-384": "3076301006072a8648ce3d020106052b8104002203620004",
};

/** SPKI of an uncompressed point x ‖ y, as evidence formats carry bare keys. Not checked to be on the curve. */
export function ecSpki(curve: EcCurve, xy: Uint8Array): Bytes {
  const prefix = Uint8Array.fromHex(EC_SPKI_PREFIX[curve]);
  const out = new Uint8Array(prefix.length + xy.length);
  out.set(prefix);
  out.set(xy, prefix.length);
  return out;
}

/** Whether the SPKI is an uncompressed point on the named curve, by its exact encoding. */
export function isEcSpki(curve: EcCurve, spki: Uint8Array): boolean {
  const prefix = EC_SPKI_PREFIX[curve];
  return spki.length === prefix.length / 2 + 2 * SCALAR_BYTES[curve] &&
    spki.subarray(0, prefix.length / 2).toHex() === prefix;
}

/**
 * The reference provider. It keeps up to `maxKeys` imported keys, oldest out first, because
 * importing costs as much as verifying; keys are public, so the cache says nothing about anybody.
 */
export function createWebCryptoVerifier(
  options: { readonly maxKeys?: number; readonly subtle?: SubtleCrypto } = {},
): SignatureVerifier {
  const subtle = options.subtle ?? crypto.subtle;
  const maxKeys = options.maxKeys ?? 256;
  const keys = new Map<string, CryptoKey>();

  async function importKey(
    id: string,
    spki: Bytes,
    parameters: EcKeyImportParams | RsaHashedImportParams | { name: string },
  ): Promise<CryptoKey> {
    const cacheKey = `${id}:${spki.toBase64()}`;
    const known = keys.get(cacheKey);
    if (known !== undefined) return known;
    const key = await subtle.importKey("spki", spki, parameters, false, ["verify"]);
    if (maxKeys > 0) {
      if (keys.size >= maxKeys) {
        const oldest = keys.keys().next().value;
        if (oldest !== undefined) keys.delete(oldest);
      }
      keys.set(cacheKey, key);
    }
    return key;
  }

  async function verify(
    algorithm: SignatureAlgorithm,
    spki: Bytes,
    signature: Bytes,
    data: Bytes,
  ): Promise<boolean> {
    switch (algorithm.kind) {
      case "ecdsa": {
        const raw = normalizeEcdsa(algorithm, signature);
        if (raw === undefined || !isEcSpki(algorithm.curve, spki)) return false;
        const hash = algorithm.curve === "P-256" ? "SHA-256" : "SHA-384";
        const key = await importKey(algorithm.curve, spki, {
          name: "ECDSA",
          namedCurve: algorithm.curve,
        });
        return await subtle.verify({ name: "ECDSA", hash }, key, raw, data);
      }
      case "rsa-pss": {
        const key = await importKey(`pss-${algorithm.hash}`, spki, {
          name: "RSA-PSS",
          hash: algorithm.hash,
        });
        return await subtle.verify(
          { name: "RSA-PSS", saltLength: algorithm.saltLength },
          key,
          signature,
          data,
        );
      }
      case "rsa-pkcs1": {
        const name = "RSASSA-PKCS1-v1_5";
        const key = await importKey(`pkcs1-${algorithm.hash}`, spki, {
          name,
          hash: algorithm.hash,
        });
        return await subtle.verify(name, key, signature, data);
      }
      case "ed25519": {
        const key = await importKey("ed25519", spki, { name: "Ed25519" });
        return await subtle.verify("Ed25519", key, signature, data);
      }
    }
  }

  return {
    name: "webcrypto",
    async verify(algorithm, spki, signature, data) {
      try {
        return await verify(algorithm, spki, signature, data);
      } catch (error) {
        // WebCrypto throws for keys that are not on the curve and for signatures of a wrong length.
        if (error instanceof DOMException || error instanceof TypeError) return false;
        throw error;
      }
    },
  };
}
