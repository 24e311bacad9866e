/** `nautilus verify`: evidence or a node against a policy, offline but for the node itself. */
import type { AttestationResult } from "../../backends/appraisal.ts";
import { EVIDENCE_MEDIA_TYPE } from "../../backends/attestation.ts";
import { appraiseBundle, parseBundle } from "../../backends/bundle.ts";
import { BackendError, type Bytes } from "../../backends/mod.ts";
import type { Policy } from "../../backends/policy/mod.ts";
import { resultJson, resultText } from "../../backends/result_json.ts";
import type { SignatureVerifier } from "../../backends/signatures.ts";
import { createEvidenceVerifier, type VerificationRoots } from "../../backends/verification.ts";
import { VERSION } from "../../version.ts";
import { type Command, EXIT, type ExitCode, UsageError } from "../command.ts";
import type { FetchedAttestation } from "../client/fetch_attestation.ts";
import { parseVerifyArgs, type VerifyArgs } from "./args.ts";
import { loadPolicy } from "../files/policy.ts";
import { isLoopback } from "../client/origin.ts";
import { networkReason } from "../client/unreachable.ts";
import { diskReader, type FileReader, readEndorsements, readInputs } from "../files/evidence.ts";

/** The world of the command, injected. */
export interface VerifyIo extends FileReader {
  stdout(text: string): void;
  stderr(text: string): void;
  /** Milliseconds since the epoch. */
  now(): number;
  random(length: number): Bytes;
  fetchAttestation(node: URL, nonce: Bytes, timeoutMs: number): Promise<FetchedAttestation>;
  readonly signatures: SignatureVerifier;
  /** The vendors' own unless a test says otherwise. */
  readonly roots?: VerificationRoots;
}

/** A hardware report can take ten seconds and more where the host throttles. */
const NODE_TIMEOUT_MS = 90_000;

const USAGE = [
  "Usage: nautilus verify [--tee KIND] FILE… --policy POLICY [FLAGS]",
  "       nautilus verify https://HOST:PORT --policy POLICY [--json]",
  "",
  "FILE is evidence: a node's bundle (JSON), an SEV-SNP report (also extended, or Azure's HCL), an",
  "SGX or TDX quote, a Nitro document (CBOR or base64), an OP-TEE attestation. Certificates, CRLs and",
  "collateral are told by their content wherever they stand.",
  "",
  "  --tee KIND               sgx, sev, tdx, nitro, trustzone, simulation; auto: by content",
  "  --endorsements FILE…     certificates, chains, certificate tables, event logs",
  "  --collateral DIR|FILE…   Intel's collateral, revocation lists",
  "  --policy POLICY          what to accept (JSONC); `nautilus policy init` makes one",
  "  --nonce HEX              what the evidence must answer: of a bundle, or in the evidence itself",
  "  --report-data HEX        the 64 bytes of report data that raw evidence must carry",
  "  --at RFC3339             the clock to verify with; the present one otherwise",
  "  --json                   an attestation result (EAR-like)",
  "  --insecure-transport     ask a node over http:// that is not on this machine",
  "",
  "A URL is asked with a fresh nonce, and its TLS key is compared with the evidence.",
  "Exit code 0: affirming; 1: anything else; 2: the input cannot be used; 3: the node cannot be reached.",
].join("\n");

/** Runs the command. @throws {UsageError} for a command line or input that cannot be used */
export async function verifyCommand(args: readonly string[], io: VerifyIo): Promise<ExitCode> {
  const parsed = parseVerifyArgs(args);
  const policy = await loadPolicy(io, parsed.policy);
  let result: AttestationResult;
  try {
    const outcome = parsed.url === undefined
      ? await verifyFiles(parsed, policy, io)
      : await verifyNode(parsed.url, parsed, policy, io);
    if (typeof outcome === "number") return outcome;
    result = outcome;
  } catch (error) {
    if (error instanceof BackendError && error.code === "malformed") {
      throw new UsageError(error.message);
    }
    throw error;
  }
  io.stdout(
    parsed.json
      ? JSON.stringify(resultJson(result, `nautilus ${VERSION}`), null, 2) + "\n"
      : resultText(result),
  );
  return result.tier === "affirming" ? EXIT.done : EXIT.no;
}

