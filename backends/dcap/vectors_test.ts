/** Real SGX and TDX evidence: decoded fields and verdicts are what the manifests say. */
import { assert, assertEquals } from "@std/assert";
import { appraiseIntel, findings } from "../../tests/pki/intel_appraise.ts";
import { type IntelVector, intelVectors, intelVectorsOrSkip } from "../../tests/vectors/intel.ts";
import type { AttestationResult } from "../appraisal.ts";
import type { Bytes } from "../mod.ts";
import { decodeTdxQuote, tdReportClaims } from "../tdx/abi.ts";
import { parsePemCertificates } from "../x509/mod.ts";
import { enclaveReportClaims } from "./enclave_report.ts";
import { decodePckExtension, SGX_EXTENSION_OID } from "./pck_extension.ts";
import { decodeQuote } from "./quote.ts";

/** A clock for the vectors whose manifest has none: Intel's sample data is valid then. */
const SAMPLE_NOW = Date.UTC(2025, 7, 1);

const WITHOUT_COLLATERAL = { collateral: "if_given", crl: "if_given" };

const vectors = intelVectorsOrSkip("Intel vectors").filter(({ quote }) => quote !== undefined);

function quoteOf({ quote }: IntelVector): Bytes {
  assert(quote !== undefined);
  return quote;
}

async function appraised(
  vector: IntelVector,
  policy: Readonly<Record<string, unknown>> = {},
): Promise<AttestationResult> {
  const { tee, endorsements } = vector;
  const now = Number.isFinite(vector.now) ? vector.now : SAMPLE_NOW;
  return await appraiseIntel({ tee, quote: quoteOf(vector), endorsements, now, policy });
}

function member(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return new Map<string, unknown>(Object.entries(value)).get(name);
}

for (const vector of vectors) {
  const { expected } = vector;
  if (member(expected, "version") === undefined) continue;
  Deno.test(`decodeQuote() reads what the manifest says: ${vector.name}`, () => {
    const quote = decodeQuote(quoteOf(vector));
    const { header } = quote;
    const isTdx = quote.tee === "TDX";
    const facts: Record<string, unknown> = {
      version: header.version,
      att_key_type: header.attestationKeyType,
      qe_vendor: header.qeVendorId.toHex(),
      user_data: header.userData.toHex(),
      sig_len: quote.signatureDataLength,
      trailing: quote.trailingLength,
      pck_cert_type: quote.certificationData.type,
      body: isTdx
        ? tdReportClaims(decodeTdxQuote(quoteOf(vector)).report)
        : enclaveReportClaims(quote.qeReport),
      qe: enclaveReportClaims(quote.qeReport),
      ...(isTdx ? {} : { qe_svn: header.qeSvn, pce_svn: header.pceSvn }),
      ...(header.version === 5 ? { body_type: quote.bodyType } : {}),
    };
    assertEquals(vector.tee, quote.tee);
    for (const [name, value] of Object.entries(facts)) {
      if (name === "body" && !isTdx) continue; // compared through appraise() below
      compare(name, value, member(expected, name));
    }
  });

  Deno.test(`appraise() claims what the manifest says: ${vector.name}`, async () => {
    const { claims } = await appraised(vector);
    compare("body", claims, member(expected, "body"));
    const text = new TextDecoder().decode(decodeQuote(quoteOf(vector)).certificationData.data);
    const [leaf] = parsePemCertificates(text.replace(/\0+$/, ""));
    const value = leaf?.extensions.get(SGX_EXTENSION_OID)?.value;
    assert(leaf !== undefined && value !== undefined);
    const pck = decodePckExtension(value);
    const wanted = member(expected, "pck");
    const sgxTypes = ["standard", "scalable", "scalable_with_integrity"];
    assertEquals(
      {
        ppid: pck.ppid.toHex(),
        pcesvn: pck.pceSvn,
        cpusvn: pck.cpuSvn.toHex(),
        tcbcomps: pck.tcbComponents,
        pceid: pck.pceId.toHex(),
        fmspc: pck.fmspc.toHex(),
        sgxtype: sgxTypes.indexOf(pck.sgxType),
        piid: pck.platformInstanceId?.toHex(),
      },
      {
        ppid: member(wanted, "ppid"),
        pcesvn: member(wanted, "pcesvn"),
        cpusvn: member(wanted, "cpusvn"),
        tcbcomps: member(wanted, "tcbcomps"),
        pceid: member(wanted, "pceid"),
        fmspc: member(wanted, "fmspc"),
        sgxtype: member(wanted, "sgxtype"),
        piid: member(wanted, "piid"),
      },
    );
    assertEquals(`0x${leaf.serial.replace(/^00/, "")}`, member(expected, "pck_serial"));
  });
}

