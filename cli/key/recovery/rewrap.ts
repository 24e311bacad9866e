/**
 * `nautilus key rewrap`: the operator, offline. The evidence of the request is appraised by the
 * operator's policy first; without an affirming result the recovery key is not even read.
 */
import type { AttestationResult } from "../../../backends/appraisal.ts";
import { EVIDENCE_MEDIA_TYPE } from "../../../backends/attestation.ts";
import { BackendError, type Bytes, type TeeType } from "../../../backends/mod.ts";
import { resultText } from "../../../backends/result_json.ts";
import { createWebCryptoVerifier } from "../../../backends/signatures.ts";
import { createEvidenceVerifier, measurementOf } from "../../../backends/verification.ts";
import {
  decodeRecoveryRequest,
  recoveryReportData,
  type RecoveryRequest,
  type RecoveryResponse,
  rewrapForRecovery,
  StoreError,
} from "../../../store/mod.ts";
import { type CommandIo, EXIT, type ExitCode, Refused } from "../../command.ts";
import { readDocument } from "../../files/document.ts";
import { parseFlags, required } from "../../flags.ts";
import { readRecoveryPrivateKey, recoveryFingerprint } from "../../files/recovery_keys.ts";
import { replaceFile } from "../../files/written.ts";
import { loadPolicy } from "../../files/policy.ts";
import { diskReader, readEndorsements } from "../../files/evidence.ts";

const FLAGS = {
  strings: ["request", "key", "policy", "out"],
  switches: ["accept-lost-anchor"],
  lists: ["endorsements", "collateral"],
} as const;

export async function recoveryRewrap(io: CommandIo): Promise<ExitCode> {
  const { strings, switches, lists } = parseFlags(io.args, FLAGS);
  const paths = {
    request: required(strings, "request"),
    key: required(strings, "key"),
    policy: required(strings, "policy", "POLICY"),
    out: required(strings, "out"),
  };
  const acceptLostAnchor = switches.has("accept-lost-anchor");
  const disk = diskReader();
  const policy = await loadPolicy(disk, paths.policy);
  const request = await readDocument("request", paths.request, decodeRecoveryRequest);
  const teeType = teeTypeOf(request.evidence.media_type);
  const bytes = (text: string): Bytes => Uint8Array.fromBase64(text);
  const result = await createEvidenceVerifier({ signatures: createWebCryptoVerifier() }).appraise({
    teeType,
    evidence: {
      mediaType: request.evidence.media_type,
      data: bytes(request.evidence.data),
      endorsements: request.evidence.endorsements.map(({ type, data }) => ({
        type,
        data: bytes(data),
      })),
    },
    endorsements: await readEndorsements(disk, [
      ...lists["endorsements"] ?? [],
      ...lists["collateral"] ?? [],
    ]),
    expectedReportData: recoveryReportData(request),
    policy,
    now: Date.now(),
  }).catch((error: unknown) => {
    if (!(error instanceof BackendError) || error.code !== "malformed") throw error;
    throw new Refused(`the evidence of the request cannot be read: ${error.message}`);
  });
  io.stdout(resultText(result));
  refuseUnlessAffirmed(result);
  const key = await readRecoveryPrivateKey(paths.key);
  let answer: RecoveryResponse;
  try {
    answer = await rewrap(request, key, acceptLostAnchor);
  } finally {
    key.privateKey.fill(0);
  }
  await replaceFile(paths.out, JSON.stringify(answer, null, 2) + "\n");
  io.stdout(
    [
      `store            ${request.store_id}`,
      `given to         ${teeType}, measurement ${measurementOf(result) ?? "unknown"}`,
      `with             recovery key ${recoveryFingerprint(key.publicKey)}`,
      `by policy        ${policy.id}, SHA-256 ${policy.digest}`,
      `answer           ${paths.out}  (opens on that TEE only: \`nautilus key recovery-accept\`)`,
      ...(acceptLostAnchor
        ? ["LOST ANCHOR ACCEPTED: if this is an older copy of the store, nothing will tell."]
        : []),
      ...(teeType === "SIMULATION"
        ? ["A SIMULATION PROTECTS NOTHING: whoever reads that machine reads the store."]
        : []),
      "",
    ].join("\n"),
  );
  return EXIT.done;
}

/** @throws {Refused} also where no check compared the report data, whatever a policy excuses */
function refuseUnlessAffirmed({ tier, checks }: AttestationResult): void {
  const isBound = checks.some(({ id, status }) => id === "report_data" && status === "pass");
  if (tier === "affirming" && isBound) return;
  throw new Refused(
    tier === "affirming"
      ? "the evidence is not bound to the key that this request names"
      : `by this policy the evidence of the request is ${tier}; nothing was wrapped`,
    {
      hint:
        "a request that was altered on its way looks the same: compare it, make a new one, or " +
        "look at the policy",
    },
  );
}

async function rewrap(
  request: RecoveryRequest,
  key: Parameters<typeof rewrapForRecovery>[1],
  acceptLostAnchor: boolean,
): Promise<RecoveryResponse> {
  try {
    return await rewrapForRecovery(request, key, acceptLostAnchor);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new Refused(error.message, { cause: error, hint: error.hint });
  }
}

function teeTypeOf(mediaType: string): TeeType {
  const kinds = ["SGX", "SEV", "TrustZone", "TDX", "NITRO", "SIMULATION"] as const;
  const found = kinds.find((kind) => EVIDENCE_MEDIA_TYPE[kind] === mediaType);
  if (found === undefined) {
    throw new Refused(`the request's evidence is of no known kind: "${mediaType}"`);
  }
  return found;
}
