/** What verification stands on: the pinned root, the signature provider, the cache. */
import type { Bytes } from "../mod.ts";
import { INTEL_SGX_ROOT_CA, type PinnedCertificate } from "../roots/mod.ts";
import type { SignatureVerifier } from "../signatures.ts";
import {
  type Certificate,
  iso,
  parseCertificate,
  verifyCertificateSignature,
  verifyChain,
} from "../x509/mod.ts";
import type { ChainFinding, Crl } from "../x509/mod.ts";
import type { DcapCache } from "./cache.ts";
import { digest } from "./cache.ts";
import { INTEL_TCB_SIGNING } from "./tcb_signing.ts";

export interface DcapContext {
  readonly root: Certificate;
  /** Stand-ins for a chain that was not given; verified under the root like any other. */
  readonly tcbSigning: readonly Certificate[];
  readonly signatures: SignatureVerifier;
  readonly cache: DcapCache | undefined;
}

function fromPin(pin: PinnedCertificate): Certificate {
  return parseCertificate(Uint8Array.fromBase64(pin.der));
}

/** Intel's production root. Another root is for tests and for whoever knows why. */
export function createDcapContext(deps: {
  readonly signatures: SignatureVerifier;
  readonly cache?: DcapCache | undefined;
  readonly root?: Certificate;
  readonly tcbSigning?: readonly Certificate[];
}): DcapContext {
  return {
    root: deps.root ?? fromPin(INTEL_SGX_ROOT_CA),
    tcbSigning: deps.tcbSigning ?? INTEL_TCB_SIGNING.map(fromPin),
    signatures: deps.signatures,
    cache: deps.cache,
  };
}

/** ECDSA P-256 with SHA-256 over `data`, r ‖ s; a good answer is remembered when it may recur. */
export async function isSignedBy(
  context: DcapContext,
  spki: Bytes,
  signature: Bytes,
  data: Bytes,
  recurs: boolean,
): Promise<boolean> {
  const key = recurs && context.cache !== undefined ? digest(spki, signature, data) : undefined;
  if (key !== undefined && context.cache?.isGood(key) === true) return true;
  const algorithm = { kind: "ecdsa", curve: "P-256", format: "p1363" } as const;
  const good = await context.signatures.verify(algorithm, spki, signature, data);
  if (good && key !== undefined) context.cache?.markGood(key);
  return good;
}

/** Problems of a chain as it was given, apart from what path validation finds. */
export interface ChainProblem {
  readonly code: string;
  readonly text: string;
}

export interface DcapChain {
  readonly leaf: Certificate | undefined;
  /** Of the certificates themselves. */
  readonly problems: readonly ChainProblem[];
  /** Of the lists: who issued which, by index of the certificate they are about. */
  readonly revocation: readonly ChainFinding[];
  readonly revoked: readonly ChainFinding[];
  readonly crlsUsed: readonly string[];
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

export const INTEL_NAMES = {
  pck: ["Intel SGX PCK Certificate"],
  pckAuthority: ["Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA"],
  tcbSigning: ["Intel SGX TCB Signing"],
} as const;

/**
 * Verifies a chain in the order it was given: leaf, `authorities` intermediates, and perhaps the
 * root itself, which must then be the pinned one (a reissue under the same key and name will do).
 */
export async function verifyDcapChain(
  context: DcapContext,
  chain: readonly Certificate[],
  names: readonly (readonly string[])[],
  crls: readonly Crl[],
  now: number,
): Promise<DcapChain> {
  const problems: ChainProblem[] = [];
  const [leaf, ...rest] = chain;
  if (leaf === undefined) {
    return {
      leaf,
      problems: [{ code: "chain_incomplete", text: "the chain is empty" }],
      revocation: [],
      revoked: [],
      crlsUsed: [],
      expiresAt: now,
    };
  }
  const authorities = names.length - 1;
  const intermediates = rest.slice(0, authorities);
  if (intermediates.length < authorities) {
    problems.push({
      code: "chain_incomplete",
      text: `${chain.length} certificates, ${names.length} or ${names.length + 1} are wanted`,
    });
  }
  const root = rest[authorities];
  if (root !== undefined) problems.push(...await rootProblems(context, root, now));
  if (rest.length > authorities + 1) {
    problems.push({
      code: "unexpected_certificate",
      text: `${chain.length} certificates, at most ${names.length + 1} are wanted`,
    });
  }
  names.forEach((expected, index) => {
    const certificate = chain[index];
    if (certificate === undefined) return;
    const name = certificate.subjectCommonName ?? "";
    if (!expected.includes(name)) {
      problems.push({
        code: "unexpected_name",
        text: `"${name}" stands where ${expected.map((one) => `"${one}"`).join(" or ")} belongs`,
      });
    }
  });
  const result = await verifyChain({
    leaf,
    intermediates,
    root: context.root,
    now,
    crls,
    rules: { crls: "all", leafKeyUsageRequired: true },
    verifier: context.signatures,
    cache: context.cache?.x509,
  });
  const ofCrl = (finding: ChainFinding) => finding.code.startsWith("crl_");
  const revoked = result.findings.filter(({ code }) => code === "revoked");
  for (const finding of result.findings) {
    if (!ofCrl(finding) && finding.code !== "revoked") problems.push(finding);
  }
  return {
    leaf,
    problems,
    revocation: result.findings.filter(ofCrl),
    revoked,
    crlsUsed: result.crlsUsed,
    expiresAt: result.expiresAt,
  };
}

async function rootProblems(
  { root: pinned, signatures, cache }: DcapContext,
  given: Certificate,
  now: number,
): Promise<ChainProblem[]> {
  if (given.fingerprint === pinned.fingerprint) return [];
  const sameKey = given.spki.toHex() === pinned.spki.toHex() &&
    given.subject.toHex() === pinned.subject.toHex() &&
    given.issuer.toHex() === pinned.subject.toHex() &&
    await verifyCertificateSignature(given, pinned, signatures, cache?.x509);
  if (!sameKey) {
    return [{
      code: "wrong_root",
      text: `the chain ends at "${given.subjectName}" that is not the pinned root`,
    }];
  }
  if (now >= given.notBefore && now <= given.notAfter) return [];
  return [{
    code: now > given.notAfter ? "expired" : "not_yet_valid",
    text: `the chain's root is valid ${iso(given.notBefore)} to ${iso(given.notAfter)}`,
  }];
}
