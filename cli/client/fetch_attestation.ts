/**
 * Asks a node for its attestation and keeps the key it answered with. The node's certificate is its
 * own, made in the TEE: not a public authority but the evidence vouches for it, so the TLS layer
 * accepts any certificate here and the caller compares its key with the evidence.
 */
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Bytes } from "../../backends/mod.ts";
import { joined, peerSpki as peerKey } from "./peer_key.ts";

const MAX_BODY_BYTES = 4 << 20;

export interface FetchedAttestation {
  readonly status: number;
  readonly body: string;
  /** DER SubjectPublicKeyInfo of the key the peer proved to hold; undefined over plain HTTP. */
  readonly peerSpki: Bytes | undefined;
}

/** @throws {Error} when the node cannot be reached, answers too slowly or too much */
export function fetchAttestation(
  node: URL,
  nonce: Bytes,
  timeoutMs: number,
): Promise<FetchedAttestation> {
  const url = new URL(`/api/v1/attestation?nonce=${nonce.toHex()}`, node);
  return new Promise((resolve, reject) => {
    let peerSpki: Bytes | undefined;
    const options = {
      method: "GET",
      headers: { accept: "application/json", connection: "close" },
      agent: false,
    } as const;
    const outgoing = url.protocol === "https:"
      ? httpsRequest(url, {
        ...options,
        rejectUnauthorized: false,
        checkServerIdentity: () => undefined,
      })
      : httpRequest(url, options);
    const timer = setTimeout(
      () => outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    const fail = (error: unknown) => {
      clearTimeout(timer);
      reject(error instanceof Error ? error : new Error(String(error)));
      outgoing.destroy();
    };
    outgoing.on("error", fail);
    outgoing.on("response", (response) => {
      try {
        if (url.protocol === "https:") peerSpki = peerKey(response.socket);
      } catch (error) {
        return fail(error);
      }
      const chunks: Uint8Array[] = [];
      let length = 0;
      response.on("data", (chunk: Uint8Array) => {
        length += chunk.length;
        if (length > MAX_BODY_BYTES) {
          fail(new Error(`the answer is longer than ${MAX_BODY_BYTES} bytes`));
        } else chunks.push(chunk);
      });
      response.on("error", fail);
      response.on("end", () => {
        clearTimeout(timer);
        resolve({
          status: response.statusCode ?? 0,
          body: new TextDecoder().decode(joined(chunks, length)),
          peerSpki,
        });
      });
    });
    outgoing.end();
  });
}
