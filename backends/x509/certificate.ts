/** X.509 certificates (RFC 5280): DER and PEM to plain, checked values. */
import { createHash } from "node:crypto";
import { AsnConvert } from "@peculiar/asn1-schema";
import { BasicConstraints, KeyUsage } from "@peculiar/asn1-x509";
import { BackendError, type Bytes } from "../mod.ts";
import type { SignatureAlgorithm } from "../signatures.ts";
import {
  certificateAlgorithm,
  type KeyKind,
  keyKind,
  type UnsupportedAlgorithm,
} from "./algorithm.ts";
import {
  CERTIFICATE_LIMITS,
  checkDer,
  children,
  content,
  derError,
  derTime,
  oidString,
  readOnly,
  TAG,
  type Tlv,
  unsignedInteger,
  whole,
} from "./der.ts";
import { checkName, lazyName, OID } from "./names.ts";
import { type PemBlock, pemBlocks } from "./pem.ts";

export interface Extension {
  readonly critical: boolean;
  /** The content of extnValue, usually DER itself. */
  readonly value: Bytes;
}

/** Bits of KeyUsage that path validation looks at. */
export interface KeyUsages {
  readonly digitalSignature: boolean;
  readonly keyCertSign: boolean;
  readonly crlSign: boolean;
}

export interface Certificate {
  /** The whole certificate, DER. */
  readonly raw: Bytes;
  /** SHA-256 of `raw`, hex. */
  readonly fingerprint: string;
  /** The signed part, DER, exactly as it stands. */
  readonly tbs: Bytes;
  /** 1, 2 or 3. */
  readonly version: number;
  /** Content of the INTEGER in hex, as encoded (`00` for AMD's leaves). */
  readonly serial: string;
  /** DER of the Name; chains compare these bytes. */
  readonly issuer: Bytes;
  readonly subject: Bytes;
  readonly issuerName: string;
  readonly subjectName: string;
  readonly subjectCommonName: string | undefined;
  /** Milliseconds since the epoch; both ends are inside. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Bytes;
  readonly key: KeyKind;
  /** By dotted object identifier. */
  readonly extensions: ReadonlyMap<string, Extension>;
  readonly basicConstraints:
    | { readonly ca: boolean; readonly pathLength: number | undefined }
    | undefined;
  readonly keyUsage: KeyUsages | undefined;
  readonly algorithm: SignatureAlgorithm | UnsupportedAlgorithm;
  readonly signature: Bytes;
}

/**
 * One certificate in DER, copied, so that later changes of the input do not matter.
 * @throws {BackendError} `malformed` with what is wrong
 */
export function parseCertificate(der: Uint8Array): Certificate {
  checkDer(der, CERTIFICATE_LIMITS);
  const raw = new Uint8Array(der);
  const outer = children(raw, readOnly(raw, TAG.sequence, "certificate"));
  const [tbs, algorithm, signature] = outer;
  if (
    outer.length !== 3 || tbs?.tag !== TAG.sequence || algorithm?.tag !== TAG.sequence ||
    signature?.tag !== TAG.bitString
  ) throw derError("a certificate is a sequence of three");
  const fields = children(raw, tbs);
  const version = readVersion(raw, fields[0]?.tag === 0xa0 ? fields.shift() : undefined);
  const [serial, inner, issuer, validity, subject, spki] = fields;
  if (
    serial?.tag !== TAG.integer || inner?.tag !== TAG.sequence || issuer?.tag !== TAG.sequence ||
    validity?.tag !== TAG.sequence || subject?.tag !== TAG.sequence || spki?.tag !== TAG.sequence
  ) throw derError("tbsCertificate: unexpected fields");
  const tail = fields.slice(6);
  if (
    !tail.every(({ tag }, i) =>
      [0x81, 0x82, 0xa3].includes(tag) && tag > (tail[i - 1]?.tag ?? 0x80)
    )
  ) {
    throw derError("tbsCertificate: unexpected fields after the key");
  }
  const innerAlgorithm = whole(raw, inner);
  if (innerAlgorithm.toHex() !== whole(raw, algorithm).toHex()) {
    throw derError("the algorithm inside the signed part differs from the one outside");
  }
  const times = children(raw, validity);
  const [from, to] = times;
  if (times.length !== 2 || from === undefined || to === undefined) throw derError("bad validity");
  const signatureBits = content(raw, signature);
  if (signatureBits[0] !== 0) throw derError("signature is not whole bytes");
  const spkiBytes = whole(raw, spki);
  const extensionsField = tail.find(({ tag }) => tag === 0xa3);
  const extensions = extensionsField === undefined
    ? new Map<string, Extension>()
    : readExtensions(raw, extensionsField);
  if (extensions.size > 0 && version !== 3) throw derError("extensions need version 3");
  checkName(raw, issuer);
  checkName(raw, subject);
  const issuerNames = lazyName(whole(raw, issuer));
  const subjectNames = lazyName(whole(raw, subject));
  return {
    raw,
    fingerprint: createHash("sha256").update(raw).digest("hex"),
    tbs: whole(raw, tbs),
    version,
    serial: content(raw, serial).toHex(),
    issuer: whole(raw, issuer),
    subject: whole(raw, subject),
    get issuerName() {
      return issuerNames().full;
    },
    get subjectName() {
      return subjectNames().full;
    },
    get subjectCommonName() {
      return subjectNames().commonName;
    },
    notBefore: derTime(raw, from),
    notAfter: derTime(raw, to),
    spki: spkiBytes,
    key: keyKind(spkiBytes),
    extensions,
    basicConstraints: readBasicConstraints(extensions.get(OID.basicConstraints)),
    keyUsage: readKeyUsage(extensions.get(OID.keyUsage)),
    algorithm: decode(() => certificateAlgorithm(innerAlgorithm), "signature algorithm"),
    signature: signatureBits.subarray(1),
  };
}

