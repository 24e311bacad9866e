/**
 * Path validation (RFC 5280, 6.1) for the short, known chains of TEE vendors: leaf, the
 * intermediates in order, a pinned root. Every departure is a finding with a stable code; all are
 * reported, so that "expired" does not hide "revoked".
 */
import type { Bytes } from "../mod.ts";
import type { SignatureVerifier } from "../signatures.ts";
import { keyFits } from "./algorithm.ts";
import type { X509Cache } from "./cache.ts";
import type { Certificate } from "./certificate.ts";
import type { Crl } from "./crl.ts";
import { OID } from "./names.ts";

export type ChainCode =
  | "expired"
  | "not_yet_valid"
  | "bad_signature"
  | "unsupported_algorithm"
  | "wrong_issuer"
  | "not_ca"
  | "not_critical"
  | "not_end_entity"
  | "path_length"
  | "repeated_certificate"
  | "key_usage"
  | "unknown_critical_extension"
  | "revoked"
  | "crl_missing"
  | "crl_expired"
  | "crl_not_yet_valid"
  | "crl_bad_signature"
  | "crl_unsupported";

export interface ChainFinding {
  readonly code: ChainCode;
  /** Which certificate (or whose CRL): its common name or name. */
  readonly subject: string;
  /** 0 is the leaf, then upwards; the root is last. */
  readonly index: number;
  /** One sentence for people. */
  readonly text: string;
}

export interface ChainRules {
  /** Whether the leaf must carry keyUsage with digitalSignature. Without: only if it has the extension. */
  readonly leafKeyUsageRequired?: boolean;
  /** Whether authorities must mark basicConstraints critical (RFC 5280, 4.2.1.9). */
  readonly criticalBasicConstraints?: boolean;
  /** Critical extensions that the caller judges itself, beyond basicConstraints and keyUsage. */
  readonly knownCritical?: readonly string[];
  /** For which certificates a CRL must be there. A CRL that is given is always used. */
  readonly crls: "all" | "intermediates" | "none";
}

export interface ChainInput {
  readonly leaf: Certificate;
  /** From the leaf's issuer up to the one below the root. */
  readonly intermediates: readonly Certificate[];
  /** Pinned by the caller; its own signature is not what makes it trusted. */
  readonly root: Certificate;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly crls: readonly Crl[];
  readonly rules: ChainRules;
  readonly verifier: SignatureVerifier;
  readonly cache: X509Cache | undefined;
}

export interface ChainResult {
  /** Empty: the chain holds. */
  readonly findings: readonly ChainFinding[];
  /** Milliseconds since the epoch: when the first certificate or used CRL runs out. */
  readonly expiresAt: number;
  /** How many CRLs were used, by issuer name. */
  readonly crlsUsed: readonly string[];
}

const MAX_PATH = 12;

/** Whether `certificate` is signed by the key of `issuer`. Names and dates are not looked at. */
export async function verifyCertificateSignature(
  certificate: Certificate,
  issuer: Certificate,
  verifier: SignatureVerifier,
  cache?: X509Cache,
): Promise<boolean> {
  return await verifySigned(certificate, issuer, verifier, cache) === "good";
}

type Signed = Pick<Certificate, "algorithm" | "tbs" | "signature" | "fingerprint">;

async function verifySigned(
  signed: Signed,
  issuer: Certificate,
  verifier: SignatureVerifier,
  cache: X509Cache | undefined,
): Promise<"good" | "bad" | "unsupported"> {
  if (signed.algorithm.kind === "unsupported") return "unsupported";
  if (!keyFits(issuer.key, signed.algorithm)) return "unsupported";
  if (cache?.isVerified(signed.fingerprint, issuer.fingerprint)) return "good";
  const good = await verifier.verify(signed.algorithm, issuer.spki, signed.signature, signed.tbs);
  if (good) cache?.markVerified(signed.fingerprint, issuer.fingerprint);
  return good ? "good" : "bad";
}

/**
 * Validates a path. A negative answer is a value: findings.
 * @throws {RangeError} `now` is no number
 */