async function verifyFiles(
  args: VerifyArgs,
  policy: Policy,
  io: VerifyIo,
): Promise<AttestationResult> {
  const { subject, endorsements } = await readInputs(io, args, args.tee);
  const evidence = evidenceVerifier(io);
  const now = args.at ?? io.now();
  if (subject.kind === "bundle") {
    if (args.reportData !== undefined) {
      throw new UsageError("a bundle's report data is computed from what it says: give --nonce");
    }
    const bundle = parseBundle(subject.text);
    if (args.tee !== "auto" && args.tee !== bundle.bundle.tee_type) {
      throw new UsageError(`the bundle is of ${bundle.bundle.tee_type}, not of ${args.tee}`);
    }
    const common = { bundle, endorsements, policy, now, nonce: args.nonce, peerTlsSpki: undefined };
    return await appraiseBundle(common, { signatures: io.signatures, evidence });
  }
  return await evidence.appraise({
    teeType: subject.teeType,
    evidence: {
      mediaType: EVIDENCE_MEDIA_TYPE[subject.teeType],
      data: subject.data,
      endorsements: [],
    },
    endorsements,
    expectedReportData: args.reportData ?? new Uint8Array(0),
    expectedNonce: args.nonce,
    policy,
    now,
  });
}

function evidenceVerifier(
  { signatures, roots }: VerifyIo,
): ReturnType<typeof createEvidenceVerifier> {
  return createEvidenceVerifier({ signatures, ...(roots === undefined ? {} : { roots }) });
}

async function verifyNode(
  node: URL,
  args: VerifyArgs,
  policy: Policy,
  io: VerifyIo,
): Promise<AttestationResult | ExitCode> {
  if (node.protocol === "http:") {
    const loopback = isLoopback(node);
    if (!loopback && !args.insecureTransport) {
      throw new UsageError(
        `${node.origin} is not encrypted and not on this machine: use https://, or --insecure-transport`,
      );
    }
    io.stderr(
      `Note: ${node.origin} is plain HTTP${
        loopback ? " on this machine" : ""
      }. The evidence is judged all the same, but nothing ties this connection to the node.\n`,
    );
  }
  const nonce = io.random(32);
  let fetched: FetchedAttestation;
  try {
    fetched = await io.fetchAttestation(node, nonce, NODE_TIMEOUT_MS);
  } catch (error) {
    io.stderr(
      `nautilus verify: ${node.origin} cannot be reached: ${networkReason(error)}\n`,
    );
    return EXIT.environment;
  }
  if (fetched.status !== 200) {
    io.stderr(
      `nautilus verify: ${node.origin} answered ${fetched.status}${
        fetched.status === 429 ? ": its budget of hardware reports is spent, try again later" : ""
      }\n`,
    );
    return EXIT.environment;
  }
  const endorsements = await readEndorsements(io, [...args.endorsements, ...args.collateral]);
  return await appraiseBundle({
    bundle: parseBundle(fetched.body),
    nonce,
    peerTlsSpki: fetched.peerSpki,
    endorsements,
    policy,
    now: io.now(),
  }, { signatures: io.signatures, evidence: evidenceVerifier(io) });
}

export const verify: Command = {
  name: "verify",
  summary: "Verify evidence or a node against a policy, offline.",
  usage: USAGE,
  async run(io) {
    const { createWebCryptoVerifier } = await import("../../backends/signatures.ts");
    const { fetchAttestation } = await import("../client/fetch_attestation.ts");
    return await verifyCommand(io.args, {
      ...diskReader(),
      stdout: (text) => io.stdout(text),
      stderr: (text) => io.stderr(text),
      now: () => Date.now(),
      random: (length) => crypto.getRandomValues(new Uint8Array(length)),
      fetchAttestation,
      signatures: createWebCryptoVerifier(),
    });
  },
};