/**
 * Every CERTIFICATE block of a PEM text, in order.
 * @throws {BackendError} `malformed`: no block, another kind of block, bad base64, a bad certificate
 */
export function parsePemCertificates(
  text: string,
  parse: (der: Uint8Array) => Certificate = parseCertificate,
  maxCertificates = 16,
): Certificate[] {
  const blocks: readonly PemBlock[] = pemBlocks(text, maxCertificates);
  return blocks.map(({ label, data }) => {
    if (label !== "CERTIFICATE") {
      throw new BackendError("malformed", `PEM: ${label} where a certificate belongs`);
    }
    return parse(data);
  });
}

/** Runs a library decoder on bytes from outside; whatever it throws becomes `malformed`. */
export function decode<T>(run: () => T, what: string): T {
  try {
    return run();
  } catch (cause) {
    if (cause instanceof BackendError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BackendError("malformed", `${what}: ${reason.slice(0, 200)}`, { cause });
  }
}

function readVersion(raw: Bytes, field: Tlv | undefined): number {
  if (field === undefined) return 1;
  const bytes = content(raw, field);
  const version = unsignedInteger(content(bytes, readOnly(bytes, TAG.integer, "version"))) + 1;
  if (version < 2 || version > 3) throw derError(`certificate version ${version}`);
  return version;
}

/**
 * `[n] EXPLICIT Extensions`: each an identifier, maybe a critical flag, and an OCTET STRING.
 * @throws {BackendError} `malformed`, also when an extension stands twice
 */
export function readExtensions(raw: Bytes, field: Tlv): ReadonlyMap<string, Extension> {
  const out = new Map<string, Extension>();
  const [list, more] = children(raw, field);
  if (list?.tag !== TAG.sequence || more !== undefined) throw derError("bad extensions");
  for (const item of children(raw, list)) {
    const parts = children(raw, item);
    const [id, flag] = parts;
    const value = parts.at(-1);
    if (
      item.tag !== TAG.sequence || id?.tag !== TAG.oid || value?.tag !== TAG.octetString ||
      (parts.length === 3 ? flag?.tag !== TAG.boolean : parts.length !== 2)
    ) throw derError("bad extension");
    const oid = oidString(content(raw, id));
    if (out.has(oid)) throw derError(`extension ${oid} stands twice`);
    const critical = parts.length === 3 && flag !== undefined && content(raw, flag)[0] === 0xff;
    out.set(oid, { critical, value: content(raw, value) });
  }
  return out;
}

function readBasicConstraints(extension: Extension | undefined): Certificate["basicConstraints"] {
  if (extension === undefined) return undefined;
  checkDer(extension.value, CERTIFICATE_LIMITS);
  const { cA, pathLenConstraint } = decode(
    () => AsnConvert.parse(extension.value, BasicConstraints),
    "basicConstraints",
  );
  return { ca: cA, pathLength: pathLenConstraint };
}

function readKeyUsage(extension: Extension | undefined): KeyUsages | undefined {
  if (extension === undefined) return undefined;
  checkDer(extension.value, CERTIFICATE_LIMITS);
  const flags = decode(() => AsnConvert.parse(extension.value, KeyUsage), "keyUsage").toJSON();
  return {
    digitalSignature: flags.includes("digitalSignature"),
    keyCertSign: flags.includes("keyCertSign"),
    crlSign: flags.includes("crlSign"),
  };
}
