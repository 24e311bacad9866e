import { sha256 } from "@noble/hashes/sha2.js";
import { assertEquals } from "@std/assert";
import { createWebCryptoVerifier } from "../signatures.ts";
import {
  type Certificate,
  parseCertificate,
  sameBytes,
  verifyCertificateSignature,
} from "../x509/mod.ts";
import * as roots from "./mod.ts";
import type { PinnedCertificate } from "./mod.ts";

const pinned: readonly PinnedCertificate[] = Object.values(roots);

function parsed(root: PinnedCertificate): Certificate {
  return parseCertificate(Uint8Array.fromBase64(root.der));
}

Deno.test("pinned certificates are what their digests say, by DER and by public key", () => {
  assertEquals(pinned.length, 11);
  for (const root of pinned) {
    const der = Uint8Array.fromBase64(root.der);
    assertEquals(sha256(der).toHex(), root.sha256, root.name);
    assertEquals(sha256(parseCertificate(der).spki).toHex(), root.spkiSha256, root.name);
  }
});

Deno.test("pinned certificates are authorities, signed by themselves or by their pinned root", async () => {
  const verifier = createWebCryptoVerifier();
  const all = pinned.map(parsed);
  for (const certificate of all) {
    assertEquals(certificate.basicConstraints?.ca, true, certificate.subjectName);
    assertEquals(certificate.keyUsage?.keyCertSign, true, certificate.subjectName);
    const issuer = all.find((other) => sameBytes(other.subject, certificate.issuer));
    if (issuer === undefined) throw new Error(`${certificate.subjectName} has no pinned issuer`);
    assertEquals(
      await verifyCertificateSignature(certificate, issuer, verifier),
      true,
      certificate.subjectName,
    );
  }
});

Deno.test("pinned certificates are the ones published beside the project, where that folder is", async (t) => {
  const folder = new URL("../../../shared/roots/manifest.json", import.meta.url);
  let text: string;
  try {
    text = await Deno.readTextFile(folder);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    await t.step({ name: "skipped: ../shared/roots is not here", ignore: true, fn: () => {} });
    return;
  }
  const published: unknown = JSON.parse(text);
  if (!Array.isArray(published)) throw new Error("the manifest is no list");
  for (const root of pinned) {
    const entry: unknown = published.find((item: unknown) =>
      typeof item === "object" && item !== null && "name" in item && item.name === root.name
    );
    if (
      typeof entry !== "object" || entry === null || !("sha256" in entry) ||
      !("spki_sha256" in entry)
    ) {
      throw new Error(`${root.name} is not in the manifest`);
    }
    assertEquals([entry.sha256, entry.spki_sha256], [root.sha256, root.spkiSha256]);
  }
});