export async function verifyChain(input: ChainInput): Promise<ChainResult> {
  const { leaf, intermediates, root, now, rules } = input;
  const path = [leaf, ...intermediates, root];
  const findings: ChainFinding[] = [];
  const crlsUsed: string[] = [];
  let expiresAt = Infinity;
  const add = (index: number, code: ChainCode, text: string) => {
    const certificate = path[index] ?? root;
    const subject = certificate.subjectCommonName ?? certificate.subjectName;
    findings.push({ code, subject, index, text: `${subject}: ${text}` });
  };
  // A clock that is no number would be inside every validity period.
  if (!Number.isFinite(now)) throw new RangeError(`the clock is ${now}`);
  if (path.length > MAX_PATH) {
    add(0, "path_length", `${path.length} certificates, ${MAX_PATH} at most`);
    return { findings, expiresAt: now, crlsUsed };
  }
  path.forEach(({ fingerprint }, index) => {
    if (path.findIndex((other) => other.fingerprint === fingerprint) < index) {
      add(index, "repeated_certificate", "stands in the chain twice");
    }
  });
  const known = new Set<string>([OID.basicConstraints, OID.keyUsage, ...rules.knownCritical ?? []]);

  for (let index = path.length - 1; index >= 0; index--) {
    const certificate = path[index] ?? root;
    expiresAt = Math.min(expiresAt, certificate.notAfter);
    if (now < certificate.notBefore) {
      add(index, "not_yet_valid", `not valid before ${iso(certificate.notBefore)}`);
    }
    if (now > certificate.notAfter) {
      add(index, "expired", `expired at ${iso(certificate.notAfter)}`);
    }
    for (const [oid, { critical }] of certificate.extensions) {
      if (critical && !known.has(oid)) {
        add(index, "unknown_critical_extension", `critical extension ${oid} is unknown`);
      }
    }
    if (index === 0) checkLeaf(certificate, rules, add);
    else checkAuthority(certificate, index, rules, add);

    const issuer = path[index + 1];
    if (issuer === undefined) continue; // the pinned root
    if (!sameBytes(certificate.issuer, issuer.subject)) {
      add(
        index,
        "wrong_issuer",
        `issued by "${certificate.issuerName}", but "${issuer.subjectName}" comes next`,
      );
    }
    const signature = await verifySigned(certificate, issuer, input.verifier, input.cache);
    if (signature === "bad") {
      add(
        index,
        "bad_signature",
        `not signed by ${issuer.subjectCommonName ?? issuer.subjectName}`,
      );
    }
    if (signature === "unsupported") {
      add(
        index,
        "unsupported_algorithm",
        "its signature algorithm is unknown or does not fit the issuer's key",
      );
    }
    const until = await checkRevocation(input, certificate, issuer, index, add, crlsUsed);
    expiresAt = Math.min(expiresAt, until);
  }
  return { findings, expiresAt, crlsUsed };
}

type Add = (index: number, code: ChainCode, text: string) => void;

function checkLeaf(leaf: Certificate, rules: ChainRules, add: Add): void {
  if (leaf.basicConstraints?.ca === true) {
    add(0, "not_end_entity", "an authority's certificate stands where the leaf belongs");
  }
  const usage = leaf.keyUsage;
  if (usage === undefined ? rules.leafKeyUsageRequired === true : !usage.digitalSignature) {
    add(0, "key_usage", "its key may not sign (keyUsage)");
  }
}

function checkAuthority(
  certificate: Certificate,
  index: number,
  rules: ChainRules,
  add: Add,
): void {
  if (certificate.basicConstraints?.ca !== true) {
    add(index, "not_ca", "is not a certificate authority");
  }
  if (
    rules.criticalBasicConstraints === true &&
    certificate.extensions.get(OID.basicConstraints)?.critical !== true
  ) add(index, "not_critical", "its basicConstraints are not marked critical");
  const limit = certificate.basicConstraints?.pathLength;
  // Certificates between this one and the leaf.
  if (limit !== undefined && index - 1 > limit) {
    add(index, "path_length", `allows ${limit} authorities below it, there are ${index - 1}`);
  }
  if (certificate.keyUsage?.keyCertSign !== true) {
    add(index, "key_usage", "may not sign certificates (keyUsage)");
  }
}

