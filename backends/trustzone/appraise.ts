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
import { pinnedKeys, signingKey } from "./verify.ts";

/** The verifier of OP-TEE's attestation PTA. The nonce is the expected nonce, else the report data. */
export function createTrustZoneVerifier(
  deps: { readonly signatures: SignatureVerifier },
): Verifier<TrustZoneSection> {
  return { kind: "TrustZone", appraise: (input) => appraise(input, deps.signatures) };
}

async function appraise(
  input: AppraisalInput<TrustZoneSection>,
  signatures: SignatureVerifier,
): Promise<AttestationResult> {
  const list = new CheckList();
  const { evidence, endorsements, policy: { section } } = input;
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
  const digest = attestation.digest.toHex();
  const { keys, unusable } = pinnedKeys(section);
  if (unusable.length > 0) {
    list.fail(
      "pinned_keys",
      "unusable_key",
      `no RSA key of 2048 to 8192 bits: ${unusable.join(", ")}`,
    );
  }
  const key = await checkSignature(attestation, input, keys, list, signatures);
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
  keys: ReturnType<typeof pinnedKeys>["keys"],
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
