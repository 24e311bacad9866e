/**
 * A node's own attestation bundle, checked through (WIRE.md, "Attestation"): what stands outside
 * equals what is signed inside, the identity key signed these very bytes, and the vendor's evidence
 * binds that key, the TLS key, the configuration, the store, and the caller's nonce.
 */
import { type AttestationResult, type Check, CheckList, trustTier } from "./appraisal.ts";
import {
  type AttestationBundle,
  attestationSignatureInput,
  enclaveId,
  EVIDENCE_MEDIA_TYPE,
  reportData,
  type SignedStatement,
} from "./attestation.ts";
import {
  BackendError,
  type Bytes,
  type Covers,
  type Endorsement,
  type SecurityLevel,
  type TeeType,
} from "./mod.ts";
import type { Policy } from "./policy/mod.ts";
import { accepts } from "./policy/schema.ts";
import type { SignatureVerifier } from "./signatures.ts";
import type { DecodedBundle } from "./bundle_format.ts";
import { type EvidenceVerifier, measurementOf } from "./verification.ts";
import { parseCertificate, sameBytes } from "./x509/mod.ts";

export { type DecodedBundle, parseBundle } from "./bundle_format.ts";

/** What a TEE's `security_level` is and what its measurement can stand for. */
const KINDS: Readonly<Record<TeeType, { level: SecurityLevel; covers: readonly Covers[] }>> = {
  SGX: { level: 3, covers: ["program", "helper"] },
  SEV: { level: 2, covers: ["image"] },
  TrustZone: { level: 2, covers: ["helper"] },
  TDX: { level: 3, covers: ["image"] },
  NITRO: { level: 3, covers: ["program"] },
  SIMULATION: { level: 1, covers: ["none"] },
};

