/** X.509 for evidence: strict parsing, path validation against pinned roots, revocation. */
export { keyFits, type KeyKind, keyKind, type UnsupportedAlgorithm } from "./algorithm.ts";
export { BoundedMap, X509Cache } from "./cache.ts";
export {
  type Certificate,
  type Extension,
  parseCertificate,
  parsePemCertificates,
} from "./certificate.ts";
export {
  buildPath,
  type ChainCode,
  type ChainFinding,
  type ChainInput,
  type ChainResult,
  type ChainRules,
  iso,
  reportChain,
  sameBytes,
  verifyCertificateSignature,
  verifyChain,
} from "./chain.ts";
export { type Crl, parseCrl } from "./crl.ts";
export {
  CERTIFICATE_LIMITS,
  checkDer,
  children,
  content,
  CRL_LIMITS,
  derError,
  derTime,
  oidString,
  readOnly,
  readTlv,
  TAG,
  type Tlv,
  unsignedInteger,
  whole,
} from "./der.ts";
export { OID } from "./names.ts";
export { looksLikePem, type PemBlock, pemBlocks } from "./pem.ts";
