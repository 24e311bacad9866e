/**
 * Evidence that our TA signed, against a policy. A pinned key says which device's TA it was; what that
 * TA is, it says itself, and the platform where it has the attestation PTA.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import {
  type AppraisalInput,
  type AttestationResult,
  attestationResult,
  CheckList,
  checkReportData,
} from "../appraisal.ts";
import { BackendError } from "../mod.ts";
import { accepts } from "../policy/schema.ts";
import type { TrustZoneSection } from "../policy/trustzone.ts";
import { ecSpki, type SignatureVerifier } from "../signatures.ts";
import { parseTaEvidence, TA_UUID, type TaEvidence } from "./ta_abi.ts";
import { type PinnedKey, pinnedKeys, signingKey, TA_SIGNATURE } from "./verify.ts";

type Input = AppraisalInput<TrustZoneSection>;
type TaSection = NonNullable<TrustZoneSection["ta"]>;

/** What holds of all of TrustZone's evidence: no vendor, no certificates. */
export function checkTrust({ evidence, endorsements }: Input, list: CheckList): void {
  list.notApplicable(
    "vendor_chain",
    "pinned_key_only",
    "no vendor vouches for OP-TEE: the key is trusted because the policy pins it, and a helper is measured, not the running master",
  );
  for (const { type } of [...evidence.endorsements, ...endorsements]) {
    list.fail(
      "certificates",
      "unknown_endorsement",
      `endorsement "${type}" is not for OP-TEE: device keys are pinned in the policy`,
    );
  }
}

export function checkPinnedKeys(
  section: TrustZoneSection,
  list: CheckList,
): ReturnType<typeof pinnedKeys> {
  const keys = pinnedKeys(section);
  if (keys.unusable.length > 0) {
    list.fail(
      "pinned_keys",
      "unusable_key",
      `neither an RSA key of 2048 to 8192 bits nor a P-256 key: ${keys.unusable.join(", ")}`,
    );
  }
  return keys;
}

export async function appraiseTaEvidence(
  input: Input,
  signatures: SignatureVerifier,
): Promise<AttestationResult> {
  const list = new CheckList();
  const { evidence: { data }, policy: { section } } = input;
  const done = (claims: Record<string, unknown>) =>
    attestationResult(input, {
      teeType: "TrustZone",
      claims,
      checks: list.checks,
      expiresAt: undefined,
    });
  let evidence: TaEvidence;
  try {
    evidence = parseTaEvidence(data);
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    list.fail("format", "malformed", error.message);
    return done({});
  }
  list.pass("format", "evidence of our TA");
  checkTrust(input, list);
  const keys = checkPinnedKeys(section, list);
  list.expect(
    evidence.uuid === TA_UUID,
    "ta_uuid",
    "wrong_ta",
    `the TA is ${evidence.uuid}, not ${TA_UUID}`,
    evidence.uuid,
  );
  const key = await checkTaSignature(evidence, keys.ta, list, signatures);
  checkReportData(list, evidence.reportData, input, "require");
  checkCode(evidence, section.ta, list);
  await checkPlatform(evidence, section, keys.platform, list, signatures);
  return done({
    measurement: evidence.measurement.toHex(),
    ta_uuid: evidence.uuid,
    code_version: evidence.codeVersion,
    newest_code_version: evidence.newestCodeVersion,
    attestation_key: ecSpki("P-256", evidence.attestationKey).toBase64(),
    pinned_key: key ?? null,
    platform_attested: evidence.platformAttestation !== undefined,
    ...(evidence.platformAttestation === undefined
      ? {}
      : { ta_memory_digest: evidence.platformAttestation.attestation.digest.toHex() }),
  });
}

/** The key in the evidence says which pinned one to try; it is the pinned one that is trusted. */
async function checkTaSignature(
  evidence: TaEvidence,
  keys: readonly PinnedKey[],
  list: CheckList,
  signatures: SignatureVerifier,
): Promise<string | undefined> {
  const spki = ecSpki("P-256", evidence.attestationKey).toHex();
  const key = keys.find((candidate) => candidate.spki.toHex() === spki);
  if (key === undefined) {
    list.fail("signature", "unknown_key", "the policy does not pin the key that signed this");
    return undefined;
  }
  if (!await signatures.verify(TA_SIGNATURE, key.spki, evidence.signature, evidence.signed)) {
    list.fail("signature", "bad_signature", `not signed by pinned key ${key.id}`);
    return undefined;
  }
  list.pass("signature", `ECDSA P-256 by pinned key ${key.id}`);
  return key.id;
}

function checkCode(evidence: TaEvidence, ta: TaSection | undefined, list: CheckList): void {
  const measurement = evidence.measurement.toHex();
  if (ta === undefined) {
    list.fail(
      "measurement",
      "unknown_measurement",
      "the policy has no trustzone.ta: it accepts no TA that signs for itself",
      measurement,
    );
    return;
  }
  list.expect(
    accepts(ta.measurements, measurement),
    "measurement",
    "unknown_measurement",
    "the policy lists no such measurement",
    measurement,
  );
  list.expect(
    evidence.codeVersion >= ta.minimumCodeVersion,
    "code_version",
    "below_minimum",
    `the TA's code version is ${evidence.codeVersion}, the policy wants ${ta.minimumCodeVersion}`,
    String(evidence.codeVersion),
  );
}

async function checkPlatform(
  { platformAttestation }: TaEvidence,
  section: TrustZoneSection,
  keys: readonly PinnedKey[],
  list: CheckList,
  signatures: SignatureVerifier,
): Promise<void> {
  const id = "platform_attestation";
  const demand = section.ta?.platform ?? "require";
  if (demand === "ignore") {
    list.notApplicable(id, "ignored", "the policy does not look at the platform's attestation");
    return;
  }
  if (platformAttestation === undefined) {
    const text = "the platform does not vouch for the TA: it has no attestation PTA";
    list.missing(id, "no_platform_attestation", text, demand === "require");
    return;
  }
  const { attestation, nonceOf } = platformAttestation;
  const key = await signingKey(attestation, new Uint8Array(sha256(nonceOf)), keys, signatures);
  if (key === undefined) {
    list.fail(id, "bad_signature", "no pinned key signed the TA's memory for this evidence");
    return;
  }
  const digest = attestation.digest.toHex();
  list.expect(
    section.taMemoryDigests.includes(digest),
    id,
    "unknown_measurement",
    "the policy lists no such digest of a TA's memory",
    digest,
  );
}