/** Every field that the manifest has, wherever we have it too; all of them must be known to us. */
function compare(name: string, ours: unknown, theirs: unknown): void {
  if (typeof theirs !== "object" || theirs === null || Array.isArray(theirs)) {
    assertEquals(ours, theirs, name);
    return;
  }
  for (const [field, value] of Object.entries(theirs)) {
    assertEquals(member(ours, field), value, `${name}.${field}`);
  }
}

for (const vector of vectors) {
  Deno.test(`appraise() comes to the manifest's verdict: ${vector.name}`, async () => {
    const { verdict } = vector;
    const strict = await appraised(vector);
    const status = (id: string) => strict.checks.find((check) => check.id === id)?.status;
    const crypto = ["qe_report_signature", "qe_key_binding", "quote_signature"];
    if (verdict.crypto === "valid") {
      for (const id of ["pck_chain", ...crypto]) assertEquals(status(id), "pass", id);
    } else if (verdict.crypto === "invalid") {
      assertEquals(status("pck_chain"), "pass");
      assertEquals(status("quote_signature"), "fail");
    } else {
      assertEquals(verdict.crypto, "invalid under production root");
      assertEquals(status("pck_chain"), "fail");
    }
    const found = findings(strict);
    for (const reason of verdict.reasons) {
      const tcb = /TCB status (\w+)/.exec(reason)?.[1];
      if (tcb !== undefined) {
        assertEquals(strict.checks.find(({ id }) => id === "tcb_status")?.value, tcb);
        assertEquals(status("tcb_status"), "fail");
      } else if (reason === "DEBUG attribute set") assertEquals(status("debug"), "fail");
      else if (reason === "quote_sig") assert(found.includes("quote_signature/bad_signature"));
      else if (reason === "root is not the Intel SGX Root CA") {
        assert(found.some((finding) => finding.startsWith("pck_chain/")), found.join(" "));
      } else throw new Error(`a reason this test does not know: ${reason}`);
    }
    const hasAll = ["pck_crl", "root_crl", "tcb_info", "qe_identity"].every((id) =>
      status(id) !== "missing"
    );
    // Some come without collateral, or with some of it: judged as far as it goes, by policy.
    const judged = hasAll ? strict : await appraised(vector, {
      ...WITHOUT_COLLATERAL,
      // Azure's TDs are nested under a paravisor that handles #VE for them.
      ...(vector.name === "tdx/v4-azure-hcl" ? { requireSeptVeDisable: false } : {}),
    });
    assertEquals(
      judged.tier === "affirming",
      verdict.defaultPolicy.startsWith("accept"),
      JSON.stringify(judged.checks, undefined, 1),
    );
    if (!hasAll) assert(strict.tier !== "affirming", "missing collateral never affirms by default");
  });

  const collateral = member(vector.expected, "collateral");
  if (collateral === undefined) continue;
  Deno.test(`appraise() judges the TCB as the manifest says: ${vector.name}`, async () => {
    const { claims } = await appraised(vector);
    const level = member(collateral, "tcb_level");
    assert(Array.isArray(level));
    const tcb = member(claims, "tcb");
    assertEquals(member(tcb, "status"), level[0]);
    if (level[0] !== "NoMatch") {
      assertEquals(member(tcb, "platform_status"), level[0]);
      assertEquals(member(tcb, "advisories"), level[2]);
    }
    const module = member(collateral, "tdx_module");
    if (Array.isArray(module) && module[0] !== "module v0") {
      assertEquals(member(tcb, "module"), module[0]);
      assertEquals(member(tcb, "module_status"), module[2]);
    }
    const qe = member(collateral, "qe_check");
    if (qe !== undefined) {
      assertEquals(member(member(claims, "qe"), "status"), member(qe, "status"));
    }
  });
}

const samples = vectors.filter(({ name }) => name.endsWith("testroot"));
for (const vector of samples.filter(({ tee }) => tee === "SGX")) {
  Deno.test(`appraise() finds Intel's sample good under its own root: ${vector.name}`, async () => {
    const pem = new TextDecoder().decode(vector.files.get("trustedRootCaCert.pem"));
    const root = parsePemCertificates(pem)[0]?.raw;
    assert(root !== undefined);
    const result = await appraiseIntel({
      tee: "SGX",
      quote: quoteOf(vector),
      endorsements: vector.endorsements,
      now: SAMPLE_NOW,
      root,
    });
    // The sample's enclave report is all zeros, so INIT is missing; everything else holds.
    assertEquals(findings(result), ["attributes/reserved_not_zero"]);
  });
}

