/** Certificates and CRLs handed along with an SNP report, whatever they came in. */
import type { Endorsement } from "../mod.ts";
import { type Certificate, type Crl, looksLikePem, type X509Cache } from "../x509/mod.ts";
import { parseCertificateTable, type TableCertificate } from "./abi.ts";

/** Endorsement types that this family reads. */
export const SEV_SNP_ENDORSEMENTS = [
  "vcek",
  "vlek",
  "ask",
  "asvk",
  "ark",
  /** One or more certificates, DER or PEM. */
  "certificates",
  /** The table of an extended report. */
  "certificate-table",
  "crl",
] as const;

/** Certificates of one source: a PEM file, one DER, or a table (whose order means nothing). */
export interface CertificateGroup {
  readonly ordered: boolean;
  readonly certificates: readonly {
    readonly certificate: Certificate;
    readonly declared: string;
  }[];
}

export interface SnpEndorsements {
  readonly groups: readonly CertificateGroup[];
  readonly crls: readonly Crl[];
  /** Types nobody here reads. */
  readonly unknown: readonly string[];
}

/** @throws {BackendError} `malformed`, naming what it was */
export function readEndorsements(
  table: readonly TableCertificate[],
  endorsements: readonly Endorsement[],
  cache: X509Cache,
): SnpEndorsements {
  const groups: CertificateGroup[] = [];
  const crls: Crl[] = [];
  const unknown: string[] = [];
  const addTable = (entries: readonly TableCertificate[]) => {
    const certificates = entries.filter(({ kind }) => kind !== "other").map(({ kind, data }) => ({
      certificate: cache.certificate(data),
      declared: kind,
    }));
    if (certificates.length > 0) groups.push({ ordered: false, certificates });
  };
  addTable(table);
  for (const { type, data } of endorsements) {
    if (type === "crl") crls.push(cache.crl(data));
    else if (type === "certificate-table") addTable(parseCertificateTable(data));
    else if ((SEV_SNP_ENDORSEMENTS as readonly string[]).includes(type)) {
      const certificates = looksLikePem(data) ? cache.pem(data) : [cache.certificate(data)];
      groups.push({
        ordered: true,
        certificates: certificates.map((certificate) => ({ certificate, declared: type })),
      });
    } else unknown.push(type);
  }
  return { groups, crls, unknown };
}
