/**
 * Damaged input against every parser and the whole appraisal: no crash, no hang, every refusal
 * typed, and nothing damaged affirmed. Thousands of inputs here; over a million with
 * NAUTILUS_NIGHTLY=1. SGX and TDX have theirs beside backends/dcap/.
 */
import { assert } from "@std/assert";
import { makeNode } from "../tests/pki/node.ts";
import { makeDocument, makeNitroAuthorities, NITRO_NOW } from "../tests/pki/nitro.ts";
import { makeKey } from "../tests/pki/pki.ts";
import {
  makeAuthorities,
  makeLeaf,
  makeReport,
  makeSnpCrl,
  rootsOf,
  SNP_NOW,
} from "../tests/pki/snp.ts";
import { parseHclReport } from "./azure_hcl.ts";
import { parseBundle } from "./bundle.ts";
import { classify } from "./evidence_kind.ts";
import { BackendError, type Bytes, type TeeType } from "./mod.ts";
import { parseDocument } from "./nitro/abi.ts";
import { parsePolicy, policyFromJson } from "./policy/mod.ts";
import { parseCertificateTable, splitExtendedReport } from "./sev_snp/abi.ts";
import type { SignatureVerifier } from "./signatures.ts";
import { parseAttestation } from "./trustzone/abi.ts";
import { createEvidenceVerifier, vendorRoots } from "./verification.ts";
import { parseCertificate, parseCrl } from "./x509/mod.ts";

const NIGHTLY = Deno.env.get("NAUTILUS_NIGHTLY") !== undefined;
const PARSES = NIGHTLY ? 150_000 : 800;
const APPRAISALS = NIGHTLY ? 20_000 : 150;
/** One input takes milliseconds at most; a second is a hang. */
const SLOWEST_MS = 1000;

/** xorshift32: the same inputs at every run, so that a failure can be found again by its number. */
function randomness(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % Math.max(1, below);
  };
}

const EXTREMES = [0, 1, 0x7f, 0x80, 0x81, 0x84, 0xff, 0x30, 0x9f, 0x5f];

/** Flips, extremes, cuts, insertions, repeats and long runs, one to four of them. */
function damage(seed: Bytes, random: (below: number) => number): Bytes {
  let bytes = seed.slice();
  for (let i = random(4); i >= 0; i--) {
    const at = random(bytes.length);
    switch (random(7)) {
      case 0:
        if (bytes.length > 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
        break;
      case 1:
        if (bytes.length > 0) bytes[at] = EXTREMES[random(EXTREMES.length)] ?? 0;
        break;
      case 2:
        bytes = bytes.slice(0, at);
        break;
      case 3:
        bytes = Uint8Array.from([...bytes.subarray(0, at), random(256), ...bytes.subarray(at)]);
        break;
      case 4:
        bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + 1 + random(8))]);
        break;
      case 5:
        bytes.fill(random(2) === 0 ? 0xff : 0, at, at + 1 + random(64));
        break;
      default:
        bytes = Uint8Array.from([
          ...bytes.subarray(0, at),
          ...bytes.subarray(random(bytes.length)),
        ]);
    }
  }
  return bytes;
}

async function seeds() {
  const authorities = await makeAuthorities("Milan");
  const key = await makeKey("P-384");
  const report = await makeReport("Milan", key, { version: 5 });
  const vcek = await makeLeaf(authorities, key);
  const crl = await makeSnpCrl(authorities, [authorities.askSerial]);
  const nitro = await makeNitroAuthorities();
  const document = await makeDocument(nitro);
  const table = new Uint8Array(48 + vcek.length);
  table.set(Uint8Array.fromHex("63da758de6644564adc5f4b93be8accd"));
  new DataView(table.buffer).setUint32(16, 48, true);
  new DataView(table.buffer).setUint32(20, vcek.length, true);
  table.set(vcek, 48);
  const claims = new TextEncoder().encode(`{"user-data":"${"00".repeat(64)}"}`);
  const hcl = new Uint8Array(32 + 1184 + 20 + claims.length);
  hcl.set([...new TextEncoder().encode("HCLA"), 2]);
  hcl.set(report, 32);
  const view = new DataView(hcl.buffer);
  view.setUint32(8, hcl.length, true);
  view.setUint32(12, 2, true);
  view.setUint32(1216, 20 + claims.length, true);
  for (const [offset, value] of [[1220, 1], [1224, 2], [1228, 1], [1232, claims.length]] as const) {
    view.setUint32(offset, value, true);
  }
  hcl.set(claims, 1236);
  parseHclReport(hcl); // the seed itself is in order
  return { authorities, report, vcek, crl, nitro, document, table, hcl };
}

