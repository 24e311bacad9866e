/** An attestation result as JSON, in the manner of an EAT attestation result (EAR), and for people. */
import type { AttestationResult, Check } from "./appraisal.ts";

export const RESULT_PROFILE = "tag:nautilus-tee,2026:attestation-result/v1";

/** The JSON of a result: what `nautilus verify --json` prints and `POST /api/v1/verify` answers. */
export function resultJson(result: AttestationResult, verifier: string): Record<string, unknown> {
  return {
    eat_profile: RESULT_PROFILE,
    "ear.verifier-id": { developer: "Nautilus TEE", build: verifier },
    iat: Math.floor(result.appraisedAt / 1000),
    ...(result.expiresAt === undefined || !Number.isFinite(result.expiresAt)
      ? {}
      : { exp: Math.floor(result.expiresAt / 1000) }),
    "ear.status": result.tier,
    "ear.appraisal-policy-id": result.policyId,
    policy_digest: result.policyDigest,
    evidence_digest: result.evidenceDigest,
    tee_type: result.teeType,
    failures: result.checks.filter(counts).map(({ id, status, code, text }) => ({
      id,
      status,
      code,
      text,
    })),
    checks: result.checks,
    claims: jsonValue(result.claims),
  };
}

/** Whether a check stands between the evidence and an affirming result. */
export function counts({ status, waived }: Check): boolean {
  return status === "fail" || (status === "missing" && waived !== true);
}

function jsonValue(value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (Array.isArray(value)) return value.map(jsonValue);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, jsonValue(item)]));
  }
  return value;
}

const VERDICT = {
  affirming: "AFFIRMING: the evidence is genuine and meets the policy",
  warning:
    "NOT AFFIRMED (warning): inputs that the policy demands are missing, so not everything was checked",
  contraindicated:
    "REFUSED (contraindicated): the evidence is not genuine, or not what the policy wants",
} as const;

/** The verdict, then one line a check: ✓ holds, ✗ does not (or is missing though demanded), – not looked at. */
export function resultText(result: AttestationResult): string {
  const iso = (ms: number) => new Date(ms).toISOString().replace(".000Z", "Z");
  const width = Math.max(...result.checks.map(({ id }) => id.length), 0);
  const failed = result.checks.filter(counts);
  const lines = [
    VERDICT[result.tier],
    `  ${result.teeType} evidence ${
      result.evidenceDigest.slice(0, 16)
    }…, policy ${result.policyId} (${result.policyDigest.slice(0, 16)}…), at ${
      iso(result.appraisedAt)
    }`,
    ...(result.teeType === "SIMULATION"
      ? ["  A SIMULATION PROTECTS NOTHING: for development only."]
      : []),
    ...(result.expiresAt === undefined || !Number.isFinite(result.expiresAt)
      ? []
      : [`  holds until ${iso(result.expiresAt)}`]),
    ...(failed.length === 0 ? [] : [
      `  because of: ${[...new Set(failed.map(({ id, code }) => `${id} (${code})`))].join(", ")}`,
    ]),
    "",
    ...result.checks.map((check) =>
      `${mark(check)} ${check.id.padEnd(width)}  ${explain(check)}`.trimEnd()
    ),
  ];
  return lines.map(printable).join("\n") + "\n";
}

function mark(check: Check): string {
  return check.status === "pass" ? "✓" : counts(check) ? "✗" : "–";
}

function explain({ status, value, code, text, waived }: Check): string {
  if (status === "pass") return value ?? "";
  const said = [text ?? code ?? "", value === undefined ? "" : `[${value}]`].filter((part) =>
    part !== ""
  ).join(" ");
  return `${said}${waived === true ? " (the policy does not demand it)" : ""}`;
}

/** Values come from evidence: nothing in them may steer a terminal. */
function printable(line: string): string {
  return line.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, "?");
}
