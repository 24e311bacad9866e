/**
 * Appraisal: what a verifier answers about evidence, for people and machines (RFC 9334, EAR).
 * The crypto (verify.ts) says whether evidence is genuine, the policy (appraise.ts) whether it will do.
 */
import { createHash } from "node:crypto";
import type { Bytes, Endorsement, Evidence, TeeType } from "./mod.ts";

export type CheckStatus = "pass" | "fail" | "not_applicable" | "missing";

/** One thing that was checked. `id` is stable and documented in docs/VERIFYING.md. */
export interface Check {
  readonly id: string;
  readonly status: CheckStatus;
  /** What was found, for people: a value, a date, a name. */
  readonly value?: string;
  /** Set unless status is pass: a stable code and one sentence. */
  readonly code?: string;
  readonly text?: string;
  /** A missing input that the policy, in so many words, does not demand. */
  readonly waived?: true;
}

/** EAR trust tiers. Only `affirming` lets anybody in. */
export type TrustTier = "affirming" | "warning" | "contraindicated";

export interface AttestationResult {
  readonly tier: TrustTier;
  readonly teeType: TeeType;
  /** Decoded facts by field name; byte strings in hex, 64-bit integers in decimal. */
  readonly claims: Readonly<Record<string, unknown>>;
  readonly checks: readonly Check[];
  readonly policyId: string;
  /** SHA-256, hex. */
  readonly policyDigest: string;
  /** SHA-256, hex, of the evidence bytes. */
  readonly evidenceDigest: string;
  /** Milliseconds since the epoch: the clock that was verified with. */
  readonly appraisedAt: number;
  /** Milliseconds since the epoch: when the first thing relied on runs out. */
  readonly expiresAt: number | undefined;
}

/** One TEE family's section of a checked policy, with the name and digest of the whole policy. */
export interface AppraisalPolicy<Section> {
  readonly id: string;
  /** SHA-256, hex, of the policy as RFC 8785 JSON with every default filled in. */
  readonly digest: string;
  readonly section: Section;
}

export interface AppraisalInput<Section> {
  readonly evidence: Evidence;
  /** Beyond what the evidence carries: certificates, collateral, CRLs, event logs. */
  readonly endorsements: readonly Endorsement[];
  /** 64 bytes; empty: nobody said what to expect, which only a policy can excuse. */
  readonly expectedReportData: Bytes;
  /**
   * 1 to 512 bytes that the evidence must carry by itself, for evidence that is not in our bundle: in
   * Nitro's and OP-TEE's own nonce field, elsewhere as report data padded with zeros
   * (where more than 64 never match).
   */
  readonly expectedNonce?: Bytes | undefined;
  readonly policy: AppraisalPolicy<Section>;
  /** Milliseconds since the epoch. Time is always an argument. */
  readonly now: number;
}

export interface Verifier<Section> {
  readonly kind: TeeType;
  /**
   * A negative answer is a value. Evidence that cannot be parsed is one too: check `format`,
   * code `malformed`.
   */
  appraise(input: AppraisalInput<Section>): Promise<AttestationResult>;
}

/** Collects checks in order; nothing is overwritten, so the list shows all that is wrong. */
export class CheckList {
  readonly #checks: Check[] = [];

  get checks(): readonly Check[] {
    return this.#checks;
  }

  pass(id: string, value?: string): void {
    this.#checks.push(value === undefined ? { id, status: "pass" } : { id, status: "pass", value });
  }

  fail(id: string, code: string, text: string, value?: string): void {
    this.#checks.push({
      id,
      status: "fail",
      code,
      text,
      ...(value === undefined ? {} : { value }),
    });
  }

  /** @param demanded whether the policy demands the input; where it does not, the check is waived */
  missing(id: string, code: string, text: string, demanded: boolean): void {
    this.#checks.push({ id, status: "missing", code, text, ...(demanded ? {} : { waived: true }) });
  }

  notApplicable(id: string, code: string, text: string): void {
    this.#checks.push({ id, status: "not_applicable", code, text });
  }

  /** pass or fail by a condition. */
  expect(holds: boolean, id: string, code: string, text: string, value?: string): void {
    if (holds) this.pass(id, value);
    else this.fail(id, code, text, value);
  }

  has(id: string): boolean {
    return this.#checks.some((check) => check.id === id);
  }

  failed(id: string): boolean {
    return this.#checks.some((check) => check.id === id && check.status === "fail");
  }
}

/** No check: contraindicated. A failure: contraindicated. A demanded input missing: warning. */
export function trustTier(checks: readonly Check[]): TrustTier {
  if (!checks.some(({ status }) => status === "pass")) return "contraindicated";
  if (checks.some(({ status }) => status === "fail")) return "contraindicated";
  return checks.some(({ status, waived }) => status === "missing" && waived !== true)
    ? "warning"
    : "affirming";
}

/**
 * The result of an appraisal; the tier follows from the checks alone.
 * @throws {RangeError} the clock is no number
 */
export function attestationResult(
  input: {
    readonly evidence: Pick<Evidence, "data">;
    readonly policy: Omit<AppraisalPolicy<unknown>, "section">;
    readonly now: number;
  },
  outcome: {
    readonly teeType: TeeType;
    readonly claims: Readonly<Record<string, unknown>>;
    readonly checks: readonly Check[];
    readonly expiresAt: number | undefined;
  },
): AttestationResult {
  if (!Number.isFinite(input.now)) throw new RangeError(`the clock is ${input.now}`);
  const tier = trustTier(outcome.checks);
  return {
    tier,
    teeType: outcome.teeType,
    claims: outcome.claims,
    checks: outcome.checks,
    policyId: input.policy.id,
    policyDigest: input.policy.digest,
    evidenceDigest: createHash("sha256").update(input.evidence.data).digest("hex"),
    appraisedAt: input.now,
    expiresAt: tier === "affirming" ? outcome.expiresAt : undefined,
  };
}

/** The report-data check that SEV-SNP, SGX and TDX share: 64 bytes, or a nonce padded with zeros. */
export function checkReportData(
  list: CheckList,
  actual: Uint8Array,
  input: Pick<AppraisalInput<unknown>, "expectedReportData" | "expectedNonce">,
  demand: "require" | "any",
): void {
  const id = "report_data";
  const wanted: [name: string, value: Uint8Array][] = [];
  if (input.expectedReportData.length > 0) {
    wanted.push(["report data", input.expectedReportData]);
  }
  if (input.expectedNonce !== undefined) {
    const padded = new Uint8Array(64);
    padded.set(input.expectedNonce.subarray(0, 64));
    wanted.push(["nonce", input.expectedNonce.length > 64 ? input.expectedNonce : padded]);
  }
  if (wanted.length === 0) {
    const text = "neither report data nor a nonce was given to compare with";
    list.missing(id, "not_expected", text, demand === "require");
    return;
  }
  const wrong = wanted.find(([, value]) => value.toHex() !== actual.toHex());
  if (wrong === undefined) list.pass(id, actual.toHex());
  else {
    list.fail(
      id,
      "report_data_mismatch",
      `the evidence does not carry the expected ${wrong[0]}`,
      actual.toHex(),
    );
  }
}