Deno.test({
  name: "appraise() picks the TCB info for the platform out of a folder of several",
  ignore: vectors.length === 0,
  fn: async () => {
    const all = intelVectors() ?? [];
    const folder = all.find(({ name }) => name === "tdx/collateral-2026-03");
    const vector = all.find(({ name }) => name === "tdx/v5-gcp");
    assert(folder !== undefined && vector !== undefined);
    const { endorsements, now } = folder;
    const result = await appraiseIntel({ tee: "TDX", quote: quoteOf(vector), endorsements, now });
    assertEquals(findings(result), []);
    assertEquals(result.tier, "affirming");
    assertEquals(member(member(result.claims, "tcb"), "evaluation_data_number"), 18);
  },
});

Deno.test({
  name: "appraise() affirms a real quote with every collateral form, and says when it is used up",
  ignore: vectors.length === 0,
  fn: async () => {
    const vector = vectors.find(({ name }) => name === "tdx/v4-collateral-uptodate");
    assert(vector !== undefined);
    const file = (name: string): Bytes => {
      const bytes = vector.files.get(name);
      assert(bytes !== undefined, name);
      return bytes;
    };
    const bundle: unknown = JSON.parse(new TextDecoder().decode(file("collateral.json")));
    const text = (name: string) => String(member(bundle, name));
    const encode = (value: string): Bytes => new TextEncoder().encode(value);
    const reply = (name: string, inner: string) =>
      encode(`{"${name}":${text(inner)},"signature":"${text(`${inner}_signature`)}"}`);
    const tcb = reply("tcbInfo", "tcb_info");
    const qe = reply("enclaveIdentity", "qe_identity");
    const chain = text("tcb_info_issuer_chain");
    const pemCrl = (der: Bytes) =>
      encode(`-----BEGIN X509 CRL-----\n${der.toBase64()}\n-----END X509 CRL-----\n`);
    const lists = { root: file("root_ca_crl.der"), pck: file("pck_crl.der") };
    const wholeReplies = JSON.stringify({
      version: 3,
      tee_type: 0x81,
      tcb_info: new TextDecoder().decode(tcb),
      tcb_info_issuer_chain: encodeURIComponent(chain),
      qe_identity: new TextDecoder().decode(qe),
      qe_identity_issuer_chain: `${chain}\0`,
      root_ca_crl: [...lists.root],
      pck_crl: lists.pck.toBase64(),
      pck_crl_issuer_chain: null,
    });
    const forms: Readonly<Record<string, readonly Bytes[]>> = {
      "one bundle": [file("collateral.json")],
      "replies, chain, DER lists": [tcb, qe, encode(chain), lists.root, lists.pck],
      "replies without a chain": [tcb, qe, lists.root, lists.pck],
      "lists in PEM": [tcb, qe, pemCrl(lists.root), pemCrl(lists.pck)],
      "lists in hex": [tcb, qe, encode(lists.root.toHex()), encode(`${lists.pck.toHex()}\n`)],
      "lists in base64": [tcb, qe, encode(lists.root.toBase64()), encode(lists.pck.toBase64())],
      "replies as text in a bundle": [encode(wholeReplies)],
      "headers saved as text": [
        tcb,
        qe,
        lists.root,
        lists.pck,
        encode(`HTTP/1.1 200 OK\r\nTCB-Info-Issuer-Chain: ${encodeURIComponent(chain)}\r\n`),
      ],
      "headers saved as JSON": [
        tcb,
        qe,
        lists.root,
        lists.pck,
        encode(JSON.stringify({ "TCB-Info-Issuer-Chain": [encodeURIComponent(chain)] })),
      ],
    };
    for (const [form, items] of Object.entries(forms)) {
      const endorsements = items.map((data, i) => ({ type: `file ${i}`, data }));
      const result = await appraiseIntel({
        tee: "TDX",
        quote: quoteOf(vector),
        endorsements,
        now: vector.now,
      });
      assertEquals(findings(result), [], form);
      assertEquals(result.tier, "affirming", form);
      // The PCK list is the first thing that runs out.
      assertEquals(result.expiresAt, Date.parse("2025-07-19T10:00:35Z"), form);
    }
  },
});
