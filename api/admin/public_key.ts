/** The admin's public key in the forms that people have it in, as one form: base64 of its SPKI. */

/** DER of an Ed25519 SubjectPublicKeyInfo up to the 32 key bytes (RFC 8410, 4). */
const SPKI_PREFIX = Uint8Array.fromHex("302a300506032b6570032100");
const OPENSSH_TYPE = "ssh-ed25519";
/** Longer is no Ed25519 key in any form. */
const MAX_TEXT = 4_096;

const WANTED = "an Ed25519 public key is wanted: base64 of its SubjectPublicKeyInfo, PEM " +
  "(BEGIN PUBLIC KEY), or OpenSSH (ssh-ed25519 AAAA…)";

/**
 * Reads base64 SPKI, PEM (RFC 7468), or one OpenSSH line (RFC 8709, 4).
 * @returns base64 of the 44-byte DER SubjectPublicKeyInfo
 * @throws {Error} saying what is wanted; a private key is refused by name
 */
export function parseAdminKey(value: unknown): string {
  if (typeof value !== "string" || value.length > MAX_TEXT) throw new Error(WANTED);
  const text = value.trim();
  if (/PRIVATE KEY/.test(text)) throw new Error("this is a private key; the public one is wanted");
  const key = text.startsWith(`${OPENSSH_TYPE} `)
    ? fromOpenSsh(text)
    : text.startsWith("-----BEGIN ")
    ? fromPem(text)
    : fromSpki(text);
  if (isSmallOrder(key)) throw new Error("this Ed25519 key is one that any signature fits");
  return new Uint8Array([...SPKI_PREFIX, ...key]).toBase64();
}

function fromSpki(text: string): Uint8Array {
  const der = base64(text);
  const isEd25519 = der.length === SPKI_PREFIX.length + 32 &&
    SPKI_PREFIX.every((byte, index) => der[index] === byte);
  if (!isEd25519) throw new Error(WANTED);
  return der.subarray(SPKI_PREFIX.length);
}

function fromPem(text: string): Uint8Array {
  const match = /^-----BEGIN PUBLIC KEY-----\s([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----$/
    .exec(text);
  if (match?.[1] === undefined) throw new Error(WANTED);
  return fromSpki(match[1].replace(/\s+/g, ""));
}

function fromOpenSsh(text: string): Uint8Array {
  if (/[\r\n]/.test(text)) throw new Error("one key is wanted, not several lines");
  const blob = base64(text.split(" ")[1] ?? "");
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
  const parts: Uint8Array[] = [];
  for (let offset = 0; offset < blob.length;) {
    if (offset + 4 > blob.length) throw new Error(WANTED);
    const end = offset + 4 + view.getUint32(offset);
    if (end > blob.length) throw new Error(WANTED);
    parts.push(blob.subarray(offset + 4, end));
    offset = end;
  }
  const [type, key, more] = parts;
  const fits = type !== undefined && new TextDecoder().decode(type) === OPENSSH_TYPE &&
    key?.length === 32 && more === undefined;
  if (!fits) throw new Error(WANTED);
  return key;
}

function base64(text: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.fromBase64(text);
  } catch (cause) {
    throw new Error(WANTED, { cause });
  }
}

/** The y coordinates of the eight points of small order (RFC 8032, 5.1; canonical and not). */
const SMALL_ORDER = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]);

function isSmallOrder(key: Uint8Array): boolean {
  const y = key.slice();
  y[31] = (y[31] ?? 0) & 0x7f;
  return SMALL_ORDER.has(y.toHex());
}
