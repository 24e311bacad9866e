/** Request JSON and queries of the admin's endpoints; decoded by `decodeBody` of schemas.ts. */
import * as v from "valibot";
import { parseAdminKey } from "./admin/public_key.ts";
import { CHALLENGE_LENGTH } from "./admin/messages.ts";
import { MAX_ADMIN_TOKEN_TTL_SECONDS } from "./admin/tokens.ts";
import { AUDIT_CHAINS, type AuditChain } from "./audit/mod.ts";
import { ApiProblem } from "./problem.ts";

const base64 = (bytes: number) =>
  v.pipe(
    v.string(),
    v.length(Math.ceil(bytes / 3) * 4, `must be base64 of ${bytes} bytes`),
    v.check((text) => decodedLength(text) === bytes, `must be base64 of ${bytes} bytes`),
  );

function decodedLength(text: string): number {
  try {
    return Uint8Array.fromBase64(text, { lastChunkHandling: "strict" }).length;
  } catch {
    return -1;
  }
}

const challenge = base64(CHALLENGE_LENGTH);
const signature = base64(64);

export const AdminLoginRequest = v.strictObject({
  challenge,
  signature,
  /** How long the token shall live; 15 minutes unless said. */
  ttl_seconds: v.optional(
    v.pipe(
      v.number(),
      v.safeInteger(),
      v.minValue(60),
      v.maxValue(MAX_ADMIN_TOKEN_TTL_SECONDS),
    ),
  ),
});

export const AdminKeyRequest = v.strictObject({
  /** Base64 SPKI, PEM or OpenSSH; taken over as base64 SPKI. */
  public_key: v.pipe(
    v.string(),
    v.maxLength(4_096),
    v.check(isAdminKey, "must be an Ed25519 public key: base64 SPKI, PEM or OpenSSH"),
    v.transform((text: string) => parseAdminKey(text)),
  ),
  challenge,
  /** By the new key: it is the admin's from then on, so it must be there. */
  signature,
});

function isAdminKey(text: string): boolean {
  try {
    parseAdminKey(text);
    return true;
  } catch {
    return false;
  }
}

export const AdminRevokeRequest = v.strictObject({
  /** Of one token, or `self`, or `all`. */
  token_id: v.pipe(
    v.string(),
    v.regex(/^([0-9a-f]{32}|self|all)$/, 'must be a token id (32 hex digits), "self" or "all"'),
  ),
});

export const AdminResealRequest = v.strictObject({
  /** The successor's, as its evidence names it. */
  measurement: v.pipe(
    v.string(),
    v.regex(/^(?:[0-9a-f]{2}){16,64}$/, "must be a measurement: lower-case hex, 16 to 64 bytes"),
  ),
});

/** Records of one answer of `/api/v1/audit`. */
export const MAX_AUDIT_PAGE = 1_000;

/** @throws {ApiProblem} 400 naming the parameter */
export function decodeAuditQuery(
  values: (name: string) => readonly string[],
): { readonly chain: AuditChain; readonly after: number; readonly limit: number } {
  const one = (name: string): string | undefined => {
    const [value, more] = values(name);
    if (more !== undefined) throw invalid(name, "stands twice");
    return value;
  };
  const integer = (name: string, otherwise: number, least: number, most: number): number => {
    const text = one(name);
    if (text === undefined) return otherwise;
    const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
    if (!(value >= least && value <= most)) {
      throw invalid(name, `must be a whole number from ${least} to ${most}`);
    }
    return value;
  };
  const wanted = one("chain") ?? "acts";
  const chain = AUDIT_CHAINS.find((candidate) => candidate === wanted);
  if (chain === undefined) throw invalid("chain", `must be one of ${AUDIT_CHAINS.join(", ")}`);
  return {
    chain,
    after: integer("after", 0, 0, Number.MAX_SAFE_INTEGER),
    limit: integer("limit", 100, 1, MAX_AUDIT_PAGE),
  };
}

function invalid(name: string, why: string): ApiProblem {
  return new ApiProblem(400, "invalid_parameter", `query parameter "${name}" ${why}`, {
    field: name,
  });
}
