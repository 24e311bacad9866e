/** A worker's way in: the master appraised over a fresh nonce, then the proof, then a session. */
import * as v from "valibot";
import type { Bytes, Endorsement, Evidence, TeeType } from "../backends/mod.ts";
import { evidenceToWire } from "../backends/attestation.ts";
import { workerReportData } from "../sui/admission_message.ts";
import { appraiseBundle, parseBundle } from "../backends/bundle.ts";
import type { Policy } from "../backends/policy/mod.ts";
import { resultText } from "../backends/result_json.ts";
import type { SignatureVerifier } from "../backends/signatures.ts";
import { createEvidenceVerifier } from "../backends/verification.ts";
import type { AdmissionChallenge, MasterFacts } from "../sui/admission.ts";
import { type NodeKey, proveAdmission } from "../sui/admission_proof.ts";
import type { Wallet } from "../sui/wallet.ts";
import type { FetchedAttestation } from "./client/fetch_attestation.ts";
import { createMasterLink, type LinkAnswer, type MasterLink } from "./worker_link.ts";

/** A hardware report can take ten seconds and more where the host throttles. */
const ATTESTATION_TIMEOUT_MS = 90_000;
const ANSWER_TIMEOUT_MS = 30_000;

/** The policy does not affirm the master: nothing was sent to it. */
export class MasterRefused extends Error {
  override readonly name = "MasterRefused";
  readonly code = "master_refused";
}

/** The master said no. `final`: asking again changes nothing until the chain or the worker changes. */
export class JoinRefused extends Error {
  override readonly name = "JoinRefused";
  readonly code: string;
  readonly final: boolean;
  readonly retryAfterSeconds: number | undefined;
  constructor(code: string, message: string, answer: LinkAnswer) {
    super(message);
    this.code = code;
    this.final = [400, 401, 403].includes(answer.status) && !code.startsWith("challenge_");
    this.retryAfterSeconds = answer.retryAfterSeconds;
  }
}

/** The master demands evidence of this worker's TEE, and there is none to give. */
export class NoEvidence extends Error {
  override readonly name = "NoEvidence";
  readonly code = "no_evidence";
}

/** Whether asking again is in vain until somebody changes something. */
export function isFinal(error: unknown): error is MasterRefused | NoEvidence | JoinRefused {
  return error instanceof MasterRefused || error instanceof NoEvidence ||
    (error instanceof JoinRefused && error.final);
}

/** Evidence of the TEE that this worker runs in. */
export interface OwnEvidence {
  readonly teeType: TeeType;
  readonly evidence: Evidence;
}

export interface JoinOptions {
  readonly master: URL;
  readonly policy: Policy;
  readonly endorsements: readonly Endorsement[];
  readonly wallet: Wallet;
  readonly nodeKey: NodeKey;
  readonly nodeId: string;
  /** 0x + 64 hex. */
  readonly tokenId: string;
  /** Whether to ask for what K3s needs to join. */
  readonly wantsK3s: boolean;
  /** What the worker was told to expect; otherwise the appraised master is believed. */
  readonly chainId: string | undefined;
  /** 32 hex. */
  readonly clusterId: string | undefined;
  readonly signatures: SignatureVerifier;
  /**
   * Evidence with these 64 bytes of report data; asked only where the master demands it.
   * @throws {NoEvidence} saying why there is none
   */
  attest(reportData: Bytes): Promise<OwnEvidence>;
  fetchAttestation(node: URL, nonce: Bytes, timeoutMs: number): Promise<FetchedAttestation>;
  random(length: number): Bytes;
  now(): number;
}

export interface AppraisedMaster {
  readonly link: MasterLink;
  readonly measurement: Bytes;
  readonly identityKey: Bytes;
  readonly tlsKey: Bytes;
}

/** What K3s needs to join its server. */
export interface K3sJoin {
  readonly serverUrl: string;
  readonly token: string;
  readonly expiresAtMs: number;
}

export interface Joined {
  readonly link: MasterLink;
  readonly sessionToken: string;
  readonly sessionExpiresAtMs: number;
  /** Undefined where it was not asked for. A secret: for a file or a program, never for a screen. */
  readonly k3s: K3sJoin | undefined;
  readonly facts: MasterFacts;
}

const hex = v.pipe(v.string(), v.regex(/^(?:[0-9a-f]{2})*$/));
const base64 = v.pipe(v.string(), v.base64());
const milliseconds = v.pipe(v.number(), v.safeInteger());
const Challenge = v.object({
  challenge: hex,
  node_id: v.string(),
  address: v.string(),
  chain_id: v.string(),
  cluster_id: hex,
  measurement: hex,
  identity_key: base64,
  tls_key: v.union([v.literal(""), base64]),
  issued_at_ms: milliseconds,
  expires_at_ms: milliseconds,
  /** Absent: none is asked for. */
  worker_evidence: v.optional(v.literal("required")),
});
const Registered = v.object({
  session_token: v.string(),
  session_expires_at: v.pipe(v.number(), v.safeInteger()),
  k3s: v.optional(v.object({
    // Both stand in a file of variables: nothing in them may end a line or need quotes.
    server_url: v.pipe(v.string(), v.regex(/^https:\/\/[A-Za-z0-9.:[\]-]+$/)),
    token: v.pipe(v.string(), v.regex(/^K10[0-9a-f]{64}::[a-z0-9]{6}\.[a-z0-9]{16}$/)),
    expires_at: v.pipe(v.number(), v.safeInteger()),
  })),
});
const Problem = v.object({ code: v.string(), detail: v.string() });

