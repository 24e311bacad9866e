/** The admin: who holds the sealed key signs a challenge and gets a token that lives for minutes. */
import type { Bytes } from "../../backends/mod.ts";
import type { AuditEvent, AuditLog } from "../audit/mod.ts";
import type { Clock } from "../deps.ts";
import { ApiProblem } from "../problem.ts";
import { createChallenges } from "./challenges.ts";
import { type AdminPurpose, adminSignatureInput } from "./messages.ts";
import { type AdminClaims, createAdminTokens } from "./tokens.ts";

export interface AdminOptions {
  /** Base64 SPKI of the sealed admin key; undefined where there is none (the simulation). */
  readonly key: string | undefined;
  /** Seals another key in place of the present one, durably. */
  readonly replaceKey: (key: string) => Promise<void>;
  /** The store's `admin-token` secret. */
  readonly secret: Bytes;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly random: (length: number) => Bytes;
  /** Key of the TLS listener, DER SPKI, and the CA that kubeconfigs hold, PEM. */
  readonly tls: { readonly spki: Bytes; readonly caPem: string } | undefined;
}

/** Where a request came from, for the audit log and for what a signature must be bound to. */
export interface AdminCaller {
  readonly encrypted: boolean;
  readonly event: Pick<AuditEvent, "address" | "request" | "request_id">;
}

export interface AdminLogin {
  readonly token: string;
  readonly claims: AdminClaims;
  readonly caPem: string | undefined;
}

export interface Admin {
  challenge(): { readonly challenge: Bytes; readonly expiresAtMs: number };
  /** @throws {ApiProblem} 401 for whatever is not the admin's signature; 503 without an admin key */
  login(
    presented: {
      readonly challenge: Bytes;
      readonly signature: Bytes;
      readonly ttlSeconds: number;
    },
    caller: AdminCaller,
  ): Promise<AdminLogin>;
  /** The claims of a token that stands. */
  verify(token: string): AdminClaims | undefined;
  /** Ends a token, or all of them. */
  revoke(tokenId: string | "all", caller: AdminCaller): Promise<void>;
  /** Makes another key the admin's. All tokens end. @throws {ApiProblem} 401, 409 */
  rotate(
    presented: { readonly key: string; readonly challenge: Bytes; readonly signature: Bytes },
    caller: AdminCaller,
  ): Promise<void>;
}

export function createAdmin(options: AdminOptions): Admin {
  const { audit, clock, random, tls } = options;
  const challenges = createChallenges(random(32), clock, random);
  const tokens = createAdminTokens(options.secret.slice(), random(32), clock, random);
  let key = options.key;

  function present(): string {
    if (key !== undefined) return key;
    throw new ApiProblem(503, "admin_not_configured", "this master has no admin key", {
      hint: "start it with --admin-key, or use the kubeconfig of the simulation",
    });
  }

  async function requireSignature(
    purpose: AdminPurpose,
    signer: string,
    { challenge, signature }: { readonly challenge: Bytes; readonly signature: Bytes },
    caller: AdminCaller,
  ): Promise<void> {
    const verdict = challenges.check(challenge);
    if (verdict !== "good") {
      throw unauthorized(`challenge_${verdict}`, `the challenge is ${WHY[verdict]}`);
    }
    const input = await adminSignatureInput(
      purpose,
      caller.encrypted ? tls?.spki : undefined,
      challenge,
    );
    if (!await verifyEd25519(signer, signature, input)) {
      throw unauthorized(
        "bad_signature",
        "the signature is not the admin key's over this challenge",
      );
    }
    if (!challenges.burn(challenge)) {
      throw unauthorized("challenge_used", "the challenge was used already");
    }
  }

  const act = (caller: AdminCaller, action: string, detail: string) =>
    audit.act({ ...caller.event, action, actor: "admin", status: null, credential: null, detail });

  return {
    challenge() {
      present();
      return challenges.issue();
    },
    async login(presented, caller) {
      const signer = present();
      await requireSignature("login", signer, presented, caller);
      const { token, claims } = tokens.issue(presented.ttlSeconds);
      await act(caller, "admin.login", `token ${claims.id} until ${isoTime(claims.exp)}`);
      // The key may have changed while the record was written.
      if (key !== signer) throw unauthorized("bad_signature", "the admin key has changed");
      return { token, claims, caPem: tls?.caPem };
    },
    verify: (token) => tokens.verify(token),
    async revoke(tokenId, caller) {
      await act(caller, "admin.revoke", tokenId === "all" ? "all tokens" : `token ${tokenId}`);
      if (tokenId === "all") tokens.revokeAll();
      else tokens.revoke(tokenId);
    },
    async rotate(presented, caller) {
      const before = key;
      if (presented.key === before) {
        throw new ApiProblem(409, "admin_key_unchanged", "this is the admin key already", {
          field: "public_key",
        });
      }
      await requireSignature("key", presented.key, presented, caller);
      await act(caller, "admin.key", `${before ?? "none"} becomes ${presented.key}`);
      await options.replaceKey(presented.key);
      key = presented.key;
      tokens.revokeAll();
    },
  };
}

const WHY = {
  malformed: "not one of this start of the master",
  expired: "no longer good; ask for another",
  used: "used already; ask for another",
} as const;

function unauthorized(code: string, detail: string): ApiProblem {
  return new ApiProblem(401, code, detail, {
    headers: { "WWW-Authenticate": 'Bearer realm="nautilus"' },
  });
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

async function verifyEd25519(key: string, signature: Bytes, data: Bytes): Promise<boolean> {
  const publicKey = await crypto.subtle.importKey(
    "spki",
    Uint8Array.fromBase64(key),
    "Ed25519",
    false,
    ["verify"],
  );
  return await crypto.subtle.verify("Ed25519", publicKey, signature, data);
}
