/** A Seal token's way in: what the validator answers, as the answer that a worker gets. */
import { nodeKeyHash } from "../sui/admission_message.ts";
import { LedgerProtocolError, LedgerUnavailable, RegistryUnusable } from "../sui/ledger.ts";
import type {
  SealTokenClaims,
  TokenDecision,
  TokenPresentation,
  TokenRefusalCode,
  TokenValidator,
} from "../sui/seal_token.ts";
import { ApiProblem } from "./problem.ts";

/** Who a token is, is in doubt (401), or it is known and may not (403). */
const STATUS: Readonly<Record<TokenRefusalCode, 401 | 403>> = {
  malformed: 401,
  bearer_not_allowed: 401,
  not_found: 401,
  wrong_type: 401,
  wrong_cluster: 401,
  expired: 401,
  wrong_owner: 403,
  wrong_node: 403,
  not_registered: 403,
  revoked: 403,
  inactive: 403,
  insufficient_stake: 403,
};

/**
 * The claims of a token that stands the test.
 *
 * @throws {ApiProblem} 401 or 403 with the validator's code and reason; 503 without a validator or
 * where the chain cannot be asked; 502 where it answers what cannot be.
 */
export async function admit(
  validator: TokenValidator | undefined,
  presentation: TokenPresentation,
  now: number,
): Promise<SealTokenClaims> {
  if (validator === undefined) {
    throw new ApiProblem(
      503,
      "admission_not_configured",
      "no chain is configured, so nobody can be admitted",
      { hint: "set CONTRACT_ADDRESS and SUI_RPC_ENDPOINT and start the master again" },
    );
  }
  const claims = await admitProven(() => validator.validate(presentation));
  // The validator says so too; a cached decision may be older than the token's end.
  if (claims.expiresAtMs <= now) throw sealTokenRefused("expired", "the Seal token has expired");
  if (claims.nodeId !== presentation.nodeId) {
    throw sealTokenRefused("wrong_node", "the Seal token was issued for another node");
  }
  return claims;
}

/**
 * The claims of a token that the chain was asked about, for a worker that has proved to hold it.
 *
 * @throws {ApiProblem} as `admit`
 */
export async function admitProven(ask: () => Promise<TokenDecision>): Promise<SealTokenClaims> {
  const decision = await askChain(ask);
  if (!decision.valid) throw sealTokenRefused(decision.code, decision.reason);
  return decision.token;
}

/**
 * The same for a session that stands: its token must still be its owner's, and name the node key that
 * signs under it. A key that the owner put another in the place of is good for nothing more.
 *
 * @param held as the admission has it; node key in base64 SPKI
 * @throws {ApiProblem} as `admit`, and 403 `wrong_node_key`
 */
export async function admitAgain(
  ask: () => Promise<TokenDecision>,
  held: { readonly owner: string; readonly nodeKey: string },
): Promise<SealTokenClaims> {
  const claims = await admitProven(ask);
  if (claims.owner !== held.owner) {
    throw sealTokenRefused("wrong_owner", "the Seal token belongs to another address by now");
  }
  if (claims.nodeKeyHash !== nodeKeyHash(Uint8Array.fromBase64(held.nodeKey))) {
    throw new ApiProblem(
      403,
      "wrong_node_key",
      "the Seal token names another node key by now: join again with that one",
      { field: "seal_token" },
    );
  }
  return claims;
}

/** @throws {ApiProblem} 503 where the chain cannot be asked; 502 where it answers what cannot be. */
export async function askChain<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (cause) {
    if (cause instanceof LedgerUnavailable) {
      throw new ApiProblem(
        503,
        "chain_unreachable",
        "the chain cannot be asked about this token now; nothing was decided",
        { retryAfterSeconds: 5, cause },
      );
    }
    if (cause instanceof RegistryUnusable) {
      throw new ApiProblem(
        502,
        "chain_protocol",
        `nobody can be admitted, the registry of workers cannot be used: ${cause.message}`,
        {
          retryAfterSeconds: 30,
          cause,
          ...(cause.hint === undefined ? {} : { hint: cause.hint }),
        },
      );
    }
    if (cause instanceof LedgerProtocolError) {
      throw new ApiProblem(502, "chain_protocol", "the chain's node answered what cannot be", {
        retryAfterSeconds: 30,
        cause,
      });
    }
    throw cause;
  }
}

export function sealTokenRefused(code: TokenRefusalCode, reason: string): ApiProblem {
  const status = STATUS[code];
  return new ApiProblem(status, `seal_token_${code}`, reason, {
    field: "seal_token",
    ...(status === 401 ? { headers: { "WWW-Authenticate": "SealToken" } } : {}),
  });
}
