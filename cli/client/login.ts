/** Logs in at a master that has proved itself: by evidence, a pinned key, or a CA given by hand. */
import { sign } from "node:crypto";
import * as v from "valibot";
import { type AdminPurpose, adminSignatureInput } from "../../api/admin/messages.ts";
import type { Bytes } from "../../backends/mod.ts";
import { type Flags, required } from "../flags.ts";
import { type AdminKeyFile, readAdminKey } from "./admin_key.ts";
import { decoded, refusal } from "./answer.ts";
import { connectPinned, type PeerCheck, type PinnedAnswer } from "./pinned_request.ts";
import { TRUST_FLAGS, type TrustedMaster, trustedMaster } from "./trust.ts";

const TIMEOUT_MS = 90_000;

const CHALLENGE = v.object({ challenge: v.string(), expires_at: v.number() });
const LOGIN = v.object({
  token: v.string(),
  token_id: v.string(),
  expires_at: v.number(),
  certificate_authority: v.nullable(v.string()),
});
const REVOKED = v.object({ status: v.literal("revoked"), token_id: v.string() });

export interface AdminSession {
  readonly token: string;
  readonly tokenId: string;
  /** Seconds since the epoch. */
  readonly expiresAt: number;
  /** PEM; undefined over plain HTTP. */
  readonly certificateAuthority: string | undefined;
  /** DER SPKI of the master's TLS key; undefined over plain HTTP. */
  readonly peerSpki: Bytes | undefined;
}

/** A master that has proved itself, and the session that the admin's key opened there. */
export interface LoggedIn extends TrustedMaster {
  readonly key: AdminKeyFile;
  readonly session: AdminSession;
}

/** The flags of a login. */
export const LOGIN_FLAGS = {
  strings: [...TRUST_FLAGS.strings, "key"],
  lists: TRUST_FLAGS.lists,
} as const;

/**
 * @param ttlSeconds as the master likes it where it is left out
 * @throws {UsageError} {Refused} {Error} where the master cannot be reached
 */
export async function logIn(flags: Flags, ttlSeconds?: number): Promise<LoggedIn> {
  required(flags.strings, "master", "URL");
  const key = await readAdminKey(required(flags.strings, "key"));
  const { master, check } = await trustedMaster(flags);
  return { master, check, key, session: await adminLogin(master, check, key, ttlSeconds) };
}

/** @throws {Refused} with what the master says; {Error} where it cannot be reached or trusted */
export async function adminLogin(
  master: URL,
  check: PeerCheck,
  key: AdminKeyFile,
  ttlSeconds: number | undefined,
): Promise<AdminSession> {
  const { peerSpki, answer } = await signedRequest(master, check, key, "login", {
    path: "/api/v1/admin/login",
    body: ttlSeconds === undefined ? {} : { ttl_seconds: ttlSeconds },
  });
  const login = decoded(LOGIN, answer);
  return {
    token: login.token,
    tokenId: login.token_id,
    expiresAt: login.expires_at,
    certificateAuthority: login.certificate_authority ?? undefined,
    peerSpki,
  };
}

/** Makes `next` the admin key. @throws {Refused | Error} */
export async function changeAdminKey(
  master: URL,
  check: PeerCheck,
  session: AdminSession,
  next: AdminKeyFile,
): Promise<void> {
  const { answer } = await signedRequest(master, check, next, "key", {
    path: "/api/v1/admin/key",
    body: { public_key: next.publicKey },
    bearer: session.token,
  });
  if (answer.status !== 200) throw refusal(answer);
}

/** Ends a token, or with `all` every one. @throws {Refused | Error} */
export async function revokeToken(
  master: URL,
  check: PeerCheck,
  session: AdminSession,
  tokenId: string,
): Promise<void> {
  const peer = await connectPinned(master, check, TIMEOUT_MS);
  const answer = await peer.send({
    url: new URL("/api/v1/admin/revoke", master),
    method: "POST",
    body: { token_id: tokenId },
    bearer: session.token,
    timeoutMs: TIMEOUT_MS,
  });
  decoded(REVOKED, answer);
}

/** One page of the audit log as it came. @throws {Refused | Error} */
export async function readAuditPage(
  master: URL,
  check: PeerCheck,
  session: AdminSession,
  page: { readonly chain: string; readonly after: number; readonly limit: number },
): Promise<unknown> {
  const url = new URL("/api/v1/audit", master);
  for (const [name, value] of Object.entries(page)) url.searchParams.set(name, String(value));
  const peer = await connectPinned(master, check, TIMEOUT_MS);
  const answer = await peer.send({
    url,
    method: "GET",
    bearer: session.token,
    timeoutMs: TIMEOUT_MS,
  });
  return decoded(v.unknown(), answer);
}

async function signedRequest(
  master: URL,
  check: PeerCheck,
  { key }: AdminKeyFile,
  purpose: AdminPurpose,
  request: {
    readonly path: string;
    readonly body: Readonly<Record<string, unknown>>;
    readonly bearer?: string;
  },
): Promise<{ readonly peerSpki: Bytes | undefined; readonly answer: PinnedAnswer }> {
  const first = await connectPinned(master, check, TIMEOUT_MS);
  const asked = await first.send({
    url: new URL("/api/v1/admin/challenge", master),
    method: "POST",
    timeoutMs: TIMEOUT_MS,
  });
  const { challenge } = decoded(CHALLENGE, asked);
  const peer = await connectPinned(master, check, TIMEOUT_MS);
  const { spki } = peer;
  const input = await adminSignatureInput(purpose, spki, Uint8Array.fromBase64(challenge));
  const { bearer } = request;
  const answer = await peer.send({
    url: new URL(request.path, master),
    method: "POST",
    body: { ...request.body, challenge, signature: sign(null, input, key).toString("base64") },
    ...(bearer === undefined ? {} : { bearer }),
    timeoutMs: TIMEOUT_MS,
  });
  return { peerSpki: spki, answer };
}