/** Milliseconds since the epoch until which the answer of the CRL holds; Infinity without one. */
async function checkRevocation(
  { crls, rules, now, verifier, cache }: ChainInput,
  certificate: Certificate,
  issuer: Certificate,
  index: number,
  add: Add,
  crlsUsed: string[],
): Promise<number> {
  const candidates = crls.filter((crl) => sameBytes(crl.issuer, issuer.subject));
  const required = rules.crls === "all" || (rules.crls === "intermediates" && index > 0);
  if (candidates.length === 0) {
    if (required) {
      add(
        index,
        "crl_missing",
        `no revocation list of ${issuer.subjectCommonName ?? issuer.subjectName} was given`,
      );
    }
    return Infinity;
  }
  const problems: [ChainCode, string][] = [];
  let until = -Infinity;
  for (const crl of candidates) {
    const signature = await verifySigned(crl, issuer, verifier, cache);
    if (signature !== "good" || issuer.keyUsage?.crlSign !== true) {
      problems.push([
        "crl_bad_signature",
        `the revocation list of ${crl.issuerName} is not signed by it`,
      ]);
      continue;
    }
    // A serial on any genuine list counts, also on an old one: revocation is not taken back.
    const at = crl.revoked.get(certificate.serial);
    if (at !== undefined) {
      add(
        index,
        "revoked",
        `revoked at ${iso(at)} by ${issuer.subjectCommonName ?? issuer.subjectName}`,
      );
    }
    const unknown = unknownCritical(crl);
    if (unknown !== undefined) {
      problems.push(["crl_unsupported", `the revocation list has critical extension ${unknown}`]);
    } else if (now < crl.thisUpdate) {
      problems.push(["crl_not_yet_valid", `the revocation list is of ${iso(crl.thisUpdate)}`]);
    } else if (crl.nextUpdate === undefined || now > crl.nextUpdate) {
      const when = crl.nextUpdate === undefined
        ? "has no nextUpdate"
        : `expired at ${iso(crl.nextUpdate)}`;
      problems.push(["crl_expired", `the revocation list ${when}`]);
    } else until = Math.max(until, crl.nextUpdate);
  }
  if (until === -Infinity) {
    for (const [code, text] of problems) add(index, code, text);
    return Infinity;
  }
  const name = issuer.subjectCommonName ?? issuer.subjectName;
  if (!crlsUsed.includes(name)) crlsUsed.push(name);
  return until;
}

function unknownCritical(crl: Crl): string | undefined {
  for (const [oid, { critical }] of crl.extensions) if (critical) return oid;
  return crl.criticalEntryExtension;
}

/** Where the outcome of a chain goes: a `CheckList`. */
interface ChainChecks {
  pass(id: string, value?: string): void;
  fail(id: string, code: string, text: string, value?: string): void;
  missing(id: string, code: string, text: string, demanded: boolean): void;
}

/**
 * Tells a chain's findings as the checks `certificate_chain` and `crl`.
 * @param demand whether the policy demands revocation lists
 */
export function reportChain(
  list: ChainChecks,
  result: ChainResult,
  demand: "require" | "if_given",
  describe: () => string,
): void {
  const missing: string[] = [];
  let chainHolds = true;
  let listsHold = true;
  for (const { code, text } of result.findings) {
    if (code === "crl_missing") missing.push(text);
    else if (code.startsWith("crl_")) {
      listsHold = false;
      list.fail("crl", code, text);
    } else {
      chainHolds = false;
      list.fail("certificate_chain", code, text);
    }
  }
  if (chainHolds) list.pass("certificate_chain", describe());
  if (missing.length > 0) {
    list.missing("crl", "crl_missing", missing.join("; "), demand === "require");
  } else if (listsHold) list.pass("crl", result.crlsUsed.join(", "));
}

/** Byte equality; not for secrets. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** RFC 3339 to the second. */
export function iso(ms: number): string {
  return Number.isFinite(ms) ? new Date(ms).toISOString().replace(".000Z", "Z") : String(ms);
}

/**
 * The path from a leaf up to (not including) `root`, by issuer and subject names, out of a pool in
 * any order; undefined where there is none. Signatures are `verifyChain()`'s business.
 */
export function buildPath(
  leaf: Certificate,
  pool: readonly Certificate[],
  root: Pick<Certificate, "subject"> & { readonly raw: Bytes },
): Certificate[] | undefined {
  const path: Certificate[] = [];
  let current = leaf;
  while (!sameBytes(current.issuer, root.subject)) {
    const next = pool.find((candidate) =>
      sameBytes(candidate.subject, current.issuer) && !path.includes(candidate) &&
      candidate !== leaf
    );
    if (next === undefined || path.length >= MAX_PATH) return undefined;
    path.push(next);
    current = next;
  }
  return path;
}
