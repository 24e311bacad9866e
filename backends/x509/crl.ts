/** Certificate revocation lists (RFC 5280, 5): DER or PEM to plain, checked values. */
import { createHash } from "node:crypto";
import { BackendError, type Bytes } from "../mod.ts";
import type { SignatureAlgorithm } from "../signatures.ts";
import { certificateAlgorithm, type UnsupportedAlgorithm } from "./algorithm.ts";
import { decode, type Extension, readExtensions } from "./certificate.ts";
import {
  checkDer,
  children,
  content,
  CRL_LIMITS,
  derError,
  derTime,
  readOnly,
  TAG,
  type Tlv,
  whole,
} from "./der.ts";
import { checkName, lazyName } from "./names.ts";
import { looksLikePem, pemBlocks } from "./pem.ts";

export interface Crl {
  readonly raw: Bytes;
  /** SHA-256 of `raw` (the DER), hex. */
  readonly fingerprint: string;
  readonly tbs: Bytes;
  readonly issuer: Bytes;
  readonly issuerName: string;
  /** Milliseconds since the epoch. */
  readonly thisUpdate: number;
  /** RFC 5280 demands one; a list without it counts as expired. */
  readonly nextUpdate: number | undefined;
  /** Serial (content of the INTEGER, hex) to revocation time. */
  readonly revoked: ReadonlyMap<string, number>;
  readonly extensions: ReadonlyMap<string, Extension>;
  /** A critical extension inside an entry: this reader cannot judge such a list. */
  readonly criticalEntryExtension: string | undefined;
  readonly algorithm: SignatureAlgorithm | UnsupportedAlgorithm;
  readonly signature: Bytes;
}

/**
 * One CRL, in DER or as one PEM block `X509 CRL`.
 * @throws {BackendError} `malformed` with what is wrong
 */
export function parseCrl(bytes: Uint8Array): Crl {
  let der: Uint8Array = bytes;
  if (looksLikePem(bytes)) {
    if (bytes.length > 2 * CRL_LIMITS.maxBytes) {
      throw new BackendError("malformed", "PEM: too large");
    }
    const [block, more] = pemBlocks(new TextDecoder("latin1").decode(bytes), 2);
    if (block?.label !== "X509 CRL" || more !== undefined) {
      throw new BackendError("malformed", "PEM: one X509 CRL block is wanted");
    }
    der = block.data;
  }
  checkDer(der, CRL_LIMITS);
  const raw = new Uint8Array(der);
  const outer = children(raw, readOnly(raw, TAG.sequence, "CRL"));
  const [tbs, algorithm, signature] = outer;
  if (
    outer.length !== 3 || tbs?.tag !== TAG.sequence || algorithm?.tag !== TAG.sequence ||
    signature?.tag !== TAG.bitString
  ) throw derError("a CRL is a sequence of three");
  const fields = children(raw, tbs);
  let version = 1;
  if (fields[0]?.tag === TAG.integer) {
    const versionField = fields.shift();
    if (versionField !== undefined && content(raw, versionField).toHex() !== "01") {
      throw derError("CRL version");
    }
    version = 2;
  }
  const [inner, issuer, thisUpdate, ...rest] = fields;
  if (inner?.tag !== TAG.sequence || issuer?.tag !== TAG.sequence || thisUpdate === undefined) {
    throw derError("tbsCertList: unexpected fields");
  }
  if (whole(raw, inner).toHex() !== whole(raw, algorithm).toHex()) {
    throw derError("the algorithm inside the signed part differs from the one outside");
  }
  const isTime = (tlv: Tlv | undefined) =>
    tlv?.tag === TAG.utcTime || tlv?.tag === TAG.generalizedTime;
  const nextUpdate = isTime(rest[0]) ? rest.shift() : undefined;
  const revokedList = rest[0]?.tag === TAG.sequence ? rest.shift() : undefined;
  const extensionsField = rest[0]?.tag === 0xa0 ? rest.shift() : undefined;
  if (rest.length > 0) throw derError("tbsCertList: unexpected fields at the end");
  if (extensionsField !== undefined && version !== 2) {
    throw derError("CRL extensions need version 2");
  }
  const signatureBits = content(raw, signature);
  if (signatureBits[0] !== 0) throw derError("signature is not whole bytes");
  checkName(raw, issuer);
  const issuerNames = lazyName(whole(raw, issuer));
  return {
    raw,
    fingerprint: createHash("sha256").update(raw).digest("hex"),
    tbs: whole(raw, tbs),
    issuer: whole(raw, issuer),
    get issuerName() {
      return issuerNames().full;
    },
    thisUpdate: derTime(raw, thisUpdate),
    nextUpdate: nextUpdate === undefined ? undefined : derTime(raw, nextUpdate),
    ...readEntries(raw, revokedList),
    extensions: extensionsField === undefined ? new Map() : readExtensions(raw, extensionsField),
    algorithm: decode(() => certificateAlgorithm(whole(raw, inner)), "signature algorithm"),
    signature: signatureBits.subarray(1),
  };
}

/** Entries are read by hand: lists reach tens of thousands of them. */
function readEntries(
  raw: Bytes,
  list: Tlv | undefined,
): Pick<Crl, "revoked" | "criticalEntryExtension"> {
  const revoked = new Map<string, number>();
  let criticalEntryExtension: string | undefined;
  for (const entry of list === undefined ? [] : children(raw, list)) {
    const parts = children(raw, entry);
    const [serial, time, extensions] = parts;
    if (
      entry.tag !== TAG.sequence || serial?.tag !== TAG.integer || time === undefined ||
      parts.length > 3 ||
      (extensions !== undefined && extensions.tag !== TAG.sequence)
    ) throw derError("bad CRL entry");
    revoked.set(content(raw, serial).toHex(), derTime(raw, time));
    if (extensions === undefined) continue;
    for (const extension of children(raw, extensions)) {
      const [oid, critical] = children(raw, extension);
      if (
        critical?.tag === TAG.boolean && content(raw, critical)[0] === 0xff && oid !== undefined
      ) {
        criticalEntryExtension ??= content(raw, oid).toHex();
      }
    }
  }
  return { revoked, criticalEntryExtension };
}
