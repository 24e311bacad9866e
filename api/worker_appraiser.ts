/** Judges evidence of workers; loads the verifiers, so it is loaded where there is something to judge. */
import type { AttestationResult } from "../backends/appraisal.ts";
import { EVIDENCE_MEDIA_TYPE } from "../backends/attestation.ts";
import type { Policy } from "../backends/policy/mod.ts";
import { counts } from "../backends/result_json.ts";
import { type EvidenceVerifier, measurementOf } from "../backends/verification.ts";
import type { Clock } from "./deps.ts";
import type { WorkerAppraisal, WorkerAppraiser } from "./worker_evidence.ts";

/**
 * Judges evidence of workers under one policy.
 *
 * @param options.maxAgeMs how long an appraisal counts, whatever else it relied on
 */
export function createWorkerAppraiser(
  { policy, evidence, maxAgeMs, clock }: {
    readonly policy: Policy;
    readonly evidence: EvidenceVerifier;
    readonly maxAgeMs: number;
    readonly clock: Clock;
  },
): WorkerAppraiser {
  return {
    policyDigest: policy.digest,
    maxAgeMs,
    async appraise({ teeType, data, endorsements }, reportData) {
      const result = await evidence.appraise({
        teeType,
        evidence: { mediaType: EVIDENCE_MEDIA_TYPE[teeType], data, endorsements },
        endorsements: [],
        expectedReportData: reportData,
        policy,
        now: clock(),
      });
      const reason = refusalOf(result);
      if (reason !== undefined) return { accepted: false, reason };
      return { accepted: true, appraisal: appraisalOf(result, maxAgeMs) };
    },
  };
}

/** Why a result lets nobody in; undefined for one that does. */
function refusalOf({ tier, checks, teeType, policyId }: AttestationResult): string | undefined {
  // Whatever a policy excuses, it never excuses evidence that was made for something else.
  const bound = checks.some(({ id, status }) => id === "report_data" && status === "pass");
  if (tier === "affirming" && bound) return undefined;
  const wrong = checks.filter(counts).map(({ id, code, text }) =>
    `${id} (${code ?? "?"})${text === undefined ? "" : `: ${text}`}`
  );
  if (!bound && wrong.length === 0) wrong.push("report_data: not compared");
  return `the policy ${policyId} does not affirm this ${teeType} evidence: ${wrong.join("; ")}`
    .slice(0, 400);
}

function appraisalOf(result: AttestationResult, maxAgeMs: number): WorkerAppraisal {
  const measurement = measurementOf(result);
  const expiresAt = Math.min(result.expiresAt ?? Infinity, result.appraisedAt + maxAgeMs);
  return {
    tee_type: result.teeType,
    ...(measurement === undefined ? {} : { measurement }),
    policy_id: result.policyId,
    policy_digest: result.policyDigest,
    evidence_digest: result.evidenceDigest,
    appraised_at_ms: Math.floor(result.appraisedAt),
    expires_at_ms: Math.floor(expiresAt),
  };
}
