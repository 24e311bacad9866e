/**
 * Is an SNP report genuine? Signer, product, certificate chain to AMD's pinned root, the signature,
 * and what the certificate says about the chip and its firmware. Whether that will do is
 * appraise.ts.
 */
import type { CheckList } from "../appraisal.ts";
import type { SevSnpSection } from "../policy/sev_snp.ts";
import type { SignatureVerifier } from "../signatures.ts";
import {
  type Certificate,
  iso,
  reportChain,
  sameBytes,
  verifyChain,
  type X509Cache,
} from "../x509/mod.ts";
import { type SnpReport, tcbBelow, tcbString, type TcbVersion, tcbVersion } from "./abi.ts";
import { selectChain, type Signer } from "./chain.ts";
import type { SnpEndorsements } from "./endorsements.ts";
import { type LeafClaims, leafClaims } from "./leaf.ts";
import { type Product, productOfCpuid, productOfName, type SevSnpRoots } from "./roots.ts";

export interface SevSnpDeps {
  readonly signatures: SignatureVerifier;
  readonly cache: X509Cache;
  readonly roots: SevSnpRoots;
}

/** What was established; fields are undefined where the step was not reached. */
export interface VerifiedReport {
  readonly product: Product | undefined;
  readonly leaf: Certificate | undefined;
  readonly claims: LeafClaims | undefined;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number | undefined;
}

