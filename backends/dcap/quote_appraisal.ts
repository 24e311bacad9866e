/** How the appraisal of any DCAP quote begins: collateral gathered, genuineness found, or `malformed`. */
import {
  type AppraisalInput,
  type AttestationResult,
  attestationResult,
  CheckList,
} from "../appraisal.ts";
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";
import { appraiseDcap, dcapClaims, dcapExpiry, type DcapSection } from "./appraise.ts";
import { collectCollateral, type DcapCollateral, rememberingParser } from "./collateral.ts";
import type { DcapContext } from "./context.ts";
import type { DcapQuote } from "./quote.ts";
import type { DcapFacts } from "./verify.ts";

/** A decoded quote and what is true of it. */
export interface QuoteVerified {
  readonly quote: DcapQuote;
  readonly facts: DcapFacts;
}

/** What a TEE type adds to the common part. */
export interface QuoteSubject<Section extends DcapSection, Verified extends QuoteVerified> {
  readonly kind: "SGX" | "TDX";
  /** @throws {BackendError} `malformed` when the bytes are no quote of this type */
  verify(bytes: Bytes, collateral: DcapCollateral, now: number): Promise<Verified>;
  /** For the check `format`. */
  describe(verified: Verified): string;
  /** Checks of what is quoted, against the policy, report data included. */
  appraise(list: CheckList, verified: Verified, input: AppraisalInput<Section>): void;
  /** Claims besides those of every quote. */
  claims(verified: Verified): Readonly<Record<string, unknown>>;
}

/** A negative answer is a value; evidence that is no such quote is one, too. */
export async function appraiseQuote<Section extends DcapSection, Verified extends QuoteVerified>(
  context: DcapContext,
  input: AppraisalInput<Section>,
  subject: QuoteSubject<Section, Verified>,
): Promise<AttestationResult> {
  const { evidence, policy, now } = input;
  const { kind: teeType } = subject;
  const list = new CheckList();
  const endorsements = [...evidence.endorsements, ...input.endorsements];
  const collateral = context.cache?.collateral(endorsements) ??
    collectCollateral(endorsements, rememberingParser([context.root]));
  let verified: Verified;
  try {
    verified = await subject.verify(evidence.data, collateral, now);
  } catch (error) {
    if (!(error instanceof BackendError) || error.code !== "malformed") throw error;
    list.fail("format", "malformed", error.message);
    const outcome = { teeType, claims: {}, checks: list.checks, expiresAt: undefined };
    return attestationResult(input, outcome);
  }
  const { quote, facts } = verified;
  list.pass("format", subject.describe(verified));
  appraiseDcap(list, quote, facts, collateral, policy.section, now);
  subject.appraise(list, verified, input);
  return attestationResult(input, {
    teeType,
    claims: { ...dcapClaims(quote, facts), ...subject.claims(verified) },
    checks: list.checks,
    expiresAt: dcapExpiry(facts),
  });
}