export interface BundleInput {
  readonly bundle: DecodedBundle;
  /** 8 to 64 bytes that were sent; undefined: none was, and the policy must allow that. */
  readonly nonce: Bytes | undefined;
  /** The key the node answered with over TLS; undefined: the bundle did not come over TLS. */
  readonly peerTlsSpki: Bytes | undefined;
  /** Collateral beyond what the bundle carries. */
  readonly endorsements: readonly Endorsement[];
  readonly policy: Policy;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Appraises a node: the bundle's own checks first, then those of its evidence. */
export async function appraiseBundle(
  input: BundleInput,
  deps: { readonly signatures: SignatureVerifier; readonly evidence: EvidenceVerifier },
): Promise<AttestationResult> {
  const { bundle: { bundle, statement, signed, evidence }, policy, now } = input;
  const list = new CheckList();
  const identity = Uint8Array.fromBase64(statement.identity_key);
  const tls = Uint8Array.fromBase64(statement.tls_key);
  list.pass("bundle", `node ${bundle.enclave_id}, ${bundle.tee_type}`);
  checkOuterFields(bundle, statement, identity, list);
  list.expect(
    await deps.signatures.verify(
      { kind: "ed25519" },
      identity,
      Uint8Array.fromBase64(bundle.signature),
      attestationSignatureInput(signed),
    ),
    "identity_signature",
    "bad_identity_signature",
    "the statement is not signed by the identity key it names",
    "Ed25519",
  );
  checkCovers(statement, policy, list);
  checkTlsKey(bundle, tls, input.peerTlsSpki, list);
  const freshUntil = checkFreshness(statement, input, list);
  checkIdentity(statement, identity, policy, list);
  const result = await deps.evidence.appraise({
    teeType: statement.tee_type,
    evidence: {
      mediaType: bundle.evidence.media_type,
      data: evidence,
      endorsements: bundle.evidence.endorsements.map(({ type, data }) => ({
        type,
        data: Uint8Array.fromBase64(data),
      })),
    },
    endorsements: input.endorsements,
    expectedReportData: reportData({
      nonce: statement.nonce === null ? undefined : Uint8Array.fromHex(statement.nonce),
      bootId: Uint8Array.fromHex(statement.boot_id),
      identitySpki: identity,
      tlsSpki: tls,
      configDigest: Uint8Array.fromHex(statement.config_digest),
      storeId: Uint8Array.fromHex(statement.store_id),
      incarnation: Uint8Array.fromHex(statement.incarnation),
    }),
    policy,
    now,
  });
  checkEvidence(bundle, statement, result, list);
  const checks: readonly Check[] = [...list.checks, ...result.checks];
  const tier = trustTier(checks);
  return {
    ...result,
    tier,
    checks,
    claims: { node: nodeClaims(statement, identity), ...result.claims },
    expiresAt: tier === "affirming"
      ? Math.min(result.expiresAt ?? Infinity, freshUntil)
      : undefined,
  };
}

function checkOuterFields(
  bundle: AttestationBundle,
  statement: SignedStatement,
  identity: Bytes,
  list: CheckList,
): void {
  const names = ["tee_type", "security_level", "covers", "measurement", "timestamp"] as const;
  const different: string[] = names.filter((name) => bundle[name] !== statement[name]);
  if (bundle.enclave_id !== enclaveId(identity)) different.push("enclave_id");
  list.expect(
    different.length === 0,
    "outer_fields",
    "outer_mismatch",
    `fields outside differ from what is signed: ${different.join(", ")}`,
    different.length === 0 ? "as signed" : undefined,
  );
}

function checkCovers(statement: SignedStatement, policy: Policy, list: CheckList): void {
  const { tee_type: tee, covers, security_level: level } = statement;
  const kind = KINDS[tee];
  list.expect(
    level === kind.level,
    "security_level",
    "wrong_security_level",
    `${tee} has level ${kind.level}`,
    String(level),
  );
  const meaning = {
    program: "the measurement covers this program and all it loads",
    image: "the measurement covers a launch image, which must itself be measured and locked",
    helper: "only a key helper is measured, not the running master",
    none: "nothing is measured by hardware",
  }[covers];
  if (!kind.covers.includes(covers)) {
    list.fail(
      "covers",
      "covers_impossible",
      `a measurement of ${tee} cannot cover "${covers}"`,
      covers,
    );
  } else {
    list.expect(
      policy.node.covers.includes(covers),
      "covers",
      "covers_refused",
      `the policy accepts ${policy.node.covers.join(", ")}`,
      `${covers}: ${meaning}`,
    );
  }
}

function checkTlsKey(
  bundle: AttestationBundle,
  tls: Bytes,
  peer: Bytes | undefined,
  list: CheckList,
): void {
  if (bundle.certificate !== "") {
    let spki: Bytes | undefined;
    try {
      spki = parseCertificate(Uint8Array.fromBase64(bundle.certificate)).spki;
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      list.fail("tls_certificate", "malformed", error.message);
    }
    if (spki !== undefined) {
      list.expect(
        sameBytes(spki, tls),
        "tls_certificate",
        "tls_key_mismatch",
        "the TLS certificate has another key than the evidence binds",
        "holds the key that the evidence binds",
      );
    }
  } else if (tls.length > 0) {
    list.fail(
      "tls_certificate",
      "certificate_missing",
      "the evidence binds a TLS key, and no certificate was given",
    );
  }
  if (peer === undefined) {
    list.notApplicable("tls_peer", "not_over_tls", "the bundle did not come over a TLS connection");
  } else {
    list.expect(
      sameBytes(peer, tls),
      "tls_peer",
      "tls_peer_mismatch",
      "whoever answered does not hold the TLS key that the evidence binds",
      "compared with the key that the evidence binds",
    );
  }
}

/** Milliseconds since the epoch until which the statement counts as fresh. */
function checkFreshness(
  statement: SignedStatement,
  { nonce, policy, now }: BundleInput,
  list: CheckList,
): number {
  const { allowNonceless, maxAgeSeconds, clockSkewSeconds } = policy.node;
  const stated = statement.timestamp * 1000;
  const ageSeconds = Math.round((now - stated) / 1000);
  const age = `${ageSeconds} s old by the node's clock`;
  if (nonce !== undefined) {
    list.expect(
      statement.nonce === nonce.toHex(),
      "nonce",
      statement.nonce === null ? "nonce_missing" : "nonce_mismatch",
      "the node's statement does not answer the nonce that was sent",
      statement.nonce ?? "none",
    );
  } else if (allowNonceless) {
    list.pass("nonce", "none sent, allowed by the policy");
  } else {
    list.missing(
      "nonce",
      "nonceless",
      "no nonce was sent: this may be a replay, and the policy does not allow that",
      true,
    );
  }
  if (ageSeconds < -clockSkewSeconds) {
    list.fail(
      "statement_age",
      "from_the_future",
      `more than ${clockSkewSeconds} s ahead of the clock`,
      age,
    );
  } else {list.expect(
      ageSeconds <= maxAgeSeconds,
      "statement_age",
      "too_old",
      `older than ${maxAgeSeconds} s`,
      age,
    );}
  return stated + maxAgeSeconds * 1000;
}

function checkIdentity(
  statement: SignedStatement,
  identity: Bytes,
  { node }: Policy,
  list: CheckList,
): void {
  const listed = (id: string, accepted: "any" | readonly string[], value: string, text: string) => {
    if (accepted === "any") {
      list.notApplicable(id, "not_demanded", "the policy does not look at it");
    } else list.expect(accepts(accepted, value), id, `unknown_${id}`, text, value);
  };
  listed(
    "config_digest",
    node.configDigests,
    statement.config_digest,
    "the policy does not list this configuration",
  );
  listed("store_id", node.storeIds, statement.store_id, "the policy does not list this store");
  listed(
    "incarnation",
    node.incarnations,
    statement.incarnation,
    "the policy does not list this incarnation of the store",
  );
  listed("enclave_id", node.enclaveIds, enclaveId(identity), "the policy does not list this node");
  checkSuccessors(statement, node.successors, list);
}

/** Who may open the store next is as good as who has it now. */
function checkSuccessors(
  { successors = [] }: SignedStatement,
  accepted: "any" | readonly string[],
  list: CheckList,
): void {
  if (successors.length === 0) return;
  const unknown = successors.filter((one) => accepted !== "any" && !accepts(accepted, one));
  if (unknown.length === 0) list.pass("successors", successors.join(", "));
  else {
    list.missing(
      "successors",
      "successor_authorized",
      `an admin authorised ${unknown.join(", ")} to open this store next; the policy does not ` +
        "list it under node.successors",
      true,
    );
  }
}

function checkEvidence(
  bundle: AttestationBundle,
  statement: SignedStatement,
  result: AttestationResult,
  list: CheckList,
): void {
  const wanted = EVIDENCE_MEDIA_TYPE[statement.tee_type];
  list.expect(
    bundle.evidence.media_type === wanted,
    "media_type",
    "wrong_media_type",
    `evidence of ${statement.tee_type} has type ${wanted}`,
    bundle.evidence.media_type,
  );
  const measured = measurementOf(result);
  list.expect(
    measured === statement.measurement,
    "stated_measurement",
    "measurement_mismatch",
    `the evidence measures ${measured ?? "nothing that could be read"}`,
    statement.measurement,
  );
}

function nodeClaims(statement: SignedStatement, identity: Bytes): Record<string, unknown> {
  return {
    enclave_id: enclaveId(identity),
    tee_type: statement.tee_type,
    security_level: statement.security_level,
    covers: statement.covers,
    nonce: statement.nonce,
    boot_id: statement.boot_id,
    identity_key: statement.identity_key,
    tls_key: statement.tls_key,
    config_digest: statement.config_digest,
    store_id: statement.store_id,
    incarnation: statement.incarnation,
    store_head: statement.store_head,
    successors: statement.successors ?? [],
    timestamp: statement.timestamp,
  };
}
