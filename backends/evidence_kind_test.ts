import { assert, assertEquals } from "@std/assert";
import { testVectors } from "../tests/vectors/mod.ts";
import { pem } from "../tests/pki/intel_der.ts";
import { makeCertificate, makeCrl, makeKey } from "../tests/pki/pki.ts";
import { classify } from "./evidence_kind.ts";
import type { Bytes } from "./mod.ts";

const utf8 = (text: string): Bytes => new TextEncoder().encode(text);

const told = (bytes: Bytes): string => {
  const found = classify(bytes);
  return found.kind === "evidence"
    ? found.teeType
    : found.kind === "bundle"
    ? "bundle"
    : found.endorsement.type;
};

Deno.test("classify() tells certificates, lists, bundles and collateral apart, in DER and PEM", async () => {
  const key = await makeKey("P-256");
  const span = { notBefore: 0, notAfter: 1000 };
  const certificate = await makeCertificate({
    subject: "a",
    issuer: "a",
    key,
    issuerKey: key,
    ...span,
  });
  const crl = await makeCrl({ issuer: "a", issuerKey: key, thisUpdate: 0, nextUpdate: 1000 });
  assertEquals(told(certificate), "certificates");
  assertEquals(told(utf8(pem("CERTIFICATE", certificate))), "certificates");
  assertEquals(told(crl), "crl");
  assertEquals(told(utf8(pem("X509 CRL", crl))), "crl");
  assertEquals(told(utf8('{"signed": "", "evidence": {}}')), "bundle");
  assertEquals(told(utf8('{"tcbInfo": {}}')), "collateral");
  assertEquals(told(utf8("hello, world")), "collateral");
  assertEquals(told(new Uint8Array(0)), "collateral");
  assertEquals(told(new Uint8Array(2000)), "collateral");
  assertEquals(
    told(Uint8Array.from([...Uint8Array.fromHex("63da758de6644564adc5f4b93be8accd"), 0, 0])),
    "certificate-table",
  );
});

for (
  const [family, files] of Object.entries({
    "sev-snp": {
      "report.bin": "SEV",
      "hcl_report.bin": "SEV",
      "vcek.der": "certificates",
      "chain.pem": "certificates",
    },
    nitro: { "document.cbor": "NITRO", "root.pem": "certificates" },
    sgx: { "quote.bin": "SGX", "pck_crl.der": "crl", "tcb_info.json": "collateral" },
    tdx: {
      "quote.bin": "TDX",
      "hcl_report.bin": "hcl-report",
      "root_ca_crl.der": "crl",
      "collateral.json": "collateral",
      "ccel_data.bin": "collateral",
      "ccel_table.bin": "collateral",
    },
  })
) {
  testVectors(family, `classify() knows ${family} by its content`, (vector) => {
    for (const [file, wanted] of Object.entries(files)) {
      if (!vector.files.includes(file)) continue;
      const bytes = vector.read(file);
      assertEquals(told(bytes), wanted, file);
      if (!/[a-z]/.test(wanted)) {
        for (
          const text of [
            bytes.toBase64(),
            bytes.toBase64({ alphabet: "base64url", omitPadding: true }),
            bytes.toHex(),
          ]
        ) {
          const found = classify(utf8(`${text.slice(0, 64)}\r\n${text.slice(64)}\n`));
          assert(found.kind === "evidence" && found.teeType === wanted, `${file} as text`);
          assertEquals(found.data.toHex(), bytes.toHex());
        }
      }
    }
  });
}
