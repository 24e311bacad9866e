/**
 * The worker's half of admission: makes the proof, for the master that the worker has appraised and
 * for no other. What the challenge says of the master must be what the evidence said.
 */
import type { AdmissionChallenge, AdmissionProof, MasterFacts } from "./admission.ts";
import { admissionMessage, nodeSignatureInput } from "./admission_message.ts";
import type { Wallet } from "./wallet.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** The node's own key, wherever it rests. */
export interface NodeKey {
  /** Ed25519, 44 bytes of DER. */
  readonly spki: Bytes;
  /** 64 bytes. */
  sign(input: Bytes): Bytes | Promise<Bytes>;
}

export interface ProofOptions {
  readonly challenge: AdmissionChallenge;
  /** From the appraised evidence and the worker's own configuration, never from the challenge. */
  readonly appraised: MasterFacts;
  /** The node this worker is. */
  readonly nodeId: string;
  /** Object id, 0x + 64 hex. */
  readonly tokenId: string;
  readonly wallet: Pick<Wallet, "address" | "signPersonalMessage">;
  readonly nodeKey: NodeKey;
  readonly nowMs: number;
}

/** A proof, and the message that was signed: what evidence of the worker's TEE is made over. */
export interface SignedProof extends AdmissionProof {
  readonly message: Bytes;
}

/** The challenge is not one to sign: it speaks of another master, node or time. */
export class ChallengeMismatch extends Error {
  override readonly name = "ChallengeMismatch";
  readonly code = "challenge_mismatch";
}

/** Longest validity of a challenge that a worker signs, by its own clock, with room for skew. */
const MAX_LIFETIME_MS = 60_000;
const MAX_CLOCK_SKEW_MS = 300_000;

/**
 * Signs the challenge with wallet and node key.
 *
 * @throws {ChallengeMismatch} naming what differs from what was appraised
 */
export async function proveAdmission(options: ProofOptions): Promise<SignedProof> {
  const { challenge, appraised, nodeId, tokenId, wallet, nodeKey, nowMs } = options;
  same("chain id", challenge.chainId, appraised.chainId);
  same("cluster id", hex(challenge.clusterId), hex(appraised.clusterId));
  same("measurement", hex(challenge.measurement), hex(appraised.measurement));
  same("identity key", hex(challenge.identityKey), hex(appraised.identityKey));
  same("TLS key", hex(challenge.tlsKey), hex(appraised.tlsKey));
  same("node id", challenge.nodeId, nodeId);
  same("address", challenge.address, wallet.address);
  const lifetimeMs = challenge.expiresAtMs - challenge.issuedAtMs;
  if (!(lifetimeMs > 0 && lifetimeMs <= MAX_LIFETIME_MS)) {
    throw new ChallengeMismatch(`the challenge is good for ${lifetimeMs} ms, not for a minute`);
  }
  if (Math.abs(nowMs - challenge.issuedAtMs) > MAX_CLOCK_SKEW_MS) {
    throw new ChallengeMismatch(
      `the challenge is of ${challenge.issuedAtMs}, the clock here says ${nowMs}`,
    );
  }
  const message = admissionMessage({
    chainId: appraised.chainId,
    clusterId: appraised.clusterId,
    nodeId,
    tokenId,
    owner: wallet.address,
    nodeKey: nodeKey.spki,
    masterIdentityKey: appraised.identityKey,
    masterTlsKey: appraised.tlsKey,
    measurement: appraised.measurement,
    challenge: challenge.challenge,
    issuedAtMs: challenge.issuedAtMs,
    expiresAtMs: challenge.expiresAtMs,
  });
  return {
    message,
    nodeId,
    address: wallet.address,
    tokenId,
    nodeKey: nodeKey.spki,
    challenge: challenge.challenge,
    walletSignature: await wallet.signPersonalMessage(message),
    nodeSignature: await nodeKey.sign(nodeSignatureInput(message)),
  };
}

function same(what: string, given: string, expected: string): void {
  if (given !== expected) {
    throw new ChallengeMismatch(`${what}: the challenge says ${given}, expected ${expected}`);
  }
}

function hex(bytes: Bytes): string {
  return bytes.toHex();
}
