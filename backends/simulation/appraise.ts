/**
 * Simulated evidence against a policy. It affirms only where the policy allows simulation in so
 * many words and pins the installation's root; any other policy is told "contraindicated".
 */
import { sha256 } from "@noble/hashes/sha2.js";
import * as v from "valibot";
import {
  type AppraisalInput,
  attestationResult,
  CheckList,
  checkReportData,
  type Verifier,
} from "../appraisal.ts";
import { EVIDENCE_MEDIA_TYPE } from "../attestation.ts";
import { BackendError } from "../errors.ts";
import type { SignatureVerifier } from "../signatures.ts";
import { type VerifiedSimulation, verifySimulation } from "./verify.ts";

/** Every field is said: there is no default that lets evidence in. Byte strings are lower-case hex. */
export interface SimulationPolicy {
  readonly allowSimulation: boolean;
  /** SHA-256 of the SPKI of each development root that is trusted. */
  readonly trustedRoots: readonly string[];
  /** SHA-384 measurements that will do, or `any`. */
  readonly measurements: readonly string[] | "any";
  /** `any` excuses an appraisal that nobody told what report data to expect. */
  readonly reportData: "require" | "any";
  /** How old evidence may be by its own clock, seconds. */
  readonly maxAgeSeconds: number;
}

const hex = (bytes: number): v.GenericSchema<string> =>
  v.pipe(v.string(), v.regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`), `${bytes} bytes in hex`));

const PolicySchema = v.strictObject({
  allowSimulation: v.boolean(),
  trustedRoots: v.array(hex(32)),
  measurements: v.union([v.literal("any"), v.array(hex(48))]),
  reportData: v.picklist(["require", "any"]),
  maxAgeSeconds: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
});

/** @throws {BackendError} `config_invalid`, naming the field. */
export function parseSimulationPolicy(policy: unknown): SimulationPolicy {
  const result = v.safeParse(PolicySchema, policy);
  if (result.success) return Object.freeze(result.output);
  const [issue] = result.issues;
  throw new BackendError(
    "config_invalid",
    `simulation policy, ${v.getDotPath(issue) ?? "as a whole"}: ${issue.message}`,
    { kind: "SIMULATION" },
  );
}

/** How far ahead of the verifier's clock evidence may be, milliseconds. */
const CLOCK_SKEW_MS = 60_000;

async function decodeAndVerify(
  input: AppraisalInput<SimulationPolicy>,
  signatures: SignatureVerifier,
  list: CheckList,
): Promise<VerifiedSimulation | undefined> {
  const { evidence, endorsements } = input;
  if (evidence.mediaType !== EVIDENCE_MEDIA_TYPE.SIMULATION) {
    const text = `evidence of the simulation has type ${EVIDENCE_MEDIA_TYPE.SIMULATION}`;
    list.fail("format", "media_type", text, evidence.mediaType);
    return undefined;
  }
  try {
    const all = [...evidence.endorsements, ...endorsements];
    const verified = await verifySimulation(evidence.data, all, signatures);
    list.pass("format", "version 1");
    return verified;
  } catch (error) {
    if (!(error instanceof BackendError) || error.code !== "malformed") throw error;
    list.fail("format", "malformed", error.message);
    return undefined;
  }
}

function checkSignatures(
  verified: VerifiedSimulation,
  policy: SimulationPolicy,
  list: CheckList,
): void {
  if (verified.rootSpki === undefined) {
    list.fail("root", "no_root", "exactly one endorsement simulation-root is wanted");
  } else {
    const root = sha256(verified.rootSpki).toHex();
    const trusted = policy.trustedRoots.includes(root);
    list.expect(trusted, "root", "unknown_root", `the policy does not trust root ${root}`, root);
  }
  list.expect(
    verified.chain,
    "chain",
    "bad_chain",
    "the root did not certify this attestation key for this measurement",
    verified.evidence.attestationKey.toHex(),
  );
  list.expect(
    verified.signature,
    "signature",
    "bad_signature",
    "the attestation key did not sign this evidence",
    "Ed25519",
  );
}

/** The verifier of tee_type SIMULATION. */
export function createSimulationVerifier(
  deps: { readonly signatures: SignatureVerifier },
): Verifier<SimulationPolicy> {
  return {
    kind: "SIMULATION",
    async appraise(input) {
      const policy = parseSimulationPolicy(input.policy.section);
      const list = new CheckList();
      list.expect(
        policy.allowSimulation,
        "simulation_allowed",
        "simulation_refused",
        "the simulation protects nothing, and the policy does not allow it",
        String(policy.allowSimulation),
      );
      const verified = await decodeAndVerify(input, deps.signatures, list);
      if (verified === undefined) {
        return attestationResult(input, {
          teeType: "SIMULATION",
          claims: {},
          checks: list.checks,
          expiresAt: undefined,
        });
      }
      checkSignatures(verified, policy, list);
      const { evidence } = verified;
      checkReportData(list, evidence.reportData, input, policy.reportData);
      const measurement = evidence.measurement.toHex();
      list.expect(
        policy.measurements === "any" || policy.measurements.includes(measurement),
        "measurement",
        "unknown_measurement",
        "the policy lists no such measurement",
        measurement,
      );
      const ageMs = input.now - evidence.issuedAt;
      const maxAgeMs = policy.maxAgeSeconds * 1000;
      list.expect(
        ageMs <= maxAgeMs && ageMs >= -CLOCK_SKEW_MS,
        "age",
        ageMs < 0 ? "from_the_future" : "too_old",
        `at most ${policy.maxAgeSeconds} s old and 60 s ahead of the clock is wanted`,
        `${Math.round(ageMs / 1000)} s`,
      );
      return attestationResult(input, {
        teeType: "SIMULATION",
        claims: {
          measurement,
          report_data: evidence.reportData.toHex(),
          boot_id: evidence.bootId.toHex(),
          issued_at: evidence.issuedAt,
          attestation_key: evidence.attestationKey.toHex(),
        },
        checks: list.checks,
        expiresAt: evidence.issuedAt + maxAgeMs,
      });
    },
  };
}
