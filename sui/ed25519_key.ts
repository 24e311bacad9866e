/**
 * Ed25519 keys that anybody can sign for. A key of small order lets a signature stand for (nearly)
 * any message, without a private key; verifiers, OpenSSL's among them, take it all the same.
 */

/** y of the points of order 1, 2, 4 and 8, little-endian; each with either sign of x (RFC 8032, 5.1.2). */
const SMALL_ORDER_Y: readonly string[] = [
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "0000000000000000000000000000000000000000000000000000000000000000",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
];

/**
 * Whether a key has small order, or is written with y of 2^255 - 19 or more, so that one key would
 * have two names. Whether it is a point at all is for the verifier.
 *
 * @param key 32 bytes, as RFC 8032 encodes a point
 */
export function isWeakEd25519Key(key: Uint8Array): boolean {
  const y = Uint8Array.from(key);
  y[31] = (y[31] ?? 0) & 0x7f;
  const isCanonical = y[31] !== 0x7f || (y[0] ?? 0) < 0xed ||
    y.subarray(1, 31).some((byte) => byte !== 0xff);
  return !isCanonical || SMALL_ORDER_Y.includes(y.toHex());
}
