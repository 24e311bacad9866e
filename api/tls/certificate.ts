/** X.509 certificates (RFC 5280) for the listener: a CA of the store's own, and what it signs. */
import { createHash, sign } from "node:crypto";
import { AsnConvert, OctetString } from "@peculiar/asn1-schema";
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  GeneralName,
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
  id_kp_clientAuth,
  id_kp_serverAuth,
  KeyIdentifier,
  KeyUsage,
  KeyUsageFlags,
  Name,
  RelativeDistinguishedName,
  SubjectAlternativeName,
  SubjectKeyIdentifier,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from "@peculiar/asn1-x509";
import type { Bytes } from "../../backends/mod.ts";
import type { TlsKey } from "./keys.ts";

const ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2";
const COMMON_NAME = "2.5.4.3";
const ORGANIZATION = "2.5.4.10";

export interface CertificateRequest {
  /** 16 bytes; made positive. */
  readonly serial: Bytes;
  readonly subject: string;
  readonly issuer: string;
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Bytes;
  readonly issuerKey: TlsKey;
  /** Milliseconds since the epoch; whole seconds are kept. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Undefined: a CA that signs end entities only. Empty for a client. */
  readonly serverNames: readonly string[] | undefined;
  /** What an end entity may be; a server unless said otherwise. */
  readonly usage?: "server" | "client";
}

/** DER of a signed certificate. */
export function makeCertificate(request: CertificateRequest): Bytes {
  const algorithm = new AlgorithmIdentifier({ algorithm: ECDSA_WITH_SHA256 });
  const serial = request.serial.slice();
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40; // positive, and of full length
  const tbs = new TBSCertificate({
    version: Version.v3,
    serialNumber: serial.buffer,
    signature: algorithm,
    issuer: name(request.issuer),
    validity: new Validity({
      notBefore: time(request.notBeforeMs),
      notAfter: time(request.notAfterMs),
    }),
    subject: name(request.subject),
    subjectPublicKeyInfo: AsnConvert.parse(request.spki, SubjectPublicKeyInfo),
    extensions: new Extensions(extensions(request)),
  });
  const certificate = new Certificate({
    tbsCertificate: tbs,
    signatureAlgorithm: algorithm,
    signatureValue: new ArrayBuffer(0),
  });
  const signature = sign("sha256", new Uint8Array(AsnConvert.serialize(tbs)), {
    key: request.issuerKey.privateKey,
    dsaEncoding: "der",
  });
  certificate.signatureValue = new Uint8Array(signature).buffer;
  return new Uint8Array(AsnConvert.serialize(certificate));
}

function extensions(request: CertificateRequest): Extension[] {
  const { serverNames } = request;
  const isCa = serverNames === undefined;
  const usage = isCa
    ? KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign
    : KeyUsageFlags.digitalSignature;
  const out = [
    extension(
      id_ce_basicConstraints,
      true,
      isCa ? new BasicConstraints({ cA: true, pathLenConstraint: 0 }) : new BasicConstraints(),
    ),
    extension(id_ce_keyUsage, true, new KeyUsage(usage)),
    extension(id_ce_subjectKeyIdentifier, false, new SubjectKeyIdentifier(keyId(request.spki))),
    extension(
      id_ce_authorityKeyIdentifier,
      false,
      new AuthorityKeyIdentifier({
        keyIdentifier: new KeyIdentifier(keyId(request.issuerKey.spki)),
      }),
    ),
  ];
  if (serverNames !== undefined) {
    const purpose = request.usage === "client" ? id_kp_clientAuth : id_kp_serverAuth;
    out.push(extension(id_ce_extKeyUsage, false, new ExtendedKeyUsage([purpose])));
  }
  if (serverNames !== undefined && serverNames.length > 0) {
    out.push(
      extension(
        id_ce_subjectAltName,
        false,
        new SubjectAlternativeName(serverNames.map(generalName)),
      ),
    );
  }
  return out;
}

function extension(id: string, critical: boolean, value: object): Extension {
  return new Extension({
    extnID: id,
    critical,
    extnValue: new OctetString(AsnConvert.serialize(value)),
  });
}

/** RFC 7093, 2, method 1: the leftmost 160 bits of SHA-256 of the subject public key. */
function keyId(spki: Bytes): ArrayBuffer {
  const { subjectPublicKey } = AsnConvert.parse(spki, SubjectPublicKeyInfo);
  const digest = createHash("sha256").update(new Uint8Array(subjectPublicKey)).digest();
  return new Uint8Array(digest.subarray(0, 20)).buffer;
}

function name(commonName: string): Name {
  const attribute = (type: string, text: string) =>
    new RelativeDistinguishedName([
      new AttributeTypeAndValue({ type, value: new AttributeValue({ utf8String: text }) }),
    ]);
  return new Name([attribute(ORGANIZATION, "nautilus-tee"), attribute(COMMON_NAME, commonName)]);
}

/** Whole seconds; the library writes UTCTime until 2049 and GeneralizedTime from then on (RFC 5280, 4.1.2.5). */
function time(milliseconds: number): Date {
  return new Date(Math.floor(milliseconds / 1000) * 1000);
}

const IPV4 = /^\d{1,3}(\.\d{1,3}){3}$/;

/** Whether a host is written as an address. */
function isIpAddress(host: string): boolean {
  return IPV4.test(host) || host.includes(":");
}

function generalName(host: string): GeneralName {
  return isIpAddress(host)
    ? new GeneralName({ iPAddress: host })
    : new GeneralName({ dNSName: host });
}
