/** Which certificates stand between a leaf and AMD's pinned root; strays are reported. */
import type { CheckList } from "../appraisal.ts";
import type { SevSnpSection } from "../policy/sev_snp.ts";
import { type Certificate, sameBytes } from "../x509/mod.ts";
import type { CertificateGroup, SnpEndorsements } from "./endorsements.ts";
import type { Product } from "./roots.ts";
import type { SevSnpDeps } from "./verify.ts";

/** Which key signs; undefined: none that is known. */
export type Signer = "VCEK" | "VLEK" | undefined;

/** The pinned chain, or supplied authorities in its place where they differ; strays are reported. */
export function selectChain(
  leaf: Certificate,
  signer: Signer,
  product: Product,
  { groups, unknown }: SnpEndorsements,
  section: SevSnpSection,
  list: CheckList,
  { cache, roots }: SevSnpDeps,
): { intermediate: Certificate; root: Certificate } {
  const line = roots[product.line];
  const root = cache.pinned(line.ark);
  const pinned = cache.pinned(signer === "VLEK" ? line.asvk : line.ask);
  let intermediate = pinned;
  const problems: { code: string; text: string }[] = [];
  for (const type of unknown) {
    problems.push({ code: "unknown_endorsement", text: `endorsement "${type}" is unknown here` });
  }
  for (const group of groups) {
    const ranks: number[] = [];
    for (const { certificate, declared } of group.certificates) {
      const name = certificate.subjectCommonName ?? certificate.subjectName;
      let rank: number | undefined;
      if (certificate.fingerprint === leaf.fingerprint) rank = 0;
      else if (sameBytes(certificate.subject, pinned.subject)) {
        rank = 1;
        if (certificate.fingerprint !== pinned.fingerprint) intermediate = certificate;
      } else if (sameBytes(certificate.subject, root.subject)) {
        rank = 2;
        if (certificate.fingerprint !== root.fingerprint) {
          list.fail(
            "certificate_chain",
            "wrong_root",
            `the ${name} that was given is not AMD's pinned one`,
          );
        }
      } else if (!group.ordered && isOtherKind(declared, signer)) continue;
      else if (sameBytes(certificate.subject, certificate.issuer)) {
        list.fail("certificate_chain", "wrong_root", `${name} is no root of ${product.line}`);
      } else {problems.push({
          code: "unexpected_certificate",
          text: `${name} does not belong to this chain`,
        });}
      if (rank !== undefined) {
        ranks.push(rank);
        if (!declaredFits(declared, rank, signer)) {
          problems.push({
            code: "wrong_certificate_type",
            text: `${name} was handed in as "${declared}"`,
          });
        }
      }
    }
    if (group.ordered && ranks.some((rank, i) => i > 0 && rank <= (ranks[i - 1] ?? 0))) {
      problems.push({
        code: "wrong_order",
        text: "certificates of one file must run from the leaf to the root, each once",
      });
    }
  }
  if (section.certificates === "exact") {
    for (const { code, text } of problems) list.fail("certificates", code, text);
    if (problems.length === 0) list.pass("certificates", describe(groups));
  } else {list.notApplicable(
      "certificates",
      "not_demanded",
      "the policy does not look at superfluous certificates",
    );}
  return { intermediate, root };
}

/** A table may hold the key of the other kind beside the one that signed. */
function isOtherKind(declared: string, signer: Signer): boolean {
  return declared === (signer === "VCEK" ? "vlek" : "vcek") || declared === "ask";
}

function declaredFits(declared: string, rank: number, signer: Signer): boolean {
  if (declared === "certificates") return true;
  // One PEM may hold leaf and chain under the leaf's name, or chain and root under the intermediate's.
  if (declared === signer?.toLowerCase()) return true;
  if (declared === "ask" || declared === "asvk") {
    return rank >= 1 && (declared === "ask" || signer === "VLEK");
  }
  return declared === "ark" && rank === 2;
}

function describe(groups: readonly CertificateGroup[]): string {
  const count = groups.reduce((sum, group) => sum + group.certificates.length, 0);
  return count === 1 ? "1 given" : `${count} given`;
}
