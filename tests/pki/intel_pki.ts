/**
 * Intel's hierarchy made anew for tests: root, both PCK CAs, TCB signing, PCK certificates with the
 * SGX extension, revocation lists. Keys are drawn at every run; production roots never meet them.
 */
import type { Bytes } from "../../backends/mod.ts";
import { ecdsaP1363ToDer } from "../../backends/signatures.ts";
import {
  bits,
  boolean,
  concat,
  enumerated,
  extension,
  integer,
  integerOf,
  intelName,
  octets,
  oid,
  pem,
  sequence,
  time,
  tlv,
} from "./intel_der.ts";

const ECDSA_P256 = { name: "ECDSA", namedCurve: "P-256" };
const ECDSA_SHA256 = sequence(oid("1.2.840.10045.4.3.2"));
const SGX = "1.2.840.113741.1.13.1";

export interface KeyPair {
  readonly privateKey: CryptoKey;
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Bytes;
  /** 64 bytes, x then y. */
  readonly xy: Bytes;
}

export async function makeKey(): Promise<KeyPair> {
  const pair = await crypto.subtle.generateKey(ECDSA_P256, true, ["sign", "verify"]);
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey));
  return { privateKey: pair.privateKey, spki, xy: spki.slice(-64) };
}

/** ECDSA P-256 with SHA-256, r then s. */
export async function sign(key: KeyPair, data: Bytes): Promise<Bytes> {
  const algorithm = { name: "ECDSA", hash: "SHA-256" };
  return new Uint8Array(await crypto.subtle.sign(algorithm, key.privateKey, data));
}

export interface CertificateSpec {
  readonly subject: string;
  readonly issuer: string;
  readonly key: KeyPair;
  readonly issuerKey: KeyPair;
  readonly serial?: Bytes;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** undefined: an end entity. */
  readonly pathLength?: number;
  readonly extensions?: readonly Uint8Array[];
}

export async function makeCertificate(spec: CertificateSpec): Promise<Bytes> {
  const { pathLength } = spec;
  const ca = pathLength !== undefined;
  const tbs = sequence(
    tlv(0xa0, integer(2)),
    integerOf(spec.serial ?? randomSerial()),
    ECDSA_SHA256,
    intelName(spec.issuer),
    sequence(time(spec.notBefore), time(spec.notAfter)),
    intelName(spec.subject),
    spec.key.spki,
    tlv(
      0xa3,
      sequence(
        // keyCertSign and cRLSign; digitalSignature and nonRepudiation.
        extension("2.5.29.15", true, tlv(0x03, ca ? Uint8Array.of(1, 6) : Uint8Array.of(6, 0xc0))),
        extension(
          "2.5.29.19",
          true,
          ca ? sequence(boolean(true), integer(pathLength)) : sequence(),
        ),
        ...spec.extensions ?? [],
      ),
    ),
  );
  return await signedDer(tbs, spec.issuerKey);
}

function randomSerial(): Bytes {
  const serial = crypto.getRandomValues(new Uint8Array(20));
  serial[0] = 0x40 | ((serial[0] ?? 0) & 0x3f);
  return serial;
}

async function signedDer(tbs: Bytes, issuerKey: KeyPair): Promise<Bytes> {
  return sequence(tbs, ECDSA_SHA256, bits(ecdsaP1363ToDer(await sign(issuerKey, tbs))));
}

export interface CrlSpec {
  readonly issuer: string;
  readonly issuerKey: KeyPair;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  /** Big-endian serials. */
  readonly revoked?: readonly Bytes[];
}

export async function makeCrl(spec: CrlSpec): Promise<Bytes> {
  const revoked = (spec.revoked ?? []).map((serial) =>
    sequence(integerOf(serial), time(spec.thisUpdate))
  );
  const tbs = sequence(
    integer(1),
    ECDSA_SHA256,
    intelName(spec.issuer),
    time(spec.thisUpdate),
    time(spec.nextUpdate),
    ...(revoked.length === 0 ? [] : [sequence(...revoked)]),
    tlv(0xa0, sequence(extension("2.5.29.20", false, integer(1)))),
  );
  return await signedDer(tbs, spec.issuerKey);
}

