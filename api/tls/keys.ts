/** The listener's keys: P-256, derived from the store's `tls` secret, so that they are its own and stay. */
import {
  createECDH,
  createPrivateKey,
  createPublicKey,
  hkdfSync,
  type KeyObject,
} from "node:crypto";
import { Buffer } from "node:buffer";
import type { Bytes } from "../../backends/mod.ts";

export interface TlsKey {
  readonly privateKey: KeyObject;
  /** DER SubjectPublicKeyInfo, 91 bytes. */
  readonly spki: Bytes;
  /** PKCS #8 in PEM, for the TLS library; never written anywhere. */
  pem(): string;
}

/** Order of P-256 (FIPS 186-5 by way of SP 800-186, 3.2.1.3). */
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** 0x04 ‖ x ‖ y. */
function publicPoint(scalar: Bytes): Bytes {
  const ecdh = createECDH("prime256v1");
  ecdh.setPrivateKey(Buffer.from(scalar.buffer, scalar.byteOffset, scalar.length));
  return new Uint8Array(ecdh.getPublicKey());
}

/**
 * One key for one purpose. P-256, because that is what every TLS client has.
 *
 * The scalar is made of 48 bytes of HKDF-SHA-256 output, reduced: FIPS 186-5, A.2.1 (extra random bits).
 *
 * @param secret 32 bytes
 * @param purpose `ca` or `server`
 */
export function deriveTlsKey(secret: Bytes, purpose: "ca" | "server"): TlsKey {
  const info = `nautilus-tee/tls/${purpose}/v1`;
  const wide = new Uint8Array(hkdfSync("sha256", secret, new Uint8Array(0), info, 48));
  const scalar = BigInt(`0x${wide.toHex()}`) % (ORDER - 1n) + 1n;
  wide.fill(0);
  const d = Uint8Array.fromHex(scalar.toString(16).padStart(64, "0"));
  const point = publicPoint(d);
  const url = (bytes: Uint8Array) => bytes.toBase64({ alphabet: "base64url", omitPadding: true });
  const privateKey = createPrivateKey({
    format: "jwk",
    key: {
      kty: "EC",
      crv: "P-256",
      d: url(d),
      x: url(point.subarray(1, 33)),
      y: url(point.subarray(33)),
    },
  });
  d.fill(0);
  const spki = createPublicKey(privateKey).export({ format: "der", type: "spki" });
  return {
    privateKey,
    spki: new Uint8Array(spki),
    pem: () => privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
  };
}