/** @throws {MasterRefused} when the policy does not affirm it */
export async function appraiseMaster(options: JoinOptions): Promise<AppraisedMaster> {
  const { master, policy, endorsements, signatures, random } = options;
  const nonce = random(32);
  const fetched = await options.fetchAttestation(master, nonce, ATTESTATION_TIMEOUT_MS);
  if (fetched.status !== 200) {
    throw new Error(`the master's attestation endpoint answered ${fetched.status}`);
  }
  const bundle = parseBundle(fetched.body);
  const result = await appraiseBundle({
    bundle,
    nonce,
    peerTlsSpki: fetched.peerSpki,
    endorsements,
    policy,
    now: options.now(),
  }, { signatures, evidence: createEvidenceVerifier({ signatures }) });
  if (result.tier !== "affirming") {
    throw new MasterRefused(`the policy does not affirm the master:\n${resultText(result)}`);
  }
  const { statement } = bundle;
  return {
    link: createMasterLink(master, fetched.peerSpki, options.now),
    measurement: Uint8Array.fromHex(statement.measurement),
    identityKey: Uint8Array.fromBase64(statement.identity_key),
    tlsKey: Uint8Array.fromBase64(statement.tls_key),
  };
}

/**
 * Appraises, proves, registers. The link of what is returned is the caller's to dispose of.
 *
 * @throws {MasterRefused | JoinRefused | ChallengeMismatch | WrongPeer} and what the network throws
 */
export async function joinMaster(options: JoinOptions): Promise<Joined> {
  const master = await appraiseMaster(options);
  try {
    return await register(options, master);
  } catch (error) {
    master.link[Symbol.dispose]();
    throw error;
  }
}

async function register(
  options: JoinOptions,
  { link, ...appraised }: AppraisedMaster,
): Promise<Joined> {
  const { wallet, nodeKey, nodeId, tokenId } = options;
  const { challenge, demandsEvidence } = decodeChallenge(
    await post(link, "/api/v1/admission/challenge", { node_id: nodeId, address: wallet.address }),
  );
  const facts: MasterFacts = {
    chainId: options.chainId ?? challenge.chainId,
    clusterId: options.clusterId === undefined
      ? challenge.clusterId
      : Uint8Array.fromHex(options.clusterId),
    ...appraised,
  };
  const nowMs = options.now();
  const proof = await proveAdmission({
    challenge,
    appraised: facts,
    nodeId,
    tokenId,
    wallet,
    nodeKey,
    nowMs,
  });
  const evidence = demandsEvidence
    ? { evidence: evidenceJson(await options.attest(workerReportData(proof.message))) }
    : {};
  const registered = v.parse(
    Registered,
    await post(link, "/api/v1/register-worker", {
      node_id: nodeId,
      seal_token: `seal_${tokenId}`,
      timestamp: Math.floor(nowMs / 1000),
      ...(options.wantsK3s ? { k3s: true } : {}),
      proof: {
        address: proof.address,
        node_key: proof.nodeKey.toBase64(),
        challenge: proof.challenge.toHex(),
        wallet_signature: proof.walletSignature,
        node_signature: proof.nodeSignature.toBase64(),
        ...evidence,
      },
    }),
  );
  const { k3s } = registered;
  if (options.wantsK3s && k3s === undefined) {
    throw new Error("the master answered without K3s data");
  }
  return {
    link,
    k3s: k3s === undefined ? undefined : {
      serverUrl: k3s.server_url,
      token: k3s.token,
      expiresAtMs: k3s.expires_at * 1000,
    },
    sessionToken: registered.session_token,
    sessionExpiresAtMs: registered.session_expires_at * 1000,
    facts,
  };
}

async function post(link: MasterLink, path: string, body: unknown): Promise<unknown> {
  const answer = await link.send({
    method: "POST",
    path,
    body: new TextEncoder().encode(JSON.stringify(body)),
    timeoutMs: ANSWER_TIMEOUT_MS,
  });
  if (answer.status !== 200) throw refusalOf(answer);
  return JSON.parse(answer.body);
}

/** What a problem document says, or the status where there is none. */
export function refusalOf(answer: LinkAnswer): JoinRefused {
  let json: unknown;
  try {
    json = JSON.parse(answer.body);
  } catch {
    json = undefined;
  }
  const parsed = v.safeParse(Problem, json);
  if (!parsed.success) {
    return new JoinRefused("unknown", `the master answered ${answer.status}`, answer);
  }
  const code = printable(parsed.output.code, 100);
  return new JoinRefused(code, `${code}: ${printable(parsed.output.detail, 2_000)}`, answer);
}

/** The master chose these words: nothing in them may steer a terminal, or begin a line of a log. */
function printable(text: string, maxLength: number): string {
  return text.slice(0, maxLength).replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, "?");
}

function evidenceJson({ teeType, evidence }: OwnEvidence) {
  const { data, endorsements } = evidenceToWire(evidence);
  return { tee_type: teeType, data, endorsements };
}

function decodeChallenge(
  body: unknown,
): { readonly challenge: AdmissionChallenge; readonly demandsEvidence: boolean } {
  const given = v.parse(Challenge, body);
  const challenge: AdmissionChallenge = {
    challenge: Uint8Array.fromHex(given.challenge),
    nodeId: given.node_id,
    address: given.address,
    chainId: given.chain_id,
    clusterId: Uint8Array.fromHex(given.cluster_id),
    measurement: Uint8Array.fromHex(given.measurement),
    identityKey: Uint8Array.fromBase64(given.identity_key),
    tlsKey: Uint8Array.fromBase64(given.tls_key),
    issuedAtMs: given.issued_at_ms,
    expiresAtMs: given.expires_at_ms,
  };
  return { challenge, demandsEvidence: given.worker_evidence !== undefined };
}
