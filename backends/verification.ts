/**
 * The verifiers of every family behind one call. Offline: roots are pinned, collateral is given,
 * time is an argument. Constructed once, passed where it is needed.
 */
import {
  type AppraisalInput,
  type AttestationResult,
  attestationResult,
  CheckList,
  type Verifier,
} from "./appraisal.ts";
import { DcapCache } from "./dcap/cache.ts";
import { createDcapContext } from "./dcap/context.ts";
import type { TeeType } from "./mod.ts";
import { createNitroVerifier } from "./nitro/appraise.ts";
import { awsRoot } from "./nitro/verify.ts";
import { type Policy, type PolicySections, SECTION_OF, sectionOf } from "./policy/mod.ts";
import { createSevSnpVerifier } from "./sev_snp/appraise.ts";
import { amdRoots, type SevSnpRoots } from "./sev_snp/roots.ts";
import { createSgxVerifier } from "./sgx/appraise.ts";
import type { SignatureVerifier } from "./signatures.ts";
import { createSimulationVerifier } from "./simulation/appraise.ts";
import { createTdxVerifier } from "./tdx/appraise.ts";
import { createTrustZoneVerifier } from "./trustzone/appraise.ts";
import { type Certificate, X509Cache } from "./x509/mod.ts";

/** Roots that evidence must lead to; the vendors' own unless a test says otherwise. */
export interface VerificationRoots {
  readonly amd: SevSnpRoots;
  /** DER. */
  readonly aws: Uint8Array;
  readonly intel: Certificate | undefined;
}

export interface EvidenceInput extends Omit<AppraisalInput<never>, "policy"> {
  readonly teeType: TeeType;
  readonly policy: Policy;
}

export interface EvidenceVerifier {
  /** A negative answer is a value; a family without a section in the policy is one. */
  appraise(input: EvidenceInput): Promise<AttestationResult>;
}

/** The vendors' roots as they are pinned in backends/roots/. */
export function vendorRoots(): VerificationRoots {
  return { amd: amdRoots(), aws: awsRoot(), intel: undefined };
}

/**
 * Builds every verifier over one signature provider. `cache: "none"` parses and verifies everything
 * anew each time.
 */
export function createEvidenceVerifier(
  deps: {
    readonly signatures: SignatureVerifier;
    readonly roots?: VerificationRoots;
    readonly cache?: "bounded" | "none";
  },
): EvidenceVerifier {
  const { signatures, roots = vendorRoots(), cache = "bounded" } = deps;
  const shared = new X509Cache();
  const x509 = () => cache === "none" ? new X509Cache() : shared;
  const dcap = createDcapContext({
    signatures,
    cache: cache === "none" ? undefined : new DcapCache(),
    ...(roots.intel === undefined ? {} : { root: roots.intel, tcbSigning: [] }),
  });
  const verifiers: {
    readonly [Name in keyof PolicySections]: () => Verifier<PolicySections[Name]>;
  } = {
    sevSnp: () => createSevSnpVerifier({ signatures, cache: x509(), roots: roots.amd }),
    nitro: () => createNitroVerifier({ signatures, cache: x509(), root: roots.aws }),
    trustzone: () => createTrustZoneVerifier({ signatures }),
    sgx: () => createSgxVerifier(dcap),
    tdx: () => createTdxVerifier(dcap),
    simulation: () => createSimulationVerifier({ signatures }),
  };

  async function run<Name extends keyof PolicySections>(
    name: Name,
    input: EvidenceInput,
  ): Promise<AttestationResult> {
    const section = sectionOf(input.policy, name);
    if (section === undefined) return notInPolicy(input);
    return await verifiers[name]().appraise({ ...input, policy: section });
  }
  return { appraise: (input) => run(SECTION_OF[input.teeType], input) };
}

function notInPolicy(input: EvidenceInput): AttestationResult {
  const list = new CheckList();
  const section = SECTION_OF[input.teeType];
  list.fail(
    "policy",
    "tee_not_in_policy",
    `the policy has no section "${section}": evidence of this kind is refused`,
    input.teeType,
  );
  return attestationResult(input, {
    teeType: input.teeType,
    claims: {},
    checks: list.checks,
    expiresAt: undefined,
  });
}

/** The measurement among a family's claims, hex; what the wire calls `measurement`. */
export function measurementOf(
  { teeType, claims }: Pick<AttestationResult, "teeType" | "claims">,
): string | undefined {
  const name = teeType === "SGX" ? "mr_enclave" : teeType === "TDX" ? "mr_td" : "measurement";
  const value = claims[name];
  return typeof value === "string" ? value : undefined;
}
