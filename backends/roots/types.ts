/**
 * The vendors' roots and intermediates, pinned: DER in base64, with SHA-256 of the DER and of its
 * SubjectPublicKeyInfo, both checked by the test beside this file. Where each comes from and how to
 * check it against the vendor: docs/VERIFYING.md, "Roots".
 */

export interface PinnedCertificate {
  readonly name: string;
  /** SHA-256 of the DER, hex. */
  readonly sha256: string;
  /** SHA-256 of the DER SubjectPublicKeyInfo, hex. */
  readonly spkiSha256: string;
  /** Base64 DER. */
  readonly der: string;
}