export interface SgxExtensionSpec {
  readonly fmspc: Bytes;
  readonly pceId: Bytes;
  readonly components: readonly number[];
  readonly pceSvn: number;
}

/** The SGX extension of a PCK certificate of a scalable platform. */
export function sgxExtension(spec: SgxExtensionSpec): Bytes {
  const field = (arc: string, value: Uint8Array) => sequence(oid(`${SGX}.${arc}`), value);
  const tcb = sequence(
    ...spec.components.map((svn, i) => field(`2.${i + 1}`, integer(svn))),
    field("2.17", integer(spec.pceSvn)),
    field("2.18", octets(Uint8Array.from(spec.components))),
  );
  const value = sequence(
    field("1", octets(new Uint8Array(16).fill(0x5a))),
    field("2", tcb),
    field("3", octets(spec.pceId)),
    field("4", octets(spec.fmspc)),
    field("5", enumerated(1)),
    field("6", octets(new Uint8Array(16).fill(0xa5))),
    field(
      "7",
      sequence(
        field("7.1", boolean(true)),
        field("7.2", boolean(true)),
        field("7.3", boolean(false)),
      ),
    ),
  );
  return extension(SGX, false, value);
}

export const NAMES = {
  root: "Intel SGX Root CA",
  platform: "Intel SGX PCK Platform CA",
  processor: "Intel SGX PCK Processor CA",
  tcbSigning: "Intel SGX TCB Signing",
  pck: "Intel SGX PCK Certificate",
} as const;

export type PckAuthority = "platform" | "processor";

export interface IntelPki {
  readonly keys: Readonly<Record<keyof typeof NAMES, KeyPair>>;
  readonly serials: Readonly<Record<keyof typeof NAMES, Bytes>>;
  /** DER. */
  readonly root: Bytes;
  readonly authorities: Readonly<Record<PckAuthority, Bytes>>;
  readonly tcbSigning: Bytes;
  readonly notBefore: number;
  readonly notAfter: number;
}

/** A whole hierarchy, valid between two clocks. */
export async function makeIntelPki(notBefore: number, notAfter: number): Promise<IntelPki> {
  const keys = {
    root: await makeKey(),
    platform: await makeKey(),
    processor: await makeKey(),
    tcbSigning: await makeKey(),
    pck: await makeKey(),
  };
  const serials = {
    root: randomSerial(),
    platform: randomSerial(),
    processor: randomSerial(),
    tcbSigning: randomSerial(),
    pck: randomSerial(),
  };
  const dates = { notBefore, notAfter };
  const make = (who: keyof typeof NAMES, pathLength?: number) =>
    makeCertificate({
      subject: NAMES[who],
      issuer: NAMES.root,
      key: keys[who],
      issuerKey: keys.root,
      serial: serials[who],
      ...dates,
      ...(pathLength === undefined ? {} : { pathLength }),
    });
  return {
    keys,
    serials,
    root: await make("root", 1),
    authorities: { platform: await make("platform", 0), processor: await make("processor", 0) },
    tcbSigning: await make("tcbSigning"),
    ...dates,
  };
}

export async function makePck(
  pki: IntelPki,
  authority: PckAuthority,
  sgx: SgxExtensionSpec,
  dates: { notBefore?: number; notAfter?: number } = {},
): Promise<Bytes> {
  return await makeCertificate({
    subject: NAMES.pck,
    issuer: NAMES[authority],
    key: pki.keys.pck,
    issuerKey: pki.keys[authority],
    serial: pki.serials.pck,
    notBefore: dates.notBefore ?? pki.notBefore,
    notAfter: dates.notAfter ?? pki.notAfter,
    extensions: [sgxExtension(sgx)],
  });
}

/** PEM of certificates, one after the other. */
export function pemChain(...certificates: readonly Uint8Array[]): Bytes {
  return concat(
    ...certificates.map((der) => new TextEncoder().encode(pem("CERTIFICATE", der))),
  );
}
