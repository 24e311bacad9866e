import { sha256 } from "@noble/hashes/sha2.js";
import { assertEquals } from "@std/assert";
import { INTEL_SGX_ROOT_CA } from "../roots/mod.ts";
import { createWebCryptoVerifier } from "../signatures.ts";
import { parseCertificate, verifyCertificateSignature } from "../x509/mod.ts";
import { INTEL_TCB_SIGNING } from "./tcb_signing.ts";

Deno.test("built-in TCB signing certificates are what their digests say and Intel's root signed them", async () => {
  const root = parseCertificate(Uint8Array.fromBase64(INTEL_SGX_ROOT_CA.der));
  const verifier = createWebCryptoVerifier();
  for (const pin of INTEL_TCB_SIGNING) {
    const certificate = parseCertificate(Uint8Array.fromBase64(pin.der));
    assertEquals(certificate.fingerprint, pin.sha256);
    assertEquals(sha256(certificate.spki).toHex(), pin.spkiSha256);
    assertEquals(certificate.subjectCommonName, "Intel SGX TCB Signing");
    assertEquals(certificate.basicConstraints?.ca ?? false, false);
    assertEquals(await verifyCertificateSignature(certificate, root, verifier), true);
  }
});
