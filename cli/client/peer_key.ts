/** The key that the other side of a TLS connection proved to hold. */
import { TLSSocket } from "node:tls";
import type { Bytes } from "../../backends/mod.ts";
import { parseCertificate } from "../../backends/x509/mod.ts";

/** DER SPKI. @throws {Error} where the connection is not TLS, or no certificate was shown */
export function peerSpki(socket: unknown): Bytes {
  if (!(socket instanceof TLSSocket)) throw new Error("the connection is not TLS");
  const certificate: unknown = socket.getPeerCertificate(true);
  const raw: unknown =
    typeof certificate === "object" && certificate !== null && "raw" in certificate
      ? certificate.raw
      : undefined;
  if (!(raw instanceof Uint8Array)) throw new Error("the peer showed no certificate");
  return parseCertificate(raw).spki;
}

/** The pieces of an answer, `length` bytes together. */
export function joined(pieces: readonly Uint8Array[], length: number): Bytes {
  const out = new Uint8Array(length);
  let offset = 0;
  for (const piece of pieces) {
    out.set(piece, offset);
    offset += piece.length;
  }
  return out;
}
