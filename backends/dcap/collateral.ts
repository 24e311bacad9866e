/**
 * Collateral as it comes: replies of Intel's service, bundles that tools make of them, chains and
 * CRLs in DER, PEM, hex, base64 or percent-encoding. Each item is recognised by its content; names
 * and types given by whoever saved it mean nothing. Nothing here is trusted yet.
 */
import { BackendError } from "../errors.ts";
import type { Bytes, Endorsement } from "../mod.ts";
import {
  type Certificate,
  type Crl,
  looksLikePem,
  parseCertificate,
  parseCrl,
  pemBlocks,
  readTlv,
  sameBytes,
  TAG,
} from "../x509/mod.ts";
import { bundleItems, headerChains } from "./bundle.ts";
import { jsonText, objectMembers } from "./json_text.ts";
import { decodeQeIdentity, decodeTcbInfo, type QeIdentity, type TcbInfo } from "./tcb_info.ts";

/** A JSON text with Intel's signature over exactly these characters. */
export interface SignedJson<Value> {
  readonly text: Bytes;
  /** 64 bytes, r then s. */
  readonly signature: Bytes;
  readonly value: Value;
  /** Issuer chain from the same bundle, leaf first; undefined: it came without. */
  readonly chain: readonly Certificate[] | undefined;
  readonly source: string;
}

/** Something that was given and could not be used. */
export interface CollateralProblem {
  readonly source: string;
  readonly text: string;
}

export interface DcapCollateral {
  readonly tcbInfos: readonly SignedJson<TcbInfo>[];
  readonly qeIdentities: readonly SignedJson<QeIdentity>[];
  readonly crls: readonly Crl[];
  /** Certificates of each item, in its order. */
  readonly chains: readonly (readonly Certificate[])[];
  /** Recognised, but broken. */
  readonly malformed: readonly CollateralProblem[];
  /** Recognised, but without the signature that would make it worth anything. */
  readonly unsigned: readonly string[];
  /** Not collateral: event logs, HCL reports, somebody's notes. */
  readonly others: readonly { readonly source: string; readonly data: Bytes }[];
}

export const MAX_ITEMS = 64;

export type CertificateParser = (der: Bytes) => Certificate;

/** `parseCertificate()` that parses the same bytes once: chains share their upper ends. */
export function rememberingParser(known: Iterable<Certificate> = []): CertificateParser {
  const parsed = [...known];
  return (der) => {
    const before = parsed.find(({ raw }) => sameBytes(raw, der));
    if (before !== undefined) return before;
    const certificate = parseCertificate(der);
    parsed.push(certificate);
    return certificate;
  };
}

interface Sink {
  readonly parse: CertificateParser;
  tcbInfos: SignedJson<TcbInfo>[];
  qeIdentities: SignedJson<QeIdentity>[];
  crls: Crl[];
  chains: Certificate[][];
  malformed: CollateralProblem[];
  unsigned: string[];
  others: { source: string; data: Bytes }[];
}

/** Sorts what was given. Never throws: what is broken is listed as such. */
export function collectCollateral(
  endorsements: readonly Endorsement[],
  parse: CertificateParser = rememberingParser(),
): DcapCollateral {
  const sink: Sink = {
    parse,
    tcbInfos: [],
    qeIdentities: [],
    crls: [],
    chains: [],
    malformed: [],
    unsigned: [],
    others: [],
  };
  endorsements.forEach(({ type, data }, index) => {
    const source = `${type === "" ? "item" : type} (${index + 1})`;
    if (index >= MAX_ITEMS) {
      if (index === MAX_ITEMS) {
        sink.malformed.push({ source, text: `more than ${MAX_ITEMS} items of collateral` });
      }
      return;
    }
    guarded(sink, source, () => addItem(sink, source, data, 0));
  });
  const { parse: _parse, ...collateral } = sink;
  return collateral;
}

function guarded(sink: Sink, source: string, add: () => void): void {
  try {
    add();
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    sink.malformed.push({ source, text: error.message });
  }
}

/** @param depth how many text encodings were taken off already. */
function addItem(sink: Sink, source: string, data: Bytes, depth: number): void {
  if (data[0] === TAG.sequence) return addDer(sink, source, data);
  const head = firstCharacter(data);
  if (head === "{") return addJson(sink, source, jsonText(trimmed(data), source));
  if (looksLikePem(data)) return addPem(sink, source, data);
  if (depth < 2) {
    const chains = headerChains(data);
    if (chains !== undefined) {
      for (const chain of chains) addItem(sink, source, chain, depth + 1);
      return;
    }
    const decoded = decodedText(data);
    if (decoded !== undefined) return addItem(sink, source, decoded, depth + 1);
  }
  sink.others.push({ source, data });
}

function firstCharacter(data: Uint8Array): string {
  for (const byte of data.subarray(0, 64)) {
    if (![0x20, 0x09, 0x0a, 0x0d, 0xef, 0xbb, 0xbf].includes(byte)) {
      return String.fromCharCode(byte);
    }
  }
  return "";
}

