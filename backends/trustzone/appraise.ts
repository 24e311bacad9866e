/**
 * OP-TEE attestation against a policy: the verifier of tee_type TrustZone. What it can say is
 * little, and it says so: a pinned key signed a digest of code beside the master, not of the master.
 */
import {
  type AppraisalInput,
  type AttestationResult,
  attestationResult,
  CheckList,
  type Verifier,
} from "../appraisal.ts";
import { BackendError } from "../mod.ts";
import type { TrustZoneSection } from "../policy/trustzone.ts";
import type { SignatureVerifier } from "../signatures.ts";
import { type OpteeAttestation, parseAttestation } from "./abi.ts";
import { isTaEvidence } from "./ta_abi.ts";
import { appraiseTaEvidence, checkPinnedKeys, checkTrust } from "./ta_appraise.ts";
import { type PinnedKey, signingKey } from "./verify.ts";

/**
 * The verifier of our TA's evidence, and of OP-TEE's attestation PTA alone, whose nonce is the
 * expected nonce, else the report data.
 */
export function createTrustZoneVerifier(
  deps: { readonly signatures: SignatureVerifier },
): Verifier<TrustZoneSection> {
  return {
    kind: "TrustZone",
    appraise: (input) =>
      isTaEvidence(input.evidence.data)
        ? appraiseTaEvidence(input, deps.signatures)
        : appraise(input, deps.signatures),
  };
}

async function appraise(
  input: AppraisalInput<TrustZoneSection>,
  signatures: SignatureVerifier,
): Promise<AttestationResult> {
  const list = new CheckList();
  const { evidence, policy: { section } } = input;
  const done = (claims: Record<string, unknown>) =>
    attestationResult(input, {
      teeType: "TrustZone",
      claims,
      checks: list.checks,
      expiresAt: undefined,
    });
  let attestation: OpteeAttestation;
  try {
    attestation = parseAttestation(evidence.data);
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    list.fail("format", "malformed", error.message);
    return done({});
  }
  list.pass("format", `OP-TEE attestation PTA, RSA-${attestation.signature.length * 8}`);
  checkTrust(input, list);
  const digest = attestation.digest.toHex();
  const { platform } = checkPinnedKeys(section, list);
  const key = await checkSignature(attestation, input, platform, list, signatures);
  const kind = digestKind(digest, section);
  if (kind === undefined && section.allowAnyDigest) {
    list.pass("measurement", `${digest}, any is allowed by the policy`);
  } else {list.expect(
      kind !== undefined,
      "measurement",
      "unknown_measurement",
      "the policy lists no such digest",
      digest,
    );}
  return done({ measurement: digest, measured: kind ?? "unknown", pinned_key: key ?? null });
}

/** Without the nonce there is nothing to verify the signature over, whatever the policy excuses. */
async function checkSignature(
  attestation: OpteeAttestation,
  { expectedNonce, expectedReportData }: AppraisalInput<TrustZoneSection>,
  keys: readonly PinnedKey[],
  list: CheckList,
  signatures: SignatureVerifier,
): Promise<string | undefined> {
  const nonce = expectedNonce ?? expectedReportData;
  if (nonce.length === 0) {
    list.missing(
      "signature",
      "not_expected",
      "the nonce is part of what is signed, and none was given",
      true,
    );
    return undefined;
  }
  const key = await signingKey(attestation, nonce, keys, signatures);
  if (key === undefined) {
    list.fail("signature", "bad_signature", "no pinned key signed this digest with this nonce");
    return undefined;
  }
  list.pass("signature", `RSASSA-PSS SHA-256 by pinned key ${key.id}`);
  list.pass("report_data", nonce.toHex());
  return key.id;
}

function digestKind(digest: string, section: TrustZoneSection): string | undefined {
  if (section.taHeaderDigests.includes(digest)) return "TA header";
  if (section.taMemoryDigests.includes(digest)) return "TA memory";
  return section.teeMemoryDigests.includes(digest) ? "TEE memory" : undefined;
}
