/**
 * The node's own evidence: report data that binds freshness, keys, configuration and store, handed
 * to the TEE, and the statement that the identity key signs beside it (docs/ARCHITECTURE.md).
 */
import { createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";
import { Buffer } from "node:buffer";
import {
  type AttestationBundle,
  attestationSignatureInput,
  enclaveId,
  evidenceToWire,
  reportData,
  type SignedStatement,
} from "../backends/attestation.ts";
import type { Attester, Bytes, Evidence } from "../backends/mod.ts";
import type { Clock, NodeAttestor, TeeFacts } from "./deps.ts";
import type { StoreHead } from "../store/mod.ts";

/** DER of a PKCS #8 Ed25519 key up to the 32-byte seed (RFC 8410, 7). */
const PKCS8_ED25519_PREFIX = Uint8Array.fromHex("302e020100300506032b657004220420");

/** The node's identity: an Ed25519 key made from 32 secret bytes. */
export interface NodeIdentity {
  readonly key: KeyObject;
  /** DER SubjectPublicKeyInfo, 44 bytes. */
  readonly spki: Bytes;
}

/** @param seed 32 bytes; wiped before returning. */
export function nodeIdentity(seed: Bytes): NodeIdentity {
  if (seed.length !== 32) throw new RangeError(`an Ed25519 seed has 32 bytes, not ${seed.length}`);
  const der = Buffer.concat([PKCS8_ED25519_PREFIX, seed]);
  const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  der.fill(0);
  seed.fill(0);
  return {
    key,
    spki: new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" })),
  };
}

export interface NodeAttestorOptions {
  readonly tee: TeeFacts;
  readonly attester: Attester;
  readonly identity: NodeIdentity;
  /** SPKI and the DER certificate of the day; undefined where there is no TLS listener. */
  readonly tls: { readonly certificate: () => Bytes; readonly spki: Bytes } | undefined;
  /** Of the configuration in force: an admin may change it while the master runs. */
  readonly configDigest: () => Bytes;
  readonly storeId: Bytes;
  readonly incarnation: Bytes;
  /** 16 bytes, drawn at this start. */
  readonly bootId: Bytes;
  readonly storeHead: () => StoreHead;
  /** Measurements, hex, that may open the store after an upgrade; none unless given. */
  readonly successors?: () => readonly string[];
  readonly clock: Clock;
  /** Evidence without a nonce is kept this long; the node re-attests hourly. */
  readonly reattestAfterMs: number;
}

/** Makes the answers of `/api/v1/attestation`. Nothing is attested before the first call. */
export function createNodeAttestor(options: NodeAttestorOptions): NodeAttestor {
  const { tee, attester, identity, tls, clock } = options;
  const tlsSpki = tls?.spki ?? new Uint8Array(0);
  const id = enclaveId(identity.spki);
  let nonceless: {
    readonly madeAt: number;
    readonly configDigest: Bytes;
    readonly evidence: Promise<Evidence>;
  } | undefined;

  function attest(nonce: Bytes | undefined, configDigest: Bytes): Promise<Evidence> {
    return attester.attest(reportData({
      nonce,
      bootId: options.bootId,
      identitySpki: identity.spki,
      tlsSpki,
      configDigest,
      storeId: options.storeId,
      incarnation: options.incarnation,
    }));
  }

  /** One call to the TEE serves everybody who asks without a nonce. A failure is not kept. */
  function noncelessEvidence(configDigest: Bytes): Promise<Evidence> {
    const age = nonceless === undefined ? Infinity : clock() - nonceless.madeAt;
    const isFresh = age >= 0 && age < options.reattestAfterMs;
    if (nonceless !== undefined && isFresh && nonceless.configDigest === configDigest) {
      return nonceless.evidence;
    }
    const fresh = { madeAt: clock(), configDigest, evidence: attest(undefined, configDigest) };
    nonceless = fresh;
    fresh.evidence.catch(() => {
      if (nonceless === fresh) nonceless = undefined;
    });
    return fresh.evidence;
  }

  return {
    enclaveId: id,
    async attestation(nonce): Promise<AttestationBundle> {
      if (nonce !== undefined && (nonce.length < 8 || nonce.length > 64)) {
        throw new RangeError(`a nonce has 8 to 64 bytes, not ${nonce.length}`);
      }
      const configDigest = options.configDigest();
      const evidence =
        await (nonce === undefined ? noncelessEvidence(configDigest) : attest(nonce, configDigest));
      const head = options.storeHead();
      const successors = options.successors?.() ?? [];
      const measurement = tee.measurement.toHex();
      const timestamp = Math.floor(clock() / 1000);
      const statement: SignedStatement = {
        v: 1,
        nonce: nonce?.toHex() ?? null,
        boot_id: options.bootId.toHex(),
        identity_key: identity.spki.toBase64(),
        tls_key: tlsSpki.toBase64(),
        config_digest: configDigest.toHex(),
        store_id: options.storeId.toHex(),
        incarnation: options.incarnation.toHex(),
        store_head: { sequence: head.sequence.toString(), digest: head.digest.toHex() },
        tee_type: tee.kind,
        security_level: tee.securityLevel,
        covers: tee.covers,
        measurement,
        ...(successors.length === 0 ? {} : { successors }),
        timestamp,
      };
      const signed = new TextEncoder().encode(JSON.stringify(statement));
      const signature = sign(null, attestationSignatureInput(signed), identity.key);
      return {
        enclave_id: id,
        tee_type: tee.kind,
        security_level: tee.securityLevel,
        covers: tee.covers,
        measurement,
        timestamp,
        certificate: tls?.certificate().toBase64() ?? "",
        signed: signed.toBase64(),
        signature: signature.toString("base64"),
        evidence: evidenceToWire(evidence),
      };
    },
  };
}
