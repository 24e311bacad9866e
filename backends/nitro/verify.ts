/** Is a Nitro document genuine? The chain to AWS's pinned root, then the COSE signature. */
import type { CheckList } from "../appraisal.ts";
import { BackendError } from "../mod.ts";
import { AWS_NITRO_ENCLAVES_ROOT_G1 } from "../roots/mod.ts";
import type { SignatureVerifier } from "../signatures.ts";
import {
  type Certificate,
  type Crl,
  iso,
  reportChain,
  verifyChain,
  type X509Cache,
} from "../x509/mod.ts";
import type { NitroDocument } from "./abi.ts";

export interface NitroDeps {
  readonly signatures: SignatureVerifier;
  readonly cache: X509Cache;
  /** DER of the root that documents must lead to. */
  readonly root: Uint8Array;
}

/** AWS's own root, pinned. */
export function awsRoot(): Uint8Array {
  return Uint8Array.fromBase64(AWS_NITRO_ENCLAVES_ROOT_G1.der);
}

export interface VerifiedDocument {
  readonly leaf: Certificate | undefined;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number | undefined;
}

/** Adds the checks of genuineness to `list`. */
export async function verifyDocument(
  document: NitroDocument,
  crls: readonly Crl[],
  crlDemand: "require" | "if_given",
  now: number,
  list: CheckList,
  deps: NitroDeps,
): Promise<VerifiedDocument> {
  const root = deps.cache.pinned(deps.root);
  let leaf: Certificate;
  let bundle: readonly Certificate[];
  try {
    leaf = deps.cache.certificate(document.certificate);
    bundle = document.cabundle.map((der) => deps.cache.certificate(der));
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    list.fail("certificate_chain", "malformed", error.message);
    return { leaf: undefined, expiresAt: undefined };
  }
  const [first, ...below] = bundle;
  if (first?.fingerprint !== root.fingerprint) {
    list.fail(
      "certificate_chain",
      "wrong_root",
      "the document's bundle does not begin with AWS's pinned root",
      first?.fingerprint,
    );
  }
  const names = [...bundle, leaf].map(({ subjectCommonName }) => subjectCommonName ?? "?").join(
    " > ",
  );
  const result = await verifyChain({
    leaf,
    intermediates: below.toReversed(),
    root,
    now,
    crls,
    rules: { crls: "intermediates", criticalBasicConstraints: true, leafKeyUsageRequired: true },
    verifier: deps.signatures,
    cache: deps.cache,
  });
  reportChain(
    list,
    result,
    crlDemand,
    () => `${names}, until ${iso(result.expiresAt)}`,
  );
  const good = await deps.signatures.verify(
    { kind: "ecdsa", curve: "P-384", format: "p1363" },
    leaf.spki,
    document.signature,
    document.signed,
  );
  list.expect(
    good,
    "signature",
    "bad_signature",
    "the document is not signed by its certificate's key",
    "ES384",
  );
  return { leaf, expiresAt: result.expiresAt };
}
