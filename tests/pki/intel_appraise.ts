/** Appraises SGX and TDX evidence in tests, under a policy that demands all but names no values. */
import * as v from "valibot";
import type { AttestationResult } from "../../backends/appraisal.ts";
import type { DcapCache } from "../../backends/dcap/cache.ts";
import { createDcapContext } from "../../backends/dcap/context.ts";
import type { Bytes, Endorsement } from "../../backends/mod.ts";
import { SgxSection, TdxSection } from "../../backends/policy/dcap.ts";
import { createSgxVerifier } from "../../backends/sgx/appraise.ts";
import { createWebCryptoVerifier, type SignatureVerifier } from "../../backends/signatures.ts";
import { createTdxVerifier } from "../../backends/tdx/appraise.ts";
import { parseCertificate } from "../../backends/x509/mod.ts";

export interface IntelAppraisal {
  readonly tee: "SGX" | "TDX";
  readonly quote: Bytes;
  readonly endorsements: readonly Endorsement[];
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** DER; undefined: Intel's production root. */
  readonly root?: Bytes;
  /** Fields of the section that differ from "any" and the defaults. */
  readonly policy?: Readonly<Record<string, unknown>>;
  readonly expectedReportData?: Bytes;
  readonly expectedNonce?: Bytes;
  readonly cache?: DcapCache;
  readonly signatures?: SignatureVerifier;
}

export async function appraiseIntel(appraisal: IntelAppraisal): Promise<AttestationResult> {
  const { tee, quote, endorsements, now, root, expectedReportData, expectedNonce } = appraisal;
  const context = createDcapContext({
    signatures: appraisal.signatures ?? createWebCryptoVerifier(),
    cache: appraisal.cache,
    ...(root === undefined ? {} : { root: parseCertificate(root), tcbSigning: [] }),
  });
  const common = {
    evidence: { mediaType: "", data: quote, endorsements: [] },
    endorsements,
    expectedReportData: expectedReportData ?? new Uint8Array(),
    expectedNonce,
    now,
  };
  const asked = expectedReportData !== undefined || expectedNonce !== undefined;
  const reportData = asked ? "require" : "any";
  const named = (section: SgxSection | TdxSection) => ({ id: "test", digest: "", section });
  if (tee === "SGX") {
    const section = v.parse(SgxSection, {
      mrenclaves: "any",
      mrsigners: "any",
      reportData,
      ...appraisal.policy,
    });
    return await createSgxVerifier(context).appraise({
      ...common,
      policy: { ...named(section), section },
    });
  }
  const section = v.parse(TdxSection, {
    mrtds: "any",
    rtmrs: "any",
    reportData,
    ...appraisal.policy,
  });
  return await createTdxVerifier(context).appraise({
    ...common,
    policy: { ...named(section), section },
  });
}

/** `id/code` of everything that did not pass, without what the policy waived. */
export function findings({ checks }: AttestationResult): string[] {
  return checks.flatMap(({ id, status, code, waived }) =>
    status === "pass" || status === "not_applicable" || waived === true ? [] : [`${id}/${code}`]
  );
}

/** One test with many cases in it: nightly the whole, else every `step`th. */
export function nightly(): boolean {
  return Deno.env.get("NAUTILUS_NIGHTLY") === "1";
}
