/** Logs in at a master that has proved itself: by evidence, a pinned key, or a CA given by hand. */
import { sign } from "node:crypto";
import * as v from "valibot";
import { type AdminPurpose, adminSignatureInput } from "../../api/admin/messages.ts";
import { appraiseBundle, parseBundle } from "../../backends/bundle.ts";
import { resultText } from "../../backends/result_json.ts";
import type { Bytes } from "../../backends/mod.ts";
import { createEvidenceVerifier } from "../../backends/verification.ts";
import { type AdminKeyFile } from "./admin_key.ts";
import { UsageError } from "../command.ts";
import { fetchAttestation } from "./fetch_attestation.ts";
import { connectPinned, type PeerCheck, type PinnedAnswer } from "./pinned_request.ts";
import { loadPolicy } from "../verify/verify.ts";
import { diskReader, readEndorsements } from "../files/evidence.ts";

const TIMEOUT_MS = 90_000;

const CHALLENGE = v.object({ challenge: v.string(), expires_at: v.number() });
const LOGIN = v.object({
  token: v.string(),
  token_id: v.string(),
  expires_at: v.number(),
  certificate_authority: v.nullable(v.string()),
});
const REVOKED = v.object({ status: v.literal("revoked"), token_id: v.string() });
const PROBLEM = v.object({ detail: v.string(), code: v.string(), hint: v.optional(v.string()) });

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

/** How the master proves itself, as the command line says it. */
export interface TrustFlags {
  readonly policy: string | undefined;
  /** Collateral and the like, beside the policy. */
  readonly endorsements: readonly string[];
  /** File with a PEM certificate. */
  readonly ca: string | undefined;
  /** SHA-256 of the master's SPKI, hex. */
  readonly spki: string | undefined;
}

/** The master refused. Exit code 1. */
export class AdminRefused extends Error {
  override readonly name = "AdminRefused";
  readonly code = "admin_refused";
}

/**
 * Who may answer at this URL, from the flags; with a policy the evidence is fetched and appraised.
 * @throws {UsageError} without a way to know the master; {AdminRefused} where its evidence is not affirming
 */
export async function establishTrust(master: URL, flags: TrustFlags): Promise<PeerCheck> {
  const ways = [flags.policy, flags.ca, flags.spki].filter((way) => way !== undefined);
  if (ways.length > 1) throw new UsageError("one of --policy, --ca, --spki, not several");
  if (master.protocol === "http:") {
    if (!["localhost", "127.0.0.1", "[::1]"].includes(master.hostname)) {
      throw new UsageError(`${master.origin}: plain HTTP is for this machine alone; use https://`);
    }
    if (ways.length > 0) throw new UsageError("--policy, --ca and --spki need https://");
    return { kind: "loopback" };
  }
  if (flags.spki !== undefined) {
    if (!/^[0-9a-fA-F]{64}$/.test(flags.spki)) {
      throw new UsageError("--spki: the SHA-256 of the master's key in hex, 64 digits, is wanted");
    }
    return { kind: "pin", sha256: Uint8Array.fromHex(flags.spki.toLowerCase()) };
  }
  if (flags.ca !== undefined) {
    try {
      return { kind: "ca", pem: await Deno.readTextFile(flags.ca) };
    } catch (error) {
      throw new UsageError(`--ca ${flags.ca}: ${error instanceof Error ? error.message : error}`);
    }
  }
  if (flags.policy === undefined) {
    throw new UsageError(
      "no certificate is believed as it stands: give --policy POLICY (the master's evidence is " +
        "appraised), --spki SHA256 or --ca FILE",
    );
  }
  return { kind: "spki", spki: await attestedKey(master, flags.policy, flags.endorsements) };
}

async function attestedKey(
  master: URL,
  policyPath: string,
  endorsementPaths: readonly string[],
): Promise<Bytes> {
  const reader = diskReader();
  const policy = await loadPolicy(reader, policyPath);
  const endorsements = await readEndorsements(reader, endorsementPaths);
  const { createWebCryptoVerifier } = await import("../../backends/signatures.ts");
  const signatures = createWebCryptoVerifier();
  const nonce = crypto.getRandomValues(new Uint8Array(32));
  const { status, body, peerSpki } = await fetchAttestation(master, nonce, TIMEOUT_MS);
  if (status !== 200 || peerSpki === undefined) {
    throw new Error(`${master.origin} gives no evidence now: it answered ${status}`);
  }
  const result = await appraiseBundle({
    bundle: parseBundle(body),
    nonce,
    peerTlsSpki: peerSpki,
    endorsements,
    policy,
    now: Date.now(),
  }, { signatures, evidence: createEvidenceVerifier({ signatures }) });
  if (result.tier !== "affirming") {
    throw new AdminRefused(
      `${master.origin} is not what the policy asks for; nothing was sent to it\n${
        resultText(result)
      }`,
    );
  }
  return peerSpki;
}

/** @throws {AdminRefused} with what the master says; {Error} where it cannot be reached or trusted */
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

/** Makes `next` the admin key. @throws {AdminRefused | Error} */
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
  if (answer.status !== 200) throw refused(answer);
}

/** Ends a token, or with `all` every one. @throws {AdminRefused | Error} */
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

/** One page of the audit log as it came. @throws {AdminRefused | Error} */
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

/** @throws {AdminRefused} for any other status than 200 and 202, and for what is not of this shape */
export function decoded<const S extends v.GenericSchema>(
  schema: S,
  answer: PinnedAnswer,
): v.InferOutput<S> {
  if (answer.status !== 200 && answer.status !== 202) throw refused(answer);
  const result = v.safeParse(schema, JSON.parse(answer.body));
  if (!result.success) throw new AdminRefused("the master's answer is none that is known here");
  return result.output;
}

function refused({ status, body }: PinnedAnswer): AdminRefused {
  let document: unknown;
  try {
    document = JSON.parse(body);
  } catch {
    document = undefined;
  }
  const problem = v.safeParse(PROBLEM, document);
  return new AdminRefused(
    problem.success
      ? `the master refuses (${status} ${problem.output.code}): ${problem.output.detail}` +
        (problem.output.hint === undefined ? "" : `; ${problem.output.hint}`)
      : `the master answered ${status}`,
  );
}
