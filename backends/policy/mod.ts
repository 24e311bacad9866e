/**
 * Appraisal policies: one JSONC file for every TEE family, checked strictly, frozen, with an id and a
 * digest. A family without a section is refused. See docs/VERIFYING.md.
 */
import { parse as parseJsonc } from "@std/jsonc";
import { sha256 } from "@noble/hashes/sha2.js";
import canonicalize from "canonicalize";
import * as v from "valibot";
import type { AppraisalPolicy } from "../appraisal.ts";
import { BackendError, type TeeType } from "../mod.ts";
import { parseSimulationPolicy, type SimulationPolicy } from "../simulation/appraise.ts";
import { SgxSection, TdxSection } from "./dcap.ts";
import { repeatedKey } from "./jsonc_keys.ts";
import { NitroSection } from "./nitro.ts";
import { NodeSection } from "./node.ts";
import { SevSnpSection } from "./sev_snp.ts";
import { TrustZoneSection } from "./trustzone.ts";

const MAX_POLICY_BYTES = 1 << 20;

const PolicySchema = v.strictObject({
  version: v.literal(1, "must be 1"),
  id: v.pipe(
    v.string(),
    v.regex(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/, "must be 1 to 128 letters, digits, . _ : / -"),
  ),
  description: v.optional(v.string()),
  node: v.optional(NodeSection, {}),
  sevSnp: v.optional(SevSnpSection),
  sgx: v.optional(SgxSection),
  tdx: v.optional(TdxSection),
  nitro: v.optional(NitroSection),
  trustzone: v.optional(TrustZoneSection),
  simulation: v.optional(v.unknown()),
});

/** Sections by the field they stand under. */
export interface PolicySections {
  readonly sevSnp: SevSnpSection;
  readonly sgx: SgxSection;
  readonly tdx: TdxSection;
  readonly nitro: NitroSection;
  readonly trustzone: TrustZoneSection;
  readonly simulation: SimulationPolicy;
}

export const SECTION_OF: Readonly<Record<TeeType, keyof PolicySections>> = {
  SEV: "sevSnp",
  SGX: "sgx",
  TDX: "tdx",
  NITRO: "nitro",
  TrustZone: "trustzone",
  SIMULATION: "simulation",
};

/** A checked, frozen policy. */
export interface Policy {
  readonly id: string;
  /** SHA-256, hex, of the policy as RFC 8785 JSON with every default filled in. */
  readonly digest: string;
  readonly description: string | undefined;
  readonly node: NodeSection;
  readonly sections: { readonly [Name in keyof PolicySections]: PolicySections[Name] | undefined };
}

/** @throws {BackendError} `config_invalid`, naming the field and what would be valid */
export function parsePolicy(text: string): Policy {
  if (text.length > MAX_POLICY_BYTES) throw invalid(`larger than ${MAX_POLICY_BYTES} bytes`);
  let json: unknown;
  try {
    json = parseJsonc(text);
  } catch (cause) {
    throw invalid(cause instanceof Error ? cause.message : String(cause), cause);
  }
  const twice = repeatedKey(text);
  if (twice !== undefined) throw invalid(`field ${twice} stands twice, or may not be there`);
  return policyFromJson(json);
}

/** As `parsePolicy()`, for a policy that is already JSON. @throws {BackendError} `config_invalid` */
export function policyFromJson(json: unknown): Policy {
  const result = v.safeParse(PolicySchema, json);
  if (!result.success) {
    throw invalid(
      result.issues.slice(0, 5).map((issue) =>
        `${v.getDotPath(issue) ?? "top level"}: ${issue.message}`
      ).join("; "),
    );
  }
  const { id, description, node, simulation, version, ...families } = result.output;
  const checked = {
    version,
    id,
    node,
    ...families,
    ...(simulation === undefined ? {} : { simulation: parseSimulationPolicy(simulation) }),
  };
  const digest = sha256(new TextEncoder().encode(canonicalize(checked) ?? "")).toHex();
  return deepFreeze({
    id,
    digest,
    description,
    node,
    sections: {
      sevSnp: families.sevSnp,
      sgx: families.sgx,
      tdx: families.tdx,
      nitro: families.nitro,
      trustzone: families.trustzone,
      simulation: checked.simulation,
    },
  });
}

/** One family's part with the policy's name on it; undefined where the policy has no such section. */
export function sectionOf<Name extends keyof PolicySections>(
  policy: Policy,
  name: Name,
): AppraisalPolicy<PolicySections[Name]> | undefined {
  const section = policy.sections[name];
  return section === undefined ? undefined : { id: policy.id, digest: policy.digest, section };
}

function invalid(message: string, cause?: unknown): BackendError {
  return new BackendError("config_invalid", `policy: ${message}`, {
    cause,
    hint: "start from `nautilus policy init --from EVIDENCE`; every field is in docs/VERIFYING.md",
  });
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    Object.values(value).forEach(deepFreeze);
    Object.freeze(value);
  }
  return value;
}
