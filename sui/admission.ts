/**
 * Admission of a worker by proof: a fresh challenge, signed by the wallet that holds the Seal token
 * and by the node key that the token names, over everything that must not be swapped. Cheap
 * refusals come first, the chain is asked last, and the challenge is used up only by those who pass.
 */
import { Buffer } from "node:buffer";
import { createPublicKey, verify } from "node:crypto";
import { isCanonicalAddress } from "./address.ts";
import { lengthPrefixed } from "./bytes.ts";
import {
  type AdmissionFields,
  admissionMessage,
  isEd25519Spki,
  isNodeId,
  nodeKeyHash,
  nodeSignatureInput,
  workerReportData,
} from "./admission_message.ts";
import { type ChallengeOptions, createChallenges } from "./challenge.ts";
import { isWeakEd25519Key } from "./ed25519_key.ts";
import type { SealTokenClaims, SealTokenValidator, TokenRefusalCode } from "./seal_token.ts";
import {
  verifyWalletSignature,
  type WalletScheme,
  type ZkLoginVerifier,
} from "./wallet_signature.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** What the master is, as challenge and message name it. */
export interface MasterFacts {
  readonly chainId: string;
  /** 16 bytes. */
  readonly clusterId: Bytes;
  readonly measurement: Bytes;
  /** SPKI. */
  readonly identityKey: Bytes;
  /** SPKI, empty without a TLS listener. */
  readonly tlsKey: Bytes;
}

export interface AdmissionOptions extends Omit<ChallengeOptions, "context"> {
  readonly facts: MasterFacts;
  readonly validator: Pick<SealTokenValidator, "check">;
  /** Absent: zkLogin wallets are refused. */
  readonly zkLogin?: ZkLoginVerifier;
}

