/** `nautilus policy init` and `nautilus policy check`. */
import { sha256 } from "@noble/hashes/sha2.js";
import type { AttestationResult } from "../../backends/appraisal.ts";
import { EVIDENCE_MEDIA_TYPE } from "../../backends/attestation.ts";
import { appraiseBundle, parseBundle } from "../../backends/bundle.ts";
import { BackendError, type Bytes, type Endorsement } from "../../backends/mod.ts";
import { initialPolicy } from "../../backends/policy/init.ts";
import { lintPolicy } from "../../backends/policy/lint.ts";
import { type Policy, policyFromJson } from "../../backends/policy/mod.ts";
import { ecSpki } from "../../backends/signatures.ts";
import { isTaEvidence, parseTaEvidence } from "../../backends/trustzone/ta_abi.ts";
import { looksLikePem, pemBlocks } from "../../backends/x509/mod.ts";
import { createEvidenceVerifier } from "../../backends/verification.ts";
import { unknownAction } from "../actions.ts";
import { type Command, EXIT, type ExitCode, UsageError } from "../command.ts";
import { loadPolicy } from "../files/policy.ts";
import type { VerifyIo } from "./verify.ts";
import { parseFlags, required } from "../flags.ts";
import { verifyArgs } from "./args.ts";
import { diskReader, readInputs } from "../files/evidence.ts";

export type PolicyIo = Omit<VerifyIo, "fetchAttestation" | "random">;

const USAGE = [
  "Usage: nautilus policy init --from EVIDENCE [--tee KIND] [--endorsements FILE…] [--at RFC3339]",
  "       nautilus policy check POLICY",
  "",
  "init prints a commented policy that accepts what EVIDENCE shows, strict where evidence must not be",
  "taken at its word (debug mode, VMPL). Read it before you rely on it. OP-TEE's device key is taken from",
  "a PEM file (PUBLIC KEY) after --endorsements.",
  "check reads a policy as `verify` does, and says what it leaves open.",
  "",
  "Exit code of check: 0 the policy is strict or says only notes, 1 it leaves something open, 2 unusable.",
].join("\n");

const ACTIONS = ["init", "check"];

/** Runs the command. @throws {UsageError} */
export async function policyCommand(args: readonly string[], io: PolicyIo): Promise<ExitCode> {
  const [action, ...rest] = args;
  if (action === "init") return await init(rest, io);
  if (action === "check") return await check(rest, io);
  throw unknownAction(action, ACTIONS);
}

async function check(args: readonly string[], io: PolicyIo): Promise<ExitCode> {
  const { positionals: [path = ""] } = parseFlags(args, { positionals: ["POLICY"] });
  const policy = await loadPolicy(io, path);
  const findings = lintPolicy(policy);
  const sections = Object.entries(policy.sections).filter(([, section]) => section !== undefined)
    .map(([name]) => name);
  io.stdout(`${policy.id}: SHA-256 ${policy.digest}, sections: ${sections.join(", ") || "none"}\n`);
  for (const { level, field, text } of findings) {
    io.stdout(`${level === "open" ? "✗" : "–"} ${field}: ${text}\n`);
  }
  const open = findings.some(({ level }) => level === "open");
  io.stdout(
    open
      ? "This policy leaves something open.\n"
      : "✓ This policy leaves nothing open that is known here.\n",
  );
  return open ? EXIT.no : EXIT.done;
}

async function init(args: readonly string[], io: PolicyIo): Promise<ExitCode> {
  const flags = parseFlags(args, {
    strings: ["from", "tee", "at"],
    lists: ["endorsements", "collateral"],
    positionals: ["FILE…"],
  });
  const from = required(flags.strings, "from", "EVIDENCE");
  const parsed = verifyArgs({
    ...flags,
    strings: { ...flags.strings, policy: "-" },
    positionals: [from, ...flags.positionals],
  });
  if (parsed.url !== undefined) {
    throw new UsageError(`--from ${from}: a file is wanted, as \`nautilus attest\` writes it`);
  }
  const inputs = await readInputs(io, parsed, parsed.tee);
  const evidence = createEvidenceVerifier({
    signatures: io.signatures,
    ...(io.roots === undefined ? {} : { roots: io.roots }),
  });
  const now = parsed.at ?? io.now();
  const { subject, endorsements } = inputs;
  let result: AttestationResult;
  try {
    result = subject.kind === "bundle"
      ? await appraiseBundle({
        bundle: parseBundle(subject.text),
        nonce: undefined,
        peerTlsSpki: undefined,
        endorsements,
        policy: openPolicy(
          Uint8Array.fromBase64(parseBundle(subject.text).bundle.evidence.data),
        ),
        now,
      }, { signatures: io.signatures, evidence })
      : await evidence.appraise({
        teeType: subject.teeType,
        evidence: {
          mediaType: EVIDENCE_MEDIA_TYPE[subject.teeType],
          data: subject.data,
          endorsements: [],
        },
        endorsements,
        expectedReportData: new Uint8Array(0),
        policy: openPolicy(subject.data),
        now,
      });
  } catch (error) {
    if (error instanceof BackendError && error.code === "malformed") {
      throw new UsageError(error.message);
    }
    throw error;
  }
  if (Object.keys(result.claims).length === 0) {
    const [first] = result.checks.filter(({ status }) => status === "fail");
    throw new UsageError(
      `nothing can be read from ${from}: ${first?.text ?? "it is no evidence known here"}`,
    );
  }
  io.stdout(
    initialPolicy(
      withKeys(result, [...endorsements, ...bundleEndorsements(subject)]),
      problems(result),
    ),
  );
  return EXIT.done;
}

