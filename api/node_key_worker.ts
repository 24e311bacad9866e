/** The Worker that checks signatures of node keys, and what it and its owner send each other. */
import { serveWorker } from "../backends/ffi/worker_scope.ts";
import type { Bytes } from "../backends/mod.ts";
import { NodeKeys } from "./node_keys.ts";

export const SPKI_BYTES = 44;
export const SIGNATURE_BYTES = 64;
/** Keys kept ready, while the Worker runs. */
const MOST_KEYS = 20_000;

export interface PackedCheck {
  /** Ed25519, 44 bytes. */
  readonly spki: Bytes;
  readonly signature: Bytes;
  /** At most 65,535 bytes. */
  readonly message: Bytes;
}

export interface VerifierRequest {
  readonly id: number;
  /** See packChecks. */
  readonly checks: Bytes;
}

export interface VerifierReply {
  readonly id: number;
  /** 1 where the signature is good, in the order of the checks. */
  readonly good: Uint8Array;
}

/** Each: SPKI (44), signature (64), length of the message (u16 BE), message. */
export function packChecks(checks: readonly PackedCheck[]): Bytes {
  const head = SPKI_BYTES + SIGNATURE_BYTES + 2;
  const out = new Uint8Array(checks.reduce((sum, { message }) => sum + head + message.length, 0));
  const view = new DataView(out.buffer);
  let at = 0;
  for (const { spki, signature, message } of checks) {
    if (spki.length !== SPKI_BYTES || signature.length !== SIGNATURE_BYTES) {
      throw new TypeError("a check takes an SPKI of 44 bytes and a signature of 64");
    }
    if (message.length > 0xffff) throw new TypeError("a message of 65,535 bytes at most");
    out.set(spki, at);
    out.set(signature, at + SPKI_BYTES);
    view.setUint16(at + SPKI_BYTES + SIGNATURE_BYTES, message.length);
    out.set(message, at + head);
    at += head + message.length;
  }
  return out;
}

/** Views of the bytes. */
export function* unpackChecks(packed: Bytes): Generator<PackedCheck> {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  for (let at = 0; at < packed.length;) {
    const body = at + SPKI_BYTES + SIGNATURE_BYTES + 2;
    const end = body + view.getUint16(body - 2);
    yield {
      spki: packed.subarray(at, at + SPKI_BYTES),
      signature: packed.subarray(at + SPKI_BYTES, body - 2),
      message: packed.subarray(body, end),
    };
    at = end;
  }
}

/** Answers requests until the Worker is ended. @param scope the Worker's global */
export function runNodeKeyWorker(scope: object): void {
  const keys = new NodeKeys(MOST_KEYS);
  serveWorker<VerifierRequest, VerifierReply>(scope, ({ id, checks }, reply) => {
    const good: number[] = [];
    for (const { spki, signature, message } of unpackChecks(checks)) {
      good.push(keys.verify(spki, message, signature) ? 1 : 0);
    }
    reply({ id, good: Uint8Array.from(good) }, []);
  });
}
