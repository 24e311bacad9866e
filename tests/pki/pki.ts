/** A PKI of any shape for tests: keys, certificates, lists, in DER. Production roots never meet it. */
import type { Bytes } from "../../backends/mod.ts";
import { ecdsaP1363ToDer } from "../../backends/signatures.ts";
import {
  bits,
  boolean,
  extension,
  integer,
  integerOf,
  oid,
  sequence,
  set,
  time,
  tlv,
  utf8,
} from "./intel_der.ts";

export type KeyType = "P-256" | "P-384" | "RSA-PSS";

export interface TestKey {
  readonly type: KeyType;
  readonly privateKey: CryptoKey;
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Bytes;
}

/** RSA keys are of 2048 bits: the real ones have 4096 and take seconds to make. */
export async function makeKey(type: KeyType): Promise<TestKey> {
  const parameters = type === "RSA-PSS"
    ? { name: type, modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1), hash: "SHA-384" }
    : { name: "ECDSA", namedCurve: type };
  const pair = await crypto.subtle.generateKey(parameters, true, ["sign", "verify"]);
  if (!("publicKey" in pair)) throw new Error("no key pair");
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey));
  return { type, privateKey: pair.privateKey, spki };
}

const sha384 = sequence(oid("2.16.840.1.101.3.4.2.2"), tlv(0x05));
const ALGORITHM: Readonly<Record<KeyType, Bytes>> = {
  "P-256": sequence(oid("1.2.840.10045.4.3.2")),
  "P-384": sequence(oid("1.2.840.10045.4.3.3")),
  "RSA-PSS": sequence(
    oid("1.2.840.113549.1.1.10"),
    sequence(
      tlv(0xa0, sha384),
      tlv(0xa1, sequence(oid("1.2.840.113549.1.1.8"), sha384)),
      tlv(0xa2, integer(48)),
    ),
  ),
};

/** r ‖ s for elliptic curves, the PSS signature (SHA-384, salt of 48) for RSA. */
export async function sign(key: TestKey, data: Bytes): Promise<Bytes> {
  const algorithm = key.type === "RSA-PSS"
    ? { name: "RSA-PSS", saltLength: 48 }
    : { name: "ECDSA", hash: key.type === "P-256" ? "SHA-256" : "SHA-384" };
  return new Uint8Array(await crypto.subtle.sign(algorithm, key.privateKey, data));
}

export function name(commonName: string, organization = "Nautilus Test"): Bytes {
  const part = (id: string, value: string) => set(sequence(oid(id), utf8(value)));
  return sequence(part("2.5.4.10", organization), part("2.5.4.3", commonName));
}

export interface CertificateSpec {
  readonly subject: string;
  readonly issuer: string;
  readonly key: TestKey;
  readonly issuerKey: TestKey;
  readonly notBefore: number;
  readonly notAfter: number;
  /** Big-endian; one random byte and more otherwise. */
  readonly serial?: Bytes;
  /** Makes it an authority. */
  readonly ca?: { readonly pathLength?: number; readonly critical?: boolean };
  /** A BIT STRING's content; `none`: no such extension. Fitting ones otherwise. */
  readonly keyUsage?: Uint8Array | "none";
  readonly extensions?: readonly Uint8Array[];
}

/** keyCertSign and cRLSign; digitalSignature. */
export const CA_USAGE: Uint8Array = Uint8Array.of(1, 0x06);
export const LEAF_USAGE: Uint8Array = Uint8Array.of(7, 0x80);

export async function makeCertificate(spec: CertificateSpec): Promise<Bytes> {
  const { ca } = spec;
  const usage = spec.keyUsage ?? (ca === undefined ? LEAF_USAGE : CA_USAGE);
  const constraints = ca === undefined
    ? sequence()
    : sequence(boolean(true), ...(ca.pathLength === undefined ? [] : [integer(ca.pathLength)]));
  const extensions = [
    ...(usage === "none" ? [] : [extension("2.5.29.15", true, tlv(0x03, usage))]),
    extension("2.5.29.19", ca?.critical ?? true, constraints),
    ...spec.extensions ?? [],
  ];
  const tbs = sequence(
    tlv(0xa0, integer(2)),
    integerOf(spec.serial ?? crypto.getRandomValues(new Uint8Array(8))),
    ALGORITHM[spec.issuerKey.type],
    name(spec.issuer),
    sequence(time(spec.notBefore), time(spec.notAfter)),
    name(spec.subject),
    spec.key.spki,
    tlv(0xa3, sequence(...extensions)),
  );
  return await signedDer(tbs, spec.issuerKey);
}

/** tbs, algorithm, signature. */
export async function signedDer(tbs: Bytes, key: TestKey): Promise<Bytes> {
  const raw = await sign(key, tbs);
  return sequence(
    tbs,
    ALGORITHM[key.type],
    bits(key.type === "RSA-PSS" ? raw : ecdsaP1363ToDer(raw)),
  );
}

export interface CrlSpec {
  readonly issuer: string;
  readonly issuerKey: TestKey;
  readonly thisUpdate: number;
  /** `none`: the field is left out. */
  readonly nextUpdate: number | "none";
  readonly revoked?: readonly Bytes[];
  readonly extensions?: readonly Uint8Array[];
}

export async function makeCrl(spec: CrlSpec): Promise<Bytes> {
  const revoked = (spec.revoked ?? []).map((serial) =>
    sequence(integerOf(serial), time(spec.thisUpdate))
  );
  const tbs = sequence(
    integer(1),
    ALGORITHM[spec.issuerKey.type],
    name(spec.issuer),
    time(spec.thisUpdate),
    ...(spec.nextUpdate === "none" ? [] : [time(spec.nextUpdate)]),
    ...(revoked.length === 0 ? [] : [sequence(...revoked)]),
    tlv(0xa0, sequence(extension("2.5.29.20", false, integer(1)), ...spec.extensions ?? [])),
  );
  return await signedDer(tbs, spec.issuerKey);
}
