/** Which master is meant: how it proves that it is the one, before anything is sent to it. */
import { appraiseBundle, parseBundle } from "../../backends/bundle.ts";
import type { Bytes } from "../../backends/mod.ts";
import { resultText } from "../../backends/result_json.ts";
import { createWebCryptoVerifier } from "../../backends/signatures.ts";
import { createEvidenceVerifier } from "../../backends/verification.ts";
import { Refused, UsageError } from "../command.ts";
import { readBoundedText } from "../files/bounded_read.ts";
import { diskReader, readEndorsements } from "../files/evidence.ts";
import { loadPolicy } from "../files/policy.ts";
import { fileReason } from "../files/reason.ts";
import { type Flags, required } from "../flags.ts";
import { fetchAttestation } from "./fetch_attestation.ts";
import { isLoopback, parseOrigin } from "./origin.ts";
import type { PeerCheck } from "./pinned_request.ts";
import { unreachable } from "./unreachable.ts";

const TIMEOUT_MS = 90_000;
const MAX_CA_BYTES = 1 << 20;

/** The flags that name a master and say how it proves itself. */
export const TRUST_FLAGS = {
  strings: ["master", "policy", "spki", "ca"],
  lists: ["endorsements"],
} as const;

/** What TRUST stands for, for `--help`. */
export const TRUST_HELP = [
  "  --policy POLICY [--endorsements FILE…]  its evidence is appraised and must bind its TLS key",
  "  --spki SHA256                           its TLS key, hex (`admin kubeconfig` writes this one)",
  "  --ca FILE                               its CA, PEM; the name in the URL must fit",
];

/** A master, and who may answer in its name. */
export interface TrustedMaster {
  readonly master: URL;
  readonly check: PeerCheck;
}

/**
 * From the flags to a master that has proved itself.
 * @throws {UsageError} {Refused} as establishTrust
 */
export async function trustedMaster({ strings, lists }: Flags): Promise<TrustedMaster> {
  const text = required(strings, "master", "URL");
  const master = parseOrigin(text);
  if (master === undefined) {
    throw new UsageError(`--master "${text}": https://HOST:PORT and no more is wanted`);
  }
  const check = await establishTrust(master, {
    policy: strings["policy"],
    // Several in one argument, separated by commas, is how these flags began.
    endorsements: (lists["endorsements"] ?? []).flatMap((paths) => paths.split(",")),
    ca: strings["ca"],
    spki: strings["spki"],
  });
  return { master, check };
}

/** How the master proves itself, as the command line says it. */
export interface TrustFlags {
  readonly policy: string | undefined;
  /** Collateral and the like, beside the policy. */
  readonly endorsements: readonly string[];
  /** File with a PEM certificate. */
  readonly ca: string | undefined;
  /** SHA-256 of the master's SPKI, hex. */
  readonly spki: string | undefined;
}

/**
 * Who may answer at this URL, from the flags; with a policy the evidence is fetched and appraised.
 * @throws {UsageError} without a way to know the master; {Refused} where its evidence is not affirming
 */
export async function establishTrust(master: URL, flags: TrustFlags): Promise<PeerCheck> {
  const ways = [flags.policy, flags.ca, flags.spki].filter((way) => way !== undefined);
  if (ways.length > 1) throw new UsageError("one of --policy, --ca, --spki, not several");
  if (master.protocol === "http:") {
    if (!isLoopback(master)) {
      throw new UsageError(`${master.origin}: plain HTTP is for this machine alone; use https://`);
    }
    if (ways.length > 0) throw new UsageError("--policy, --ca and --spki need https://");
    return { kind: "loopback" };
  }
  if (flags.spki !== undefined) {
    if (!/^[0-9a-fA-F]{64}$/.test(flags.spki)) {
      throw new UsageError("--spki: the SHA-256 of the master's key in hex, 64 digits, is wanted");
    }
    return { kind: "pin", sha256: Uint8Array.fromHex(flags.spki.toLowerCase()) };
  }
  if (flags.ca !== undefined) {
    try {
      return { kind: "ca", pem: await readBoundedText(flags.ca, MAX_CA_BYTES) };
    } catch (cause) {
      throw new UsageError(`--ca ${flags.ca}: ${fileReason(cause)}`, { cause });
    }
  }
  if (flags.policy === undefined) {
    throw new UsageError(
      "no certificate is believed as it stands: give --policy POLICY (the master's evidence is " +
        "appraised), --spki SHA256 or --ca FILE",
    );
  }
  return { kind: "spki", spki: await attestedKey(master, flags.policy, flags.endorsements) };
}

async function attestedKey(
  master: URL,
  policyPath: string,
  endorsementPaths: readonly string[],
): Promise<Bytes> {
  const reader = diskReader();
  const policy = await loadPolicy(reader, policyPath);
  const endorsements = await readEndorsements(reader, endorsementPaths);
  const signatures = createWebCryptoVerifier();
  const nonce = crypto.getRandomValues(new Uint8Array(32));
  const { status, body, peerSpki } = await fetchAttestation(master, nonce, TIMEOUT_MS).catch(
    (error: unknown) => {
      throw unreachable(master.origin, error);
    },
  );
  if (status !== 200 || peerSpki === undefined) {
    throw new Error(`${master.origin} gives no evidence now: it answered ${status}`);
  }
  const result = await appraiseBundle({
    bundle: parseBundle(body),
    nonce,
    peerTlsSpki: peerSpki,
    endorsements,
    policy,
    now: Date.now(),
  }, { signatures, evidence: createEvidenceVerifier({ signatures }) });
  if (result.tier !== "affirming") {
    throw new Refused(
      `${master.origin} is not what the policy asks for; nothing was sent to it\n${
        resultText(result)
      }`,
    );
  }
  return peerSpki;
}
