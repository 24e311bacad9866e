/**
 * The request of `POST /api/v1/verify`, decoded strictly, and its answer: a node's bundle or raw
 * evidence against one of the operator's policies, by this machine's clock. Knows no HTTP.
 */
import * as v from "valibot";
import { EVIDENCE_MEDIA_TYPE } from "./attestation.ts";
import { appraiseBundle, parseBundle } from "./bundle.ts";
import { BackendError, type Bytes } from "./mod.ts";
import type { Policy } from "./policy/mod.ts";
import { resultJson } from "./result_json.ts";
import type { SignatureVerifier } from "./signatures.ts";
import type { EvidenceVerifier } from "./verification.ts";

const base64 = v.pipe(
  v.string(),
  v.regex(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/, "must be base64"),
);
const hexBytes = (min: number, max: number) =>
  v.pipe(
    v.string(),
    v.regex(/^(?:[0-9a-f]{2})*$/, "must be lower-case hex"),
    v.minLength(2 * min),
    v.maxLength(2 * max),
  );
const Endorsements = v.pipe(
  v.array(v.strictObject({ type: v.pipe(v.string(), v.maxLength(64)), data: base64 })),
  v.maxLength(64),
);

const RequestSchema = v.pipe(
  v.strictObject({
    /** Id of one of the operator's policies; may be left out where there is one only. */
    policy: v.optional(v.string()),
    /** The JSON of a node's `/api/v1/attestation`. */
    bundle: v.optional(v.record(v.string(), v.unknown())),
    evidence: v.optional(v.strictObject({
      tee_type: v.picklist(["SGX", "SEV", "TrustZone", "TDX", "NITRO", "SIMULATION"]),
      data: base64,
    })),
    endorsements: v.optional(Endorsements, []),
    nonce: v.optional(hexBytes(1, 512)),
    report_data: v.optional(hexBytes(64, 64)),
  }),
  v.check(
    ({ bundle, evidence }) => (bundle === undefined) !== (evidence === undefined),
    "either bundle or evidence is wanted",
  ),
  v.check(
    ({ bundle, report_data: data }) => bundle === undefined || data === undefined,
    "a bundle's report data is computed: give nonce",
  ),
);

/** A request that cannot be judged is a value too: which field, and why. */
export type VerifyAnswer =
  | { readonly ok: true; readonly result: Record<string, unknown> }
  | { readonly ok: false; readonly field: string; readonly reason: string };

export interface VerifyServiceDeps {
  /** By id. */
  readonly policies: ReadonlyMap<string, Policy>;
  readonly evidence: EvidenceVerifier;
  readonly signatures: SignatureVerifier;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  /** Who answers, such as `nautilus 0.1.0`. */
  readonly verifierName: string;
}

/** Judges one request body. A refusal of the evidence is `ok: true`, with its result. */
export async function answerVerifyRequest(
  body: unknown,
  deps: VerifyServiceDeps,
): Promise<VerifyAnswer> {
  const parsed = v.safeParse(RequestSchema, body);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    return { ok: false, field: v.getDotPath(issue) ?? "", reason: issue.message };
  }
  const request = parsed.output;
  const policy = choosePolicy(request.policy, deps.policies);
  if (policy === undefined) {
    return {
      ok: false,
      field: "policy",
      reason: `one of: ${[...deps.policies.keys()].join(", ") || "none is configured"}`,
    };
  }
  const common = {
    endorsements: request.endorsements.map(({ type, data }) => ({ type, data: bytes(data) })),
    policy,
    now: deps.clock(),
  };
  const nonce = request.nonce === undefined ? undefined : Uint8Array.fromHex(request.nonce);
  try {
    const result = request.evidence === undefined
      ? await appraiseBundle({
        ...common,
        bundle: parseBundle(JSON.stringify(request.bundle)),
        nonce,
        peerTlsSpki: undefined,
      }, deps)
      : await deps.evidence.appraise({
        ...common,
        teeType: request.evidence.tee_type,
        evidence: {
          mediaType: EVIDENCE_MEDIA_TYPE[request.evidence.tee_type],
          data: bytes(request.evidence.data),
          endorsements: [],
        },
        expectedReportData: Uint8Array.fromHex(request.report_data ?? ""),
        expectedNonce: nonce,
      });
    return { ok: true, result: resultJson(result, deps.verifierName) };
  } catch (error) {
    if (!(error instanceof BackendError) || error.code !== "malformed") throw error;
    return { ok: false, field: "bundle", reason: error.message };
  }
}

function choosePolicy(
  id: string | undefined,
  policies: ReadonlyMap<string, Policy>,
): Policy | undefined {
  if (id !== undefined) return policies.get(id);
  return policies.size === 1 ? policies.values().next().value : undefined;
}

function bytes(text: string): Bytes {
  return Uint8Array.fromBase64(text);
}
