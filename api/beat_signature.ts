/**
 * What a worker's node key signs with every request that changes something under its session, so
 * that a session token alone, stolen or replayed, does nothing. See docs/ADMISSION.md.
 */
import { hash } from "node:crypto";
import type { Bytes } from "../backends/mod.ts";
import { ApiProblem } from "./problem.ts";

/** Headers beside `X-Seal-Token`. */
export const SEQUENCE_HEADER = "x-nautilus-sequence";
export const SIGNATURE_HEADER = "x-nautilus-signature";

export type BeatPurpose = "heartbeat" | "leave";

export interface BeatInput {
  readonly purpose: BeatPurpose;
  readonly sessionToken: string;
  /** SHA-256 of the token, hex, where it is known already. */
  readonly tokenDigest?: string;
  /** 1 to 2^53 - 1. */
  readonly sequence: number;
  /** As sent. */
  readonly body: Uint8Array;
}

/** What came with a request. */
export interface SignedBeat extends BeatInput {
  /** 64 bytes, Ed25519. */
  readonly signature: Bytes;
}

const encoder = new TextEncoder();
const DOMAINS: Readonly<Record<BeatPurpose, Uint8Array>> = {
  heartbeat: encoder.encode("nautilus-tee/heartbeat/v1\n"),
  leave: encoder.encode("nautilus-tee/leave/v1\n"),
};

/** SHA-256 of a session token's ASCII, hex. */
export function tokenDigest(sessionToken: string): string {
  return hash("sha256", sessionToken, "hex");
}

/**
 * The bytes (length of the domain line + 72): `nautilus-tee/<purpose>/v1\n` ‖ SHA-256 of the session
 * token's ASCII (32) ‖ sequence (u64 BE) ‖ SHA-256 of the body (32).
 */
export function beatSignatureInput(input: BeatInput): Bytes {
  const domain = DOMAINS[input.purpose];
  const out = new Uint8Array(domain.length + 72);
  const view = new DataView(out.buffer);
  out.set(domain);
  out.set(Uint8Array.fromHex(input.tokenDigest ?? tokenDigest(input.sessionToken)), domain.length);
  view.setUint32(domain.length + 32, Math.floor(input.sequence / 2 ** 32));
  view.setUint32(domain.length + 36, input.sequence % 2 ** 32);
  out.set(Uint8Array.fromHex(hash("sha256", input.body, "hex")), domain.length + 40);
  return out;
}

/**
 * Reads the two headers; undefined where neither is there.
 *
 * @throws {ApiProblem} 400 where one is malformed or alone
 */
export function readBeat(
  sequence: string | undefined,
  signature: string | undefined,
  rest: Omit<BeatInput, "sequence">,
): SignedBeat | undefined {
  if (sequence === undefined && signature === undefined) return undefined;
  if (sequence === undefined || !/^[1-9][0-9]{0,15}$/.test(sequence)) {
    throw malformed("X-Nautilus-Sequence", "must be a decimal number from 1 to 2^53 - 1");
  }
  const number = Number(sequence);
  if (!Number.isSafeInteger(number)) {
    throw malformed("X-Nautilus-Sequence", "must be a decimal number from 1 to 2^53 - 1");
  }
  if (signature === undefined || !/^[A-Za-z0-9+/]{86}==$/.test(signature)) {
    throw malformed("X-Nautilus-Signature", "must be 64 bytes in base64");
  }
  return { ...rest, sequence: number, signature: Uint8Array.fromBase64(signature) };
}

function malformed(header: string, why: string): ApiProblem {
  return new ApiProblem(400, "invalid_header", `the header ${header} ${why}`, { field: header });
}
