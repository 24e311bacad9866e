/** A node's attestation bundle made for tests, on SEV-SNP evidence under a test root. */
import {
  type AttestationBundle,
  attestationSignatureInput,
  enclaveId,
  EVIDENCE_MEDIA_TYPE,
  reportData,
  type SignedStatement,
} from "../../backends/attestation.ts";
import type { Bytes } from "../../backends/mod.ts";
import type { SevSnpRoots } from "../../backends/sev_snp/roots.ts";
import { makeAuthorities, makeLeaf, makeReport, rootsOf, SNP_NOW } from "./snp.ts";
import { makeCertificate, makeKey, type TestKey } from "./pki.ts";

export interface TestNode {
  readonly roots: SevSnpRoots;
  readonly tlsKey: TestKey;
  readonly tlsCertificate: Bytes;
  /** The answer to a nonce, or to none. */
  answer(nonce: Bytes | undefined, change?: BundleChange): Promise<AttestationBundle>;
}

export interface BundleChange {
  /** Before signing. */
  readonly statement?: (statement: Record<string, unknown>) => void;
  /** After signing. */
  readonly bundle?: (bundle: Record<string, unknown>) => void;
  readonly certificate?: Bytes;
  /** Seconds since the epoch. */
  readonly timestamp?: number;
  /** Report data in place of the right one. */
  readonly reportData?: Bytes;
}

export const NODE = {
  bootId: new Uint8Array(16).fill(1),
  configDigest: new Uint8Array(32).fill(2),
  storeId: new Uint8Array(16).fill(3),
  incarnation: new Uint8Array(16).fill(4),
} as const;

export async function makeNode(): Promise<TestNode> {
  const authorities = await makeAuthorities("Milan");
  const [chipKey, tlsKey] = await Promise.all([makeKey("P-384"), makeKey("P-256")]);
  const vcek = await makeLeaf(authorities, chipKey);
  const identity = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  if (!("publicKey" in identity)) throw new Error("no key pair");
  const { privateKey } = identity;
  const identitySpki = new Uint8Array(await crypto.subtle.exportKey("spki", identity.publicKey));
  const year = 365 * 86_400_000;
  const tlsCertificate = await makeCertificate({
    subject: "localhost",
    issuer: "localhost",
    key: tlsKey,
    issuerKey: tlsKey,
    notBefore: SNP_NOW - year,
    notAfter: SNP_NOW + year,
  });

  async function answer(
    nonce: Bytes | undefined,
    change: BundleChange = {},
  ): Promise<AttestationBundle> {
    const data = change.reportData ??
      reportData({ nonce, identitySpki, tlsSpki: tlsKey.spki, ...NODE });
    const report = await makeReport("Milan", chipKey, { change: (bytes) => bytes.set(data, 0x50) });
    const statement: SignedStatement = {
      v: 1,
      nonce: nonce?.toHex() ?? null,
      boot_id: NODE.bootId.toHex(),
      identity_key: identitySpki.toBase64(),
      tls_key: tlsKey.spki.toBase64(),
      config_digest: NODE.configDigest.toHex(),
      store_id: NODE.storeId.toHex(),
      incarnation: NODE.incarnation.toHex(),
      store_head: { sequence: "42", digest: "00".repeat(64) },
      tee_type: "SEV",
      security_level: 2,
      covers: "image",
      measurement: "11".repeat(48),
      timestamp: change.timestamp ?? SNP_NOW / 1000,
    };
    const inner: Record<string, unknown> = { ...statement };
    change.statement?.(inner);
    const signed = new TextEncoder().encode(JSON.stringify(inner));
    const signature = new Uint8Array(
      await crypto.subtle.sign("Ed25519", privateKey, attestationSignatureInput(signed)),
    );
    const { tee_type, security_level, covers, measurement, timestamp } = statement;
    const bundle: AttestationBundle = {
      enclave_id: enclaveId(identitySpki),
      tee_type,
      security_level,
      covers,
      measurement,
      timestamp,
      certificate: (change.certificate ?? tlsCertificate).toBase64(),
      signed: signed.toBase64(),
      signature: signature.toBase64(),
      evidence: {
        media_type: EVIDENCE_MEDIA_TYPE.SEV,
        data: report.toBase64(),
        endorsements: [{ type: "vcek", data: vcek.toBase64() }],
      },
    };
    const outer: Record<string, unknown> = structuredClone({ ...bundle });
    change.bundle?.(outer);
    return { ...bundle, ...outer };
  }
  return { roots: rootsOf(authorities), tlsKey, tlsCertificate, answer };
}
