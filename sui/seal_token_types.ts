/** Seal tokens: what a worker presents, what the chain says of it, what is decided. */

export type TokenRefusalCode =
  | "malformed"
  | "bearer_not_allowed"
  | "not_found"
  | "wrong_type"
  | "wrong_cluster"
  | "wrong_owner"
  | "wrong_node"
  | "not_registered"
  | "expired"
  | "revoked"
  | "inactive"
  | "insufficient_stake";

/** A token that stood the test, as the chain has it. */
export interface SealTokenClaims {
  /** 0x + 64 hex. */
  readonly tokenId: string;
  readonly owner: string;
  readonly nodeId: string;
  /** SHA-256 of the node key's SPKI, hex. */
  readonly nodeKeyHash: string;
  readonly permissions: readonly string[];
  readonly stakeMist: bigint;
  readonly stakeStatus: "pending" | "active" | "suspended" | "slashed" | "withdrawn";
  readonly expiresAtMs: number;
}

export type TokenDecision =
  | { readonly valid: true; readonly token: SealTokenClaims }
  | { readonly valid: false; readonly code: TokenRefusalCode; readonly reason: string };

export interface TokenPresentation {
  /** `seal_0x` + 64 hex. */
  readonly token: string;
  /** The node id it is presented for. */
  readonly nodeId: string;
}

export interface TokenValidator {
  /** A refusal is a value. @throws {LedgerUnavailable} when the chain cannot be asked, LedgerProtocolError when it answers what cannot be. */
  validate(presentation: TokenPresentation): Promise<TokenDecision>;
}
