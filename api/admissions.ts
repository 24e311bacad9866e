/**
 * Admission by proof, as the HTTP side sees it: a challenge that costs nothing to hand out, and a
 * proof that is judged cheap first, a bounded number at a time. Nothing is kept of strangers.
 */
import type { Bytes } from "../backends/mod.ts";
import {
  type Admission,
  type AdmissionChallenge,
  type AdmissionProof,
  type AdmissionRefusalCode,
  createAdmission,
  type MasterFacts,
} from "../sui/admission.ts";
import type { SealTokenValidator } from "../sui/seal_token.ts";
import type { ZkLoginVerifier } from "../sui/wallet_signature.ts";
import { askChain, sealTokenRefused } from "./admission.ts";
import type { Clock } from "./deps.ts";
import { ApiProblem } from "./problem.ts";
import {
  evidenceMissing,
  evidenceNotAsked,
  evidenceRefused,
  type ProvenClaims,
  type WorkerAppraisal,
  type WorkerAppraiser,
  type WorkerEvidence,
} from "./worker_evidence.ts";
import type { Registration, Workers } from "./workers.ts";

/** Why nobody can be admitted by proof: for the caller, with what the operator can do. */
export interface NoAdmission {
  readonly code: string;
  readonly reason: string;
  readonly hint?: string;
  readonly retryAfterSeconds?: number;
}

export interface AdmissionsOptions {
  /** All but the chain id, which the chain says. */
  readonly facts: Omit<MasterFacts, "chainId">;
  /** Base58, once the chain has answered; undefined before, and where it is another than it was. */
  readonly chainId: () => string | undefined;
  readonly validator: Pick<SealTokenValidator, "check">;
  /** Absent: zkLogin wallets are refused. */
  readonly zkLogin?: ZkLoginVerifier | undefined;
  readonly workers: Workers;
  /** Where evidence of the worker's own TEE is demanded; the same that the workers have. */
  readonly appraiser?: WorkerAppraiser | undefined;
  readonly clock: Clock;
  readonly random: (length: number) => Bytes;
  /** Proofs that are judged at a time; beyond it 503. Default 512. */
  readonly maxInFlight?: number;
  /** Challenges remembered once used, at most. Default 100000. */
  readonly maxBurned?: number;
}

export interface Admissions {
  /** Whether workers must present evidence of their own TEE. */
  readonly demandsEvidence: boolean;
  /** @throws {ApiProblem} 400 for what cannot be a node or an address, 503 before the chain answered */
  challenge(nodeId: string, address: string): AdmissionChallenge;
  /** @throws {ApiProblem} the refusal */
  register(proof: AdmissionProof, evidence?: WorkerEvidence): Promise<Registration>;
}

/** Refusals of the proof itself. What the chain says of the token is told as everywhere else. */
const PROOF_REFUSALS = {
  malformed_proof: 400,
  weak_node_key: 400,
  challenge_malformed: 400,
  unsupported_scheme: 400,
  challenge_foreign: 401,
  challenge_expired: 401,
  challenge_used: 401,
  wrong_wallet_signature: 401,
  wrong_node_signature: 401,
  wrong_node_key: 403,
  overloaded: 503,
} as const;

type ProofRefusal = keyof typeof PROOF_REFUSALS;

export function createAdmissions(options: AdmissionsOptions): Admissions {
  const { facts, chainId, validator, workers, appraiser, clock, random } = options;
  const { maxInFlight = 512 } = options;
  const bootKey = random(32);
  let open: { readonly chainId: string; readonly admission: Admission } | undefined;
  let inFlight = 0;

  const current = (): Admission => {
    const id = chainId();
    if (id === undefined) {
      throw new ApiProblem(
        503,
        "chain_unreachable",
        "the chain has not answered yet; nobody can be admitted",
        { retryAfterSeconds: 5 },
      );
    }
    if (open?.chainId !== id) {
      open = {
        chainId: id,
        admission: createAdmission({
          facts: { ...facts, chainId: id },
          validator,
          ...(options.zkLogin === undefined ? {} : { zkLogin: options.zkLogin }),
          bootKey,
          clock,
          random,
          ...(options.maxBurned === undefined ? {} : { maxBurned: options.maxBurned }),
        }),
      };
    }
    return open.admission;
  };

  /** Signatures, then the chain, then the evidence: who holds no token has nothing appraised. */
  const decide = async (
    proof: AdmissionProof,
    presented: WorkerEvidence | undefined,
  ): Promise<ProvenClaims> => {
    let evidence: WorkerAppraisal | undefined;
    const inspect = async (reportData: Bytes): Promise<string | undefined> => {
      if (appraiser === undefined || presented === undefined) return undefined;
      const answer = await appraiser.appraise(presented, reportData);
      if (!answer.accepted) return answer.reason;
      evidence = answer.appraisal;
      return undefined;
    };
    const decision = await askChain(() => current().admit(proof, undefined, inspect));
    if (decision.admitted) return { ...decision.token, evidence };
    if (decision.code === "worker_evidence_refused") throw evidenceRefused(decision.reason);
    if (isProofRefusal(decision.code)) throw proofRefused(decision.code, decision.reason);
    throw sealTokenRefused(decision.code, decision.reason);
  };

  return {
    demandsEvidence: appraiser !== undefined,
    challenge(nodeId, address) {
      const challenge = current().challenge(nodeId, address);
      if (challenge === undefined) {
        throw new ApiProblem(400, "invalid_field", "node_id or address cannot be one");
      }
      return challenge;
    },
    async register(proof, evidence) {
      if (appraiser !== undefined && evidence === undefined) throw evidenceMissing();
      if (appraiser === undefined && evidence !== undefined) throw evidenceNotAsked();
      if (inFlight >= maxInFlight) {
        throw new ApiProblem(503, "busy", "too many proofs are judged now; try again", {
          retryAfterSeconds: 1,
        });
      }
      inFlight++;
      try {
        return await workers.admit({
          nodeId: proof.nodeId,
          tokenId: proof.tokenId,
          nodeKey: proof.nodeKey,
          claims: () => decide(proof, evidence),
        });
      } finally {
        inFlight--;
      }
    },
  };
}

function isProofRefusal(code: AdmissionRefusalCode): code is ProofRefusal {
  return Object.hasOwn(PROOF_REFUSALS, code);
}

function proofRefused(code: ProofRefusal, reason: string): ApiProblem {
  const status = PROOF_REFUSALS[code];
  return new ApiProblem(status, code, reason, {
    field: "proof",
    ...(status === 401 ? { headers: { "WWW-Authenticate": "SealToken" } } : {}),
    ...(status === 503 ? { retryAfterSeconds: 5 } : {}),
  });
}