export interface VerifyReportInput {
  readonly report: SnpReport;
  readonly endorsements: SnpEndorsements;
  readonly section: SevSnpSection;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Adds the checks of genuineness to `list`. */
export async function verifyReport(
  { report, endorsements, section, now }: VerifyReportInput,
  list: CheckList,
  deps: SevSnpDeps,
): Promise<VerifiedReport> {
  checkFormat(report, list);
  const signer = checkSigner(report, section, list);
  const leaf = findLeaf(signer, endorsements, list);
  const claims = leaf === undefined ? undefined : readLeaf(leaf, signer, list);
  const product = findProduct(report, claims, list);
  if (leaf === undefined || claims === undefined || product === undefined) {
    return { product, leaf, claims, expiresAt: undefined };
  }
  const chain = selectChain(leaf, signer, product, endorsements, section, list, deps);
  const result = await verifyChain({
    leaf,
    intermediates: [chain.intermediate],
    root: chain.root,
    now,
    crls: endorsements.crls,
    rules: { crls: "intermediates", criticalBasicConstraints: true },
    verifier: deps.signatures,
    cache: deps.cache,
  });
  const names = [chain.root, chain.intermediate, leaf];
  reportChain(
    list,
    result,
    section.crl,
    () =>
      `${names.map((each) => each.subjectCommonName).join(" > ")}, until ${iso(result.expiresAt)}`,
  );
  await checkSignature(report, leaf, list, deps);
  checkTcb(report, claims, product, list);
  checkChipId(report, claims, list);
  return { product, leaf, claims, expiresAt: result.expiresAt };
}

function checkFormat(report: SnpReport, list: CheckList): void {
  list.expect(
    report.version >= 2 && report.version <= 6,
    "report_version",
    "unsupported_version",
    "report versions 2 to 6 are known here",
    String(report.version),
  );
  const reserved = [...report.reservedSet];
  if (!report.policy.reservedClear) reserved.push("guest policy 63:26");
  list.expect(
    reserved.length === 0,
    "reserved",
    "reserved_not_zero",
    "fields that must be zero are not",
    reserved.length === 0 ? "all zero" : reserved.join(", "),
  );
  list.expect(
    report.policy.reservedOne,
    "guest_policy",
    "policy_bit_17",
    "bit 17 of the guest policy must be one",
    hexPolicy(report),
  );
  list.expect(
    report.signatureAlgorithm === 1,
    "signature_algorithm",
    "unsupported_algorithm",
    "only algorithm 1 is known: ECDSA P-384 with SHA-384",
    String(report.signatureAlgorithm),
  );
}

function hexPolicy(report: SnpReport): string {
  return `0x${report.policy.raw.toString(16)}`;
}

function checkSigner(report: SnpReport, section: SevSnpSection, list: CheckList): Signer {
  const key = report.signingKey;
  if (key === "none" || key === "reserved") {
    list.fail(
      "signer",
      key === "none" ? "unsigned" : "reserved_signer",
      "the report says that no known key signed it",
      key,
    );
    return undefined;
  }
  if (key === "VCEK" && report.maskChipKey) {
    list.fail(
      "signer",
      "masked_chip_key",
      "the host masks the chip key (MASK_CHIP_KEY): such reports are unsigned",
      key,
    );
    return undefined;
  }
  list.expect(
    section.signers.includes(key),
    "signer",
    "signer_refused",
    `the policy does not accept reports signed by a ${key}`,
    key,
  );
  return key;
}

function findLeaf(
  signer: Signer,
  { groups }: SnpEndorsements,
  list: CheckList,
): Certificate | undefined {
  if (signer === undefined) return undefined;
  const leaves = groups.flatMap(({ certificates }) => certificates)
    .map(({ certificate }) => certificate)
    .filter((certificate) => certificate.basicConstraints?.ca !== true);
  const distinct = leaves.filter((leaf, i) =>
    leaves.findIndex((other) => other.fingerprint === leaf.fingerprint) === i
  );
  const matching = distinct.filter(({ subjectCommonName }) =>
    subjectCommonName === `SEV-${signer}`
  );
  const [only] = matching.length > 0 ? matching : distinct;
  if (only === undefined) {
    list.missing(
      "certificate_chain",
      "leaf_missing",
      `the ${signer} certificate was not given: nothing can be verified`,
      true,
    );
    return undefined;
  }
  if (matching.length > 1) {
    list.fail(
      "certificate_chain",
      "ambiguous_leaf",
      `${matching.length} different ${signer} certificates were given`,
    );
    return undefined;
  }
  return only;
}

function readLeaf(leaf: Certificate, signer: Signer, list: CheckList): LeafClaims | undefined {
  let claims: LeafClaims;
  try {
    claims = leafClaims(leaf);
  } catch (error) {
    list.fail("leaf", "malformed", error instanceof Error ? error.message : String(error));
    return undefined;
  }
  const wrong = claims.kind !== signer
    ? `its name is ${leaf.subjectCommonName}, not SEV-${signer}`
    : claims.structVersion > 1
    ? `its structure version ${claims.structVersion} is unknown`
    : leaf.key.kind !== "ec" || leaf.key.curve !== "P-384"
    ? "its key is not on P-384"
    : signer === "VCEK" && claims.hwId === undefined
    ? "it names no chip (hwID)"
    : signer === "VLEK" && claims.cspId === undefined
    ? "it names no cloud (csp_id)"
    : undefined;
  list.expect(
    wrong === undefined,
    "leaf",
    "wrong_leaf",
    wrong ?? "",
    `${leaf.subjectCommonName}, ${claims.productName}`,
  );
  return wrong === undefined ? claims : undefined;
}

function findProduct(
  report: SnpReport,
  claims: LeafClaims | undefined,
  list: CheckList,
): Product | undefined {
  const named = claims === undefined ? undefined : productOfName(claims.productName);
  if (claims !== undefined && named === undefined) {
    list.fail(
      "product",
      "unknown_product",
      "the certificate names a product that is unknown here",
      claims.productName,
    );
    return undefined;
  }
  if (report.cpuid === undefined) {
    if (named !== undefined) list.pass("product", named.name);
    return named;
  }
  const { family, model } = report.cpuid;
  const product = productOfCpuid(family, model);
  const value = `family 0x${family.toString(16)} model 0x${model.toString(16)}`;
  if (product === undefined) {
    list.fail("product", "unknown_product", "no product with this CPUID is known here", value);
    return undefined;
  }
  if (named !== undefined && named.line !== product.line) {
    list.fail(
      "product",
      "product_mismatch",
      `the report is of ${product.name}, the certificate of ${named.name}`,
      value,
    );
    return undefined;
  }
  list.pass("product", `${product.name}, ${value}`);
  return product;
}

async function checkSignature(
  report: SnpReport,
  leaf: Certificate,
  list: CheckList,
  deps: SevSnpDeps,
): Promise<void> {
  const signature = report.signature;
  const good = signature !== undefined && report.signatureAlgorithm === 1 &&
    await deps.signatures.verify(
      { kind: "ecdsa", curve: "P-384", format: "p1363" },
      leaf.spki,
      signature,
      report.signed,
    );
  list.expect(
    good,
    "signature",
    "bad_signature",
    "the report is not signed by this certificate's key",
    "ECDSA P-384 SHA-384",
  );
}

function checkTcb(report: SnpReport, claims: LeafClaims, product: Product, list: CheckList): void {
  const reported = tcbVersion(report.reportedTcb, product.layout);
  const same = (a: TcbVersion, b: TcbVersion) =>
    tcbBelow(a, b).length === 0 && tcbBelow(b, a).length === 0;
  const complete = product.layout !== "turin" || claims.tcb.fmc !== undefined;
  list.expect(
    complete && same(reported, claims.tcb),
    "tcb_certificate",
    "tcb_mismatch",
    `the certificate is for ${tcbString(claims.tcb)}`,
    tcbString(reported),
  );
}

function checkChipId(report: SnpReport, { hwId }: LeafClaims, list: CheckList): void {
  if (hwId === undefined) {
    list.notApplicable("chip_id", "vlek", "a VLEK names a cloud, not a chip");
    return;
  }
  const chip = report.chipId;
  const matches = sameBytes(hwId, chip.subarray(0, hwId.length)) &&
    chip.subarray(hwId.length).every((byte) => byte === 0);
  list.expect(
    matches,
    "chip_id",
    "chip_id_mismatch",
    "the certificate is of another chip",
    chip.toHex(),
  );
}
