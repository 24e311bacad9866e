import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Bytes } from "../../backends/mod.ts";
import { makeCertificate, makeKey } from "../../tests/pki/pki.ts";
import { connectPinned, type PeerCheck, WrongPeer } from "./pinned_request.ts";

const TIMEOUT_MS = 30_000;

function pem(label: string, der: Uint8Array): string {
  return `-----BEGIN ${label}-----\n${der.toBase64()}\n-----END ${label}-----\n`;
}

async function listening() {
  const key = await makeKey("P-256");
  const now = Date.now();
  const span = { notBefore: now - 3_600_000, notAfter: now + 3_600_000 };
  const certificate = await makeCertificate({
    subject: "peer",
    issuer: "peer",
    key,
    issuerKey: key,
    ...span,
  });
  const spki: Bytes = key.spki;
  const server = createServer({
    key: pem("PRIVATE KEY", new Uint8Array(await crypto.subtle.exportKey("pkcs8", key.privateKey))),
    cert: pem("CERTIFICATE", certificate),
  }, (_, response) => void response.end("{}"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const { port } = server.address() as AddressInfo;
  return {
    url: new URL(`https://127.0.0.1:${port}`),
    spki,
    certificate: pem("CERTIFICATE", certificate),
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

Deno.test("connectPinned() takes the peer that holds the key, and no other", async () => {
  await using server = await listening();
  const { url, spki } = server;
  const sha256 = new Uint8Array(await crypto.subtle.digest("SHA-256", spki));
  const right: readonly PeerCheck[] = [{ kind: "spki", spki }, { kind: "pin", sha256 }];
  for (const check of right) {
    const peer = await connectPinned(url, check, TIMEOUT_MS);
    assertEquals(peer.spki?.toHex(), spki.toHex());
    const answer = await peer.send({ url, method: "GET", timeoutMs: TIMEOUT_MS });
    assertEquals(answer, { status: 200, body: "{}" });
  }
  const wrong: readonly PeerCheck[] = [
    { kind: "spki", spki: new Uint8Array(spki.length) },
    { kind: "pin", sha256: new Uint8Array(32) },
  ];
  for (const check of wrong) {
    await assertRejects(() => connectPinned(url, check, TIMEOUT_MS), WrongPeer);
  }
});

Deno.test("connectPinned() refuses a certificate of another CA, or for another name, as somebody else's", async () => {
  await using server = await listening();
  await using other = await listening();
  // The right CA, but the certificate names no address at all.
  for (const ca of [other.certificate, server.certificate]) {
    const refusal = await assertRejects(
      () => connectPinned(server.url, { kind: "ca", pem: ca }, TIMEOUT_MS),
      WrongPeer,
    );
    assertStringIncludes(refusal.message, "not by the given CA, or not for this name");
    assertEquals(refusal.code, "wrong_peer");
  }
});

Deno.test("connectPinned() says that nobody listens", async () => {
  for (const scheme of ["http", "https"] as const) {
    const url = new URL(`${scheme}://127.0.0.1:1`);
    const check: PeerCheck = scheme === "http"
      ? { kind: "loopback" }
      : { kind: "pin", sha256: new Uint8Array(32) };
    await assertRejects(
      () => connectPinned(url, check, TIMEOUT_MS),
      Error,
      `${url.origin} cannot be reached: nobody listens there`,
    );
  }
});