/** What the reference evidence fails at by itself, not by the stand-in policy. */
function problems({ checks }: AttestationResult): string[] {
  const genuine = [
    "signature",
    "certificate_chain",
    "identity_signature",
    "outer_fields",
    "tcb_certificate",
    "chip_id",
    "reserved",
    "signer",
  ];
  return checks.filter(({ id, status }) => status === "fail" && genuine.includes(id)).map((
    { id, text },
  ) => `${id}: ${text}`);
}

/** The key that a TA's evidence brings along: its signature shows that it is whole, and no more. */
function ownKey(data: Bytes): { id: string; spki: string } | undefined {
  if (!isTaEvidence(data)) return undefined;
  try {
    const { attestationKey } = parseTaEvidence(data);
    return { id: "its own", spki: ecSpki("P-256", attestationKey).toBase64() };
  } catch (error) {
    if (error instanceof BackendError) return undefined; // the verifier says what is wrong with it
    throw error;
  }
}

/** A policy that only serves to decode: nobody relies on its verdict. */
function openPolicy(data: Bytes): Policy {
  const measured = { measurements: "any", reportData: "any" };
  const dcap = { collateral: "if_given", crl: "if_given", reportData: "any" };
  return policyFromJson({
    version: 1,
    id: "decode-only",
    node: { allowNonceless: true },
    sevSnp: { ...measured, minimumTcb: "any", crl: "if_given" },
    nitro: { pcrs: "any", reportData: "any" },
    trustzone: {
      keys: [ownKey(data) ?? { id: "none", modulus: "0".repeat(512), exponent: "010001" }],
    },
    sgx: { mrenclaves: "any", mrsigners: "any", ...dcap },
    tdx: { mrtds: "any", rtmrs: "any", ...dcap },
    simulation: { allowSimulation: true, trustedRoots: [], maxAgeSeconds: 1, ...measured },
  });
}

function bundleEndorsements(
  subject: Awaited<ReturnType<typeof readInputs>>["subject"],
): Endorsement[] {
  if (subject.kind !== "bundle") return [];
  return parseBundle(subject.text).bundle.evidence.endorsements.map(({ type, data }) => ({
    type,
    data: Uint8Array.fromBase64(data),
  }));
}

/** What evidence does not say by itself: the simulation's root, and a device key that was handed in. */
function withKeys(
  result: AttestationResult,
  endorsements: readonly Endorsement[],
): AttestationResult {
  const extra: Record<string, unknown> = {};
  for (const { type, data } of endorsements) {
    if (result.teeType === "SIMULATION" && (type === "simulation-root" || data.length === 44)) {
      extra["root"] = sha256(data).toHex();
    }
    if (result.teeType === "TrustZone" && looksLikePem(data)) {
      const key = pemBlocks(new TextDecoder("latin1").decode(data), 4).find(({ label }) =>
        label === "PUBLIC KEY"
      );
      if (key !== undefined) extra["offered_key"] = key.data.toBase64();
    }
  }
  return { ...result, claims: { ...result.claims, ...extra } };
}

export const policy: Command = {
  name: "policy",
  summary: "Write an appraisal policy to start from, or check one.",
  usage: USAGE,
  actions: ACTIONS,
  async run(io) {
    const { createWebCryptoVerifier } = await import("../../backends/signatures.ts");
    return await policyCommand(io.args, {
      ...diskReader(),
      stdout: (text) => io.stdout(text),
      stderr: (text) => io.stderr(text),
      now: () => Date.now(),
      signatures: createWebCryptoVerifier(),
    });
  },
};
