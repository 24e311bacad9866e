/**
 * A worker's own TEE evidence, where the operator demands it: made over the very message that wallet
 * and node key sign, appraised before there is a session, and kept with the admission.
 */
import type { Bytes, Endorsement, TeeType } from "../backends/mod.ts";
import type { SealTokenClaims } from "../sui/seal_token.ts";
import { ApiProblem } from "./problem.ts";
import type { WorkerRecord } from "./worker_records.ts";

/** As the worker presents it; nothing of it is believed. */
export interface WorkerEvidence {
  readonly teeType: TeeType;
  readonly data: Bytes;
  readonly endorsements: readonly Endorsement[];
}

/** What an appraisal that affirmed leaves in the worker's record. */
export type WorkerAppraisal = NonNullable<NonNullable<WorkerRecord["admission"]>["evidence"]>;

/** What the chain said of the token, and the appraisal where one is demanded. */
export interface ProvenClaims extends SealTokenClaims {
  readonly evidence?: WorkerAppraisal | undefined;
}

export type WorkerAppraisalAnswer =
  | { readonly accepted: true; readonly appraisal: WorkerAppraisal }
  | { readonly accepted: false; readonly reason: string };

export interface WorkerAppraiser {
  /** SHA-256, hex: sessions that another policy opened are none. */
  readonly policyDigest: string;
  /** How long an appraisal counts: then the worker attests anew, or its session ends. */
  readonly maxAgeMs: number;
  /** @param reportData 64 bytes that the evidence must carry */
  appraise(evidence: WorkerEvidence, reportData: Bytes): Promise<WorkerAppraisalAnswer>;
}

/** When a session ends: with its time, its token, and what its evidence relies on. */
export function sessionEndMs(
  now: number,
  ttlMs: number,
  tokenExpiresAtMs: number,
  evidenceEndsAtMs: number,
): number {
  return Math.min(now + ttlMs, tokenExpiresAtMs, evidenceEndsAtMs);
}

/**
 * When an appraisal counts no more: with the first thing that it relied on, or by its age as the
 * operator has it now. Infinity where nothing is demanded.
 */
export function evidenceEndMs(
  appraisal: WorkerAppraisal | undefined,
  appraiser: Pick<WorkerAppraiser, "maxAgeMs"> | undefined,
): number {
  if (appraiser === undefined) return Infinity;
  if (appraisal === undefined) return -Infinity;
  const byAge = appraisal.appraised_at_ms + appraiser.maxAgeMs;
  return Math.min(appraisal.expires_at_ms ?? Infinity, byAge);
}

/** Whether a record's session stands under the demand in force. */
export function isAppraised(
  record: WorkerRecord,
  appraiser: WorkerAppraiser | undefined,
  now: number,
): boolean {
  const evidence = record.admission?.evidence;
  return appraiser === undefined ||
    (evidence?.policy_digest === appraiser.policyDigest &&
      now < evidenceEndMs(evidence, appraiser));
}

/** 403: the operator demands evidence, and there is none. */
export function evidenceMissing(): ApiProblem {
  return new ApiProblem(
    403,
    "worker_evidence_missing",
    "this master admits workers with evidence of their TEE only, and none was presented",
    {
      field: "proof.evidence",
      hint: "run the worker in a TEE that the operator's policy knows (docs/ADMISSION.md)",
    },
  );
}

/** 403: evidence that the policy does not affirm. */
export function evidenceRefused(reason: string): ApiProblem {
  return new ApiProblem(403, "worker_evidence_refused", reason, { field: "proof.evidence" });
}

/** 400, as any field that is not known: nobody reads what nobody asked for. */
export function evidenceNotAsked(): ApiProblem {
  return new ApiProblem(400, "unknown_field", 'field "proof.evidence" is not known here', {
    field: "proof.evidence",
  });
}