/** Without the zero byte that C programs leave behind a text. */
function trimmed(data: Bytes): Bytes {
  let end = data.length;
  while (end > 0 && data[end - 1] === 0) end--;
  return data.subarray(0, end);
}

/** Hex or base64 text of DER; undefined for anything else. */
function decodedText(data: Bytes): Bytes | undefined {
  if (data.length > (16 << 20)) return undefined;
  const text = new TextDecoder("latin1").decode(trimmed(data)).trim();
  if (/^30(?:[0-9a-fA-F]{2}){8,}$/.test(text)) return Uint8Array.fromHex(text);
  if (!/^M[A-Za-z0-9+/\s]{16,}={0,2}$/.test(text)) return undefined;
  try {
    const decoded = Uint8Array.fromBase64(text);
    return decoded[0] === TAG.sequence ? decoded : undefined;
  } catch {
    return undefined; // not base64: some other text
  }
}

/** A CRL, a certificate, or certificates one after the other. */
function addDer(sink: Sink, source: string, data: Bytes): void {
  let shape: "certificate" | "crl" | undefined;
  try {
    shape = derShape(data);
  } catch {
    shape = undefined; // not even DER: nothing of ours
  }
  if (shape === undefined) sink.others.push({ source, data });
  else if (shape === "crl") sink.crls.push(parseCrl(data));
  else sink.chains.push(parseDerCertificates(data, sink.parse));
}

function derShape(data: Uint8Array): "certificate" | "crl" | undefined {
  const outer = readTlv(data, 0, data.length);
  const tbs = readTlv(data, outer.contentStart, outer.end);
  if (outer.tag !== TAG.sequence || tbs.tag !== TAG.sequence) return undefined;
  const first = readTlv(data, tbs.contentStart, tbs.end);
  // tbsCertificate begins with [0] version 3, tbsCertList with INTEGER version 2 or the algorithm.
  if (first.tag === 0xa0) return "certificate";
  return first.tag === TAG.integer || first.tag === TAG.sequence ? "crl" : undefined;
}

/** Certificates in DER, one after the other, at most 16. @throws {BackendError} `malformed`. */
export function parseDerCertificates(data: Bytes, parse: CertificateParser): Certificate[] {
  const certificates: Certificate[] = [];
  for (let offset = 0; offset < data.length;) {
    if (certificates.length >= 16) {
      throw new BackendError("malformed", "more than 16 certificates in one item");
    }
    const { end } = readTlv(data, offset, data.length);
    certificates.push(parse(data.subarray(offset, end)));
    offset = end;
  }
  return certificates;
}

function addPem(sink: Sink, source: string, data: Bytes): void {
  const text = new TextDecoder("latin1").decode(data);
  const chain: Certificate[] = [];
  for (const { label, data: der } of pemBlocks(text, 64)) {
    if (label === "CERTIFICATE") chain.push(sink.parse(der));
    else if (label === "X509 CRL") sink.crls.push(parseCrl(der));
    else throw new BackendError("malformed", `${source}: a PEM block ${label} is no collateral`);
  }
  if (chain.length > 0) sink.chains.push(chain);
}

function addJson(sink: Sink, source: string, text: string): void {
  const members = objectMembers(text, source);
  if (members === undefined) return;
  const { replies, chains, crls, unsigned, recognised } = bundleItems(members, source);
  if (!recognised) {
    sink.others.push({ source, data: new TextEncoder().encode(text) });
    return;
  }
  sink.unsigned.push(...unsigned);
  for (const item of crls) guarded(sink, item.source, () => sink.crls.push(parseCrl(item.data)));
  for (const item of chains) {
    guarded(sink, item.source, () => addItem(sink, item.source, item.data, 1));
  }
  for (const reply of replies) {
    guarded(sink, reply.source, () => {
      const { issuerChain } = reply;
      const common = {
        text: new TextEncoder().encode(reply.text),
        signature: reply.signature,
        source: reply.source,
        chain: issuerChain === undefined ? undefined : parseChain(issuerChain, sink.parse),
      };
      if (reply.kind === "tcbInfo") {
        sink.tcbInfos.push({ ...common, value: decodeTcbInfo(reply.text) });
      } else sink.qeIdentities.push({ ...common, value: decodeQeIdentity(reply.text) });
    });
  }
}

/**
 * A chain as quotes and bundles carry it: PEM with nothing but white space around its blocks (and
 * the zero byte of a C string), or DER one after the other.
 * @throws {BackendError} `malformed`.
 */
export function parseChain(
  data: Bytes,
  parse: CertificateParser = rememberingParser(),
): Certificate[] {
  if (data[0] === TAG.sequence) return parseDerCertificates(data, parse);
  const text = new TextDecoder("latin1").decode(trimmed(data));
  if (
    !/^\s*(?:-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]*-----END CERTIFICATE-----\s*)+$/.test(text)
  ) {
    throw new BackendError("malformed", "PEM: certificates and nothing else are wanted");
  }
  return pemBlocks(text, 16).map(({ label, data: der }) => {
    if (label !== "CERTIFICATE") {
      throw new BackendError("malformed", `PEM: ${label} where a certificate belongs`);
    }
    return parse(der);
  });
}
