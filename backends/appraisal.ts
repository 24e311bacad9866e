/**
 * Appraisal: what a verifier answers about evidence, for people and machines (RFC 9334, EAR).
 * The crypto (verify.ts) says whether evidence is genuine, the policy (appraise.ts) whether it will do.
 */
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

/** Checked, frozen appraisal policy of one TEE family; each verifier narrows it. */
export interface AppraisalInput<Policy> {
  readonly evidence: Evidence;
  /** Beyond what the evidence carries: certificates, collateral, CRLs, event logs. */
  readonly endorsements: readonly Endorsement[];
  /** 64 bytes. */
  readonly expectedReportData: Bytes;
  readonly policy: Policy;
  /** Milliseconds since the epoch. Time is always an argument. */
  readonly now: number;
}

export interface Verifier<Policy> {
  readonly kind: TeeType;
  /** A negative answer is a value. @throws {BackendError} `malformed` only where nothing can be said. */
  appraise(input: AppraisalInput<Policy>): Promise<AttestationResult>;
}