export interface AdmissionChallenge extends MasterFacts {
  readonly nodeId: string;
  readonly address: string;
  /** 81 bytes. */
  readonly challenge: Bytes;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

export interface AdmissionProof {
  readonly nodeId: string;
  /** The wallet's, 0x + 64 hex. */
  readonly address: string;
  /** Object id, 0x + 64 hex. */
  readonly tokenId: string;
  /** SPKI, Ed25519. */
  readonly nodeKey: Bytes;
  /** As it was issued. */
  readonly challenge: Bytes;
  /** Sui personal message signature, serialized, base64. */
  readonly walletSignature: string;
  /** 64 bytes, by the node key over `nodeSignatureInput(message)`. */
  readonly nodeSignature: Bytes;
}

/**
 * Judges what else a proof came with, over the 64 bytes of report data of this very message.
 * @returns why not; undefined: nothing is wrong
 */
export type WorkerInspection = (reportData: Bytes) => Promise<string | undefined>;

export type AdmissionRefusalCode =
  | TokenRefusalCode
  | "worker_evidence_refused"
  | "malformed_proof"
  | "weak_node_key"
  | "challenge_malformed"
  | "challenge_foreign"
  | "challenge_expired"
  | "challenge_used"
  | "overloaded"
  | "unsupported_scheme"
  | "wrong_wallet_signature"
  | "wrong_node_signature"
  | "wrong_node_key";

export type AdmissionDecision =
  | {
    readonly admitted: true;
    readonly token: SealTokenClaims;
    readonly scheme: WalletScheme;
  }
  | { readonly admitted: false; readonly code: AdmissionRefusalCode; readonly reason: string };

export interface Admission {
  /** `undefined` where node id or address cannot be one. Takes no memory. */
  challenge(nodeId: string, address: string): AdmissionChallenge | undefined;
  /**
   * A refusal is a value.
   *
   * @param inspect asked once signatures and token are right, before the challenge is used up
   * @throws {LedgerUnavailable} when the chain cannot be asked; the challenge is still good then
   */
  admit(
    proof: AdmissionProof,
    signal?: AbortSignal,
    inspect?: WorkerInspection,
  ): Promise<AdmissionDecision>;
  /** Used challenges remembered now. */
  readonly burned: number;
}

/** @throws {TypeError} when a fact or the boot key is out of range */
export function createAdmission(options: AdmissionOptions): Admission {
  const { facts, validator, zkLogin } = options;
  const challenges = createChallenges({ ...options, context: contextOf(facts) });

  const admit = async (
    proof: AdmissionProof,
    signal?: AbortSignal,
    inspect?: WorkerInspection,
  ): Promise<AdmissionDecision> => {
    const shape = misshapen(proof);
    if (shape !== undefined) return refuse("malformed_proof", shape);
    if (isWeakEd25519Key(proof.nodeKey.subarray(-32))) {
      return refuse(
        "weak_node_key",
        "node_key: of small order or not canonical, so anybody could sign for it; make another key",
      );
    }
    const subject = { nodeId: proof.nodeId, address: proof.address };
    const verdict = challenges.verify(proof.challenge, subject);
    if (!verdict.valid) return refuseChallenge(verdict.code);

    const fields: AdmissionFields = {
      chainId: facts.chainId,
      clusterId: facts.clusterId,
      nodeId: proof.nodeId,
      tokenId: proof.tokenId,
      owner: proof.address,
      nodeKey: proof.nodeKey,
      masterIdentityKey: facts.identityKey,
      masterTlsKey: facts.tlsKey,
      measurement: facts.measurement,
      challenge: proof.challenge,
      issuedAtMs: verdict.issuedAtMs,
      expiresAtMs: verdict.expiresAtMs,
    };
    const message = admissionMessage(fields);
    if (!verifyNode(proof.nodeKey, message, proof.nodeSignature)) {
      return refuse("wrong_node_signature", "the node key did not sign this message");
    }
    const wallet = await verifyWalletSignature(message, proof.walletSignature, proof.address, {
      ...(zkLogin === undefined ? {} : { zkLogin }),
      ...(signal === undefined ? {} : { signal }),
    });
    if (!wallet.valid) {
      const code = wallet.code === "unsupported_scheme"
        ? "unsupported_scheme"
        : wallet.code === "malformed"
        ? "malformed_proof"
        : "wrong_wallet_signature";
      return refuse(code, wallet.reason);
    }

    const decision = await validator.check(proof.tokenId, proof.nodeId, { fresh: true });
    if (!decision.valid) return refuse(decision.code, decision.reason);
    const { token } = decision;
    if (token.owner !== proof.address) {
      return refuse("wrong_owner", "the Seal token belongs to another address");
    }
    if (token.nodeKeyHash !== nodeKeyHash(proof.nodeKey)) {
      return refuse("wrong_node_key", "the Seal token names another node key");
    }
    const fault = await inspect?.(workerReportData(message));
    if (fault !== undefined) return refuse("worker_evidence_refused", fault);
    // Last and at once: of two proofs over one challenge only one gets through.
    const burned = challenges.burn(proof.challenge, subject);
    if (burned === "full") {
      return refuse("overloaded", "too many admissions at a time; ask for a new challenge");
    }
    if (burned !== "burned") return refuseChallenge(burned);
    return { admitted: true, token, scheme: wallet.scheme };
  };

  return {
    challenge: (nodeId, address) => {
      if (!isNodeId(nodeId) || !isCanonicalAddress(address)) return undefined;
      return { ...facts, nodeId, address, ...challenges.issue({ nodeId, address }) };
    },
    admit,
    get burned() {
      return challenges.burned;
    },
  };
}

/** What every challenge of this master is bound to. */
function contextOf(facts: MasterFacts): Bytes {
  return lengthPrefixed([
    new TextEncoder().encode(facts.chainId),
    facts.clusterId,
    facts.measurement,
    facts.identityKey,
    facts.tlsKey,
  ]);
}

function misshapen(proof: AdmissionProof): string | undefined {
  if (!isNodeId(proof.nodeId)) return "node_id: expected an RFC 1123 subdomain";
  if (!isCanonicalAddress(proof.address)) return "address: expected 0x and 64 hex digits";
  if (!isCanonicalAddress(proof.tokenId)) return "seal_token: expected 0x and 64 hex digits";
  if (!isEd25519Spki(proof.nodeKey)) return "node_key: expected the SPKI of an Ed25519 key";
  if (proof.nodeSignature.length !== 64) return "node_signature: expected 64 bytes";
  return undefined;
}

function verifyNode(spki: Bytes, message: Bytes, signature: Bytes): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
    return verify(null, nodeSignatureInput(message), key, signature);
  } catch {
    return false; // no point on the curve
  }
}

function refuseChallenge(
  code: "malformed" | "foreign" | "expired" | "used",
): AdmissionDecision {
  const reasons = {
    malformed: "the challenge is not one",
    foreign: "the challenge was not issued by this master for this node and address",
    expired: "the challenge has expired",
    used: "the challenge was used before",
  } as const;
  return refuse(`challenge_${code}`, `${reasons[code]}; ask for a new one`);
}

function refuse(code: AdmissionRefusalCode, reason: string): AdmissionDecision {
  return { admitted: false, code, reason };
}
