/**
 * Before any key is touched, hardware proves itself to its own master: evidence over fresh random
 * report data must lead to the vendor's pinned root. A fake device does not pass for hardware.
 */
import type { AttestationResult } from "../../backends/appraisal.ts";
import { BackendError, type Bytes, type TeeBackend, type TeeType } from "../../backends/mod.ts";
import { type Policy, policyFromJson } from "../../backends/policy/mod.ts";
import { ecSpki } from "../../backends/signatures.ts";
import { isTaEvidence, parseTaEvidence } from "../../backends/trustzone/ta_abi.ts";
import type { EvidenceVerifier } from "../../backends/verification.ts";

/**
 * What makes evidence genuine, and no more: which measurement is the right one is the relying
 * party's to say, and collateral that needs a network is not waited for.
 */
function genuinePolicy(kind: TeeType, teeKey: string | undefined): Policy | undefined {
  const anywhere = { crl: "if_given" };
  const section: Partial<Record<TeeType, unknown>> = {
    SEV: {
      sevSnp: {
        ...anywhere,
        measurements: "any",
        minimumTcb: "any",
        vmpl: [0, 1, 2, 3],
        allowProvisionalFirmware: true,
        certificates: "any",
      },
    },
    SGX: { sgx: { ...anywhere, mrenclaves: "any", mrsigners: "any", collateral: "if_given" } },
    TDX: { tdx: { ...anywhere, mrtds: "any", rtmrs: "any", collateral: "if_given" } },
    NITRO: { nitro: { ...anywhere, pcrs: "any" } },
    ...(teeKey === undefined ? {} : {
      TrustZone: {
        trustzone: {
          keys: [{ id: "configured", spki: teeKey }],
          ta: { measurements: "any", minimumCodeVersion: 0, platform: "ignore" },
        },
      },
    }),
  };
  const chosen = section[kind];
  return chosen === undefined
    ? undefined
    : policyFromJson({ version: 1, id: "nautilus/self", ...chosen });
}

/** No vendor stands behind a TA: its key can be pinned, by somebody who knows that it is its key. */
async function keyHint(
  { kind, attester }: TeeBackend,
  random: (length: number) => Bytes,
): Promise<string | undefined> {
  if (kind !== "TrustZone" || attester === undefined) return undefined;
  const { data } = await attester.attest(random(64));
  if (!isTaEvidence(data)) return undefined;
  const key = ecSpki("P-256", parseTaEvidence(data).attestationKey).toBase64();
  return `whatever answers here signs with ${key}: where you know that it is your device's TA, ` +
    "and no fake, say --tee-key with that key";
}

/**
 * @throws {BackendError} `not_genuine` naming every check that failed; `unavailable` where this TEE
 * gives no evidence, or none that leads to a vendor.
 */
export async function appraiseSelf(
  tee: TeeBackend,
  deps: {
    readonly verifier: EvidenceVerifier;
    readonly random: (length: number) => Bytes;
    /** Milliseconds since the epoch. */
    readonly now: () => number;
    /** What stands in a vendor's place for TrustZone: P-256, SubjectPublicKeyInfo in base64. */
    readonly teeKey: string | undefined;
  },
): Promise<AttestationResult> {
  const { kind } = tee;
  const policy = genuinePolicy(kind, deps.teeKey);
  if (tee.attester === undefined || policy === undefined) {
    throw new BackendError("unavailable", `${kind} here gives no evidence that leads to a vendor`, {
      kind,
      hint: await keyHint(tee, deps.random) ??
        "a master must be able to tell real hardware from a fake before it unseals keys",
    });
  }
  const reportData = deps.random(64);
  const evidence = await tee.attester.attest(reportData);
  const result = await deps.verifier.appraise({
    teeType: kind,
    evidence,
    endorsements: [],
    expectedReportData: reportData,
    policy,
    now: deps.now(),
  });
  if (result.tier === "affirming") return result;
  const wrong = result.checks
    .filter(({ status, waived }) => status === "fail" || (status === "missing" && waived !== true))
    .map(({ id, code, text }) => `${id}: ${text ?? code}`);
  throw new BackendError(
    "not_genuine",
    `the evidence of this ${kind} does not prove real hardware: ${wrong.join("; ")}`,
    {
      kind,
      hint: "a missing certificate can be supplied by the host's certificate table; " +
        "a wrong one means that this is not the hardware it claims to be",
    },
  );
}
