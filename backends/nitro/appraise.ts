/** A genuine Nitro document against a policy: the verifier of tee_type NITRO. */
import {
  type AppraisalInput,
  type AttestationResult,
  attestationResult,
  CheckList,
  type Verifier,
} from "../appraisal.ts";
import { BackendError, type Bytes, type Endorsement } from "../mod.ts";
import type { NitroSection } from "../policy/nitro.ts";
import { accepts } from "../policy/schema.ts";
import { type Crl, iso, sameBytes } from "../x509/mod.ts";
import { type NitroDocument, parseDocument } from "./abi.ts";
import { type NitroDeps, verifyDocument } from "./verify.ts";

/** The verifier of AWS Nitro Enclaves. Evidence: the CBOR document. */
export function createNitroVerifier(deps: NitroDeps): Verifier<NitroSection> {
  return { kind: "NITRO", appraise: (input) => appraise(input, deps) };
}

async function appraise(
  input: AppraisalInput<NitroSection>,
  deps: NitroDeps,
): Promise<AttestationResult> {
  const list = new CheckList();
  const { evidence, policy: { section }, now } = input;
  const done = (claims: Record<string, unknown>, expiresAt: number | undefined) =>
    attestationResult(input, { teeType: "NITRO", claims, checks: list.checks, expiresAt });
  let document: NitroDocument;
  let crls: readonly Crl[];
  try {
    document = parseDocument(evidence.data);
    list.pass("format", `COSE_Sign1, ${evidence.data.length} bytes`);
    crls = readCrls([...evidence.endorsements, ...input.endorsements], list, deps);
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    list.fail(list.has("format") ? "certificates" : "format", "malformed", error.message);
    return done({}, undefined);
  }
  const verified = await verifyDocument(document, crls, section.crl, now, list, deps);
  checkPcrs(document, section, list);
  const debug = isZero(document.pcrs.get(0));
  if (debug && section.allowDebug) list.pass("debug", "debug mode, allowed by the policy");
  else {list.expect(
      !debug,
      "debug",
      "debug_enabled",
      "PCR0 is zero: the enclave runs in debug mode",
      debug ? "debug mode" : "off",
    );}
  list.expect(
    accepts(section.moduleIds, document.moduleId),
    "module_id",
    "unknown_module",
    "the policy does not list this enclave",
    document.moduleId,
  );
  const freshUntil = checkAge(document, section, now, list);
  if (verified.leaf !== undefined) {
    const { notBefore, notAfter } = verified.leaf;
    list.expect(
      document.timestamp >= notBefore && document.timestamp <= notAfter,
      "timestamp",
      "timestamp_outside_certificate",
      "the document was not made while its certificate was valid",
      iso(document.timestamp),
    );
  }
  checkBinding(document, input, list);
  return done(
    claimsOf(document),
    verified.expiresAt === undefined ? undefined : Math.min(verified.expiresAt, freshUntil),
  );
}

function readCrls(
  endorsements: readonly Endorsement[],
  list: CheckList,
  { cache }: NitroDeps,
): Crl[] {
  const crls: Crl[] = [];
  for (const { type, data } of endorsements) {
    if (type === "crl") crls.push(cache.crl(data));
    else {list.fail(
        "certificates",
        "unknown_endorsement",
        `endorsement "${type}" is not for Nitro: a document carries its chain`,
      );}
  }
  return crls;
}

function isZero(pcr: Bytes | undefined): boolean {
  return pcr === undefined || pcr.every((byte) => byte === 0);
}

function checkPcrs(document: NitroDocument, section: NitroSection, list: CheckList): void {
  if (section.pcrs === "any") {
    list.notApplicable("pcrs", "not_demanded", "the policy accepts any PCRs");
    return;
  }
  for (const [index, accepted] of Object.entries(section.pcrs)) {
    const pcr = document.pcrs.get(Number(index))?.toHex();
    if (pcr === undefined) {
      list.fail(`pcr${index}`, "pcr_missing", `the document carries no PCR${index}`);
    } else {list.expect(
        accepts(accepted, pcr),
        `pcr${index}`,
        "unknown_pcr",
        `the policy does not list this PCR${index}`,
        pcr,
      );}
  }
}

function checkAge(
  document: NitroDocument,
  section: NitroSection,
  now: number,
  list: CheckList,
): number {
  const ageMs = now - document.timestamp;
  const value = `${Math.round(ageMs / 1000)} s, of ${iso(document.timestamp)}`;
  if (ageMs < -section.clockSkewSeconds * 1000) {
    list.fail(
      "age",
      "from_the_future",
      `more than ${section.clockSkewSeconds} s ahead of the clock`,
      value,
    );
    return now;
  }
  if (section.maxAgeSeconds === "any") {
    list.notApplicable("age", "not_demanded", "the policy accepts documents of any age");
    return Infinity;
  }
  list.expect(
    ageMs <= section.maxAgeSeconds * 1000,
    "age",
    "too_old",
    `older than ${section.maxAgeSeconds} s`,
    value,
  );
  return document.timestamp + section.maxAgeSeconds * 1000;
}

/** Report data stands in user_data or nonce; a nonce in the field of that name, exactly. */
function checkBinding(
  document: NitroDocument,
  input: AppraisalInput<NitroSection>,
  list: CheckList,
): void {
  const id = "report_data";
  const { expectedReportData, expectedNonce } = input;
  const { nonce, userData } = document;
  if (expectedReportData.length === 0 && expectedNonce === undefined) {
    const demanded = input.policy.section.reportData === "require";
    list.missing(
      id,
      "not_expected",
      "neither report data nor a nonce was given to compare with",
      demanded,
    );
    return;
  }
  if (expectedReportData.length > 0) {
    const holder = [["user_data", userData], ["nonce", nonce]] as const;
    const found = holder.find(([, value]) =>
      value !== undefined && sameBytes(value, expectedReportData)
    );
    list.expect(
      found !== undefined,
      id,
      "report_data_mismatch",
      "neither user_data nor nonce is the expected report data",
      found === undefined ? undefined : `in ${found[0]}`,
    );
  }
  if (expectedNonce !== undefined) {
    list.expect(
      nonce !== undefined && sameBytes(nonce, expectedNonce),
      expectedReportData.length > 0 ? "nonce" : id,
      "nonce_mismatch",
      "the document does not carry the expected nonce",
      nonce?.toHex() ?? "none",
    );
  }
}

function claimsOf(document: NitroDocument): Record<string, unknown> {
  return {
    module_id: document.moduleId,
    digest: document.digest,
    timestamp: document.timestamp,
    measurement: document.pcrs.get(0)?.toHex() ?? "",
    pcrs: Object.fromEntries(
      [...document.pcrs].map(([index, pcr]) => [String(index), pcr.toHex()]),
    ),
    public_key: document.publicKey?.toHex() ?? null,
    user_data: document.userData?.toHex() ?? null,
    nonce: document.nonce?.toHex() ?? null,
  };
}
