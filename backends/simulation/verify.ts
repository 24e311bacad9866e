/** Simulated evidence: are its signatures its own? Says nothing of whether that will do. */
import type { Bytes, Endorsement } from "../mod.ts";
import type { SignatureVerifier } from "../signatures.ts";
import {
  certificateInput,
  decodeEvidence,
  ed25519FromSpki,
  ed25519Spki,
  evidenceInput,
  ROOT_ENDORSEMENT,
  type SimulationEvidence,
} from "./abi.ts";

/** What was found, step by step; `chain` and `signature` are false where the step before failed. */
export interface VerifiedSimulation {
  readonly evidence: SimulationEvidence;
  /** SPKI of the root, exactly one `simulation-root` endorsement of 44 bytes; else undefined. */
  readonly rootSpki: Bytes | undefined;
  /** The root signed the attestation key for this measurement. */
  readonly chain: boolean;
  /** The attestation key signed the evidence. */
  readonly signature: boolean;
}

/** @throws {BackendError} `malformed` where the bytes are no simulated evidence. */
export async function verifySimulation(
  data: Bytes,
  endorsements: readonly Endorsement[],
  signatures: SignatureVerifier,
): Promise<VerifiedSimulation> {
  const evidence = decodeEvidence(data);
  const roots = endorsements.filter(({ type }) => type === ROOT_ENDORSEMENT);
  const [root] = roots;
  const usable = roots.length === 1 && root !== undefined &&
    ed25519FromSpki(root.data) !== undefined;
  const rootSpki = usable ? root.data.slice() : undefined;
  const ed25519 = { kind: "ed25519" } as const;
  const chain = rootSpki !== undefined && await signatures.verify(
    ed25519,
    rootSpki,
    evidence.certificate,
    certificateInput(evidence.attestationKey, evidence.measurement),
  );
  const signature = chain && await signatures.verify(
    ed25519,
    ed25519Spki(evidence.attestationKey),
    evidence.signature,
    evidenceInput(data),
  );
  return { evidence, rootSpki, chain, signature };
}
