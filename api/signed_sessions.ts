/**
 * Sessions of workers that proved their token: a JSON Web Token (RFC 7519, compact JWS, EdDSA of
 * RFC 8037) that names the cluster as its audience, the node as its subject, and the node key that
 * must sign every heartbeat (RFC 7800). The store keeps only a keyed hash of it: a token that is
 * not the session of its worker is none, however well it is signed.
 */
import { createHash, createPublicKey, hkdfSync, type KeyObject, sign, verify } from "node:crypto";
import * as v from "valibot";
import type { Bytes } from "../backends/mod.ts";
import { nodeIdentity } from "./node_attestor.ts";

const HEADER = { alg: "EdDSA", typ: "nautilus-session+jwt" } as const;
const KEY_INFO = "nautilus-tee/session-signing/v1";
const PATTERN = /^[A-Za-z0-9_-]{20,200}\.[A-Za-z0-9_-]{50,1500}\.[A-Za-z0-9_-]{86}$/;

export interface SessionClaims {
  /** Node id. */
  readonly sub: string;
  /** Admission that it goes back to, 32 hex; the same in every renewal. */
  readonly sid: string;
  /** SHA-256 of the node key's SPKI, hex. */
  readonly nodeKeyHash: string;
  /** Seconds since the epoch. */
  readonly iat: number;
  readonly exp: number;
}

export interface SignedSessions {
  /** SPKI of the key that signs, 44 bytes. */
  readonly publicKey: Bytes;
  issue(claims: SessionClaims): string;
  /** Undefined for what this master did not sign for this cluster, or what has ended. */
  verify(token: string, nowMs: number): SessionClaims | undefined;
}

const Payload = v.strictObject({
  iss: v.string(),
  aud: v.string(),
  sub: v.string(),
  sid: v.string(),
  jti: v.string(),
  iat: v.pipe(v.number(), v.safeInteger()),
  exp: v.pipe(v.number(), v.safeInteger()),
  cnf: v.strictObject({ spki_sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)) }),
});

export interface SignedSessionsOptions {
  /** 32 bytes: the store's `session-token` secret. */
  readonly secret: Bytes;
  /** The node that issues: `enclave_id`. */
  readonly issuer: string;
  /** Cluster id, 32 hex. */
  readonly audience: string;
  readonly random: (length: number) => Bytes;
}

/** Signs with a key derived from the secret, the same after a restart. */
export function createSignedSessions(options: SignedSessionsOptions): SignedSessions {
  const { issuer, audience, random } = options;
  const seed = hkdfSync("sha256", options.secret, new Uint8Array(0), KEY_INFO, 32);
  const { key, spki } = nodeIdentity(new Uint8Array(seed));
  const publicKey: KeyObject = createPublicKey(key);
  const header = encode({ ...HEADER, kid: createHash("sha256").update(spki).digest("hex") });
  return {
    publicKey: spki,
    issue({ sub, sid, nodeKeyHash, iat, exp }) {
      const payload = encode({
        iss: issuer,
        aud: audience,
        sub,
        sid,
        jti: random(16).toHex(),
        iat,
        exp,
        cnf: { spki_sha256: nodeKeyHash },
      });
      const input = new TextEncoder().encode(`${header}.${payload}`);
      return `${header}.${payload}.${base64url(new Uint8Array(sign(null, input, key)))}`;
    },
    verify(token, nowMs) {
      if (!looksLikeSignedSession(token)) return undefined;
      const [head = "", body = "", signature = ""] = token.split(".");
      // Our own header and no other: no algorithm is ever taken from a token.
      if (head !== header) return undefined;
      const input = new TextEncoder().encode(`${head}.${body}`);
      let payload: v.InferOutput<typeof Payload>;
      try {
        if (!verify(null, input, publicKey, fromBase64url(signature))) return undefined;
        payload = v.parse(Payload, JSON.parse(new TextDecoder().decode(fromBase64url(body))));
      } catch {
        return undefined; // neither base64url nor ours: no session
      }
      if (payload.iss !== issuer || payload.aud !== audience) return undefined;
      if (nowMs >= payload.exp * 1000) return undefined;
      return {
        sub: payload.sub,
        sid: payload.sid,
        nodeKeyHash: payload.cnf.spki_sha256,
        iat: payload.iat,
        exp: payload.exp,
      };
    },
  };
}

/** Whether a string can be such a token at all; the rest is never hashed. */
export function looksLikeSignedSession(text: string): boolean {
  return PATTERN.test(text);
}

function encode(value: unknown): string {
  return base64url(new TextEncoder().encode(JSON.stringify(value)));
}

function base64url(bytes: Bytes): string {
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

function fromBase64url(text: string): Bytes {
  return Uint8Array.fromBase64(text, { alphabet: "base64url", lastChunkHandling: "loose" });
}
