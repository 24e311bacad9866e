/** A session made of what the chain said, as token for the worker and as hash for the record. */
import type { SealTokenClaims } from "../sui/seal_token.ts";
import type { WorkerRecord, WorkerSession } from "./worker_records.ts";
import type { WorkersOptions } from "./worker_types.ts";

/** How often a change is tried while others change the same worker. */
export const MAX_ATTEMPTS = 8;

export interface SessionTerms {
  readonly nodeId: string;
  readonly nowMs: number;
  readonly endsAtMs: number;
  /** Undefined: a bearer, whose session nobody signs. */
  readonly admission: WorkerRecord["admission"];
  /** SHA-256 of the node key's SPKI, hex. */
  readonly nodeKeyHash: string;
}

/** @throws {TypeError} where a signed session is wanted and there is no key for it */
export function issueSession(
  { sessions, proof }: Pick<WorkersOptions, "sessions" | "proof">,
  { nodeId, nowMs, endsAtMs, admission, nodeKeyHash }: SessionTerms,
): { readonly token: string; readonly session: WorkerSession } {
  if (admission === undefined) {
    const { token, hash } = sessions.issue();
    return { token, session: { hash, expires_at_ms: endsAtMs } };
  }
  if (proof === undefined) throw new TypeError("there is no key to sign sessions with");
  const exp = Math.floor(endsAtMs / 1000);
  const iat = Math.floor(nowMs / 1000);
  const token = proof.signed.issue({ sub: nodeId, sid: admission.id, nodeKeyHash, iat, exp });
  return { token, session: { hash: sessions.hash(token), expires_at_ms: exp * 1000 } };
}

/** What the chain says of a worker, as the record keeps it. */
export function standing(claims: SealTokenClaims): Pick<
  WorkerRecord,
  "owner" | "stake_status" | "stake_amount" | "permissions" | "token_expires_at_ms"
> {
  return {
    owner: claims.owner,
    stake_status: claims.stakeStatus,
    stake_amount: claims.stakeMist.toString(),
    permissions: [...claims.permissions],
    token_expires_at_ms: claims.expiresAtMs,
  };
}