function typed(run: () => unknown, what: string): void {
  const began = performance.now();
  try {
    run();
  } catch (error) {
    assert(
      error instanceof BackendError && ["malformed", "config_invalid"].includes(error.code),
      `${what}: ${error instanceof Error ? error.stack : String(error)}`,
    );
  }
  const took = performance.now() - began;
  assert(took < SLOWEST_MS, `${what} took ${took} ms`);
}

Deno.test("parsers refuse damaged input with a typed error and without a hang", async () => {
  const { report, vcek, crl, document, table, hcl } = await seeds();
  const text = (value: string) => new TextEncoder().encode(value);
  const node = await makeNode();
  const bundle = text(JSON.stringify(await node.answer(new Uint8Array(16))));
  const policy = text(`{ // all
    "version": 1, "id": "x", "node": {"covers": ["image"]}, "nitro": {"pcrs": {"0": ["${
    "11".repeat(48)
  }"]}}, /* end */ }`);
  const latin = new TextDecoder("latin1");
  const targets: readonly [string, Bytes, (bytes: Bytes) => unknown][] = [
    ["certificate", vcek, parseCertificate],
    ["CRL", crl, parseCrl],
    ["SNP report", Uint8Array.from([...report, ...table]), splitExtendedReport],
    ["certificate table", table, parseCertificateTable],
    ["HCL report", hcl, parseHclReport],
    ["Nitro document", document, parseDocument],
    ["OP-TEE attestation", new Uint8Array(416).fill(7), parseAttestation],
    ["bundle", bundle, (bytes) => parseBundle(latin.decode(bytes))],
    ["policy", policy, (bytes) => parsePolicy(latin.decode(bytes))],
    ["classify", document, classify],
    ["classify", report, classify],
    ["classify", bundle, classify],
  ];
  for (const [index, [name, seed, parse]] of targets.entries()) {
    const random = randomness(0x9e3779b9 + index);
    for (let i = 0; i < PARSES; i++) {
      const input = i % 50 === 0
        ? Uint8Array.from({ length: random(600) }, () => random(256))
        : damage(seed, random);
      typed(() => parse(input), `${name}, input ${i}`);
    }
  }
});

Deno.test("appraisals of damaged evidence and endorsements end in a refusal, never an exception", async () => {
  const { authorities, report, vcek, crl, nitro, document, hcl } = await seeds();
  // Says no to everything: what is damaged must not pass by way of anything else.
  const signatures: SignatureVerifier = { name: "none", verify: () => Promise.resolve(false) };
  const verifier = createEvidenceVerifier({
    signatures,
    roots: { ...vendorRoots(), amd: rootsOf(authorities), aws: nitro.root },
  });
  const policy = policyFromJson({
    version: 1,
    id: "fuzz",
    sevSnp: { measurements: "any", minimumTcb: "any", crl: "if_given", reportData: "any" },
    nitro: { pcrs: "any", reportData: "any" },
    trustzone: {
      keys: [{ id: "a", modulus: "ff".repeat(256), exponent: "010001" }],
      allowAnyDigest: true,
    },
    sgx: { mrenclaves: "any", mrsigners: "any" },
    tdx: { mrtds: "any", rtmrs: "any" },
  });
  const targets: readonly [TeeType, Bytes][] = [
    ["SEV", report],
    ["SEV", hcl],
    ["NITRO", document],
    ["TrustZone", new Uint8Array(288).fill(1)],
    ["SGX", report],
    ["TDX", report],
  ];
  for (const [index, [teeType, seed]] of targets.entries()) {
    const random = randomness(0x12345 + index);
    for (let i = 0; i < APPRAISALS; i++) {
      const data = i % 4 === 0 ? seed : damage(seed, random);
      const certificate = i % 3 === 0 ? damage(vcek, random) : vcek;
      const list = i % 5 === 0 ? damage(crl, random) : crl;
      const began = performance.now();
      const result = await verifier.appraise({
        teeType,
        evidence: { mediaType: "", data, endorsements: [{ type: "vcek", data: certificate }] },
        endorsements: teeType === "SEV" || i % 2 === 0 ? [{ type: "crl", data: list }] : [],
        expectedReportData: new Uint8Array(64),
        policy,
        now: teeType === "NITRO" ? NITRO_NOW : SNP_NOW,
      });
      assert(result.tier !== "affirming", `${teeType}, input ${i}`);
      assert(result.checks.some(({ status }) => status !== "pass"));
      assert(performance.now() - began < SLOWEST_MS, `${teeType}, input ${i} took too long`);
    }
  }
});
