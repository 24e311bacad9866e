/** `@phala/dcap-qvl`, the second opinion: the same inputs in the shape it takes. */
import peer from "@phala/dcap-qvl";
import { Buffer } from "node:buffer";
import * as v from "valibot";
import { INTEL_SGX_ROOT_CA } from "../../backends/roots/mod.ts";
import { collectCollateral } from "../../backends/dcap/collateral.ts";
import { INTEL_TCB_SIGNING } from "../../backends/dcap/tcb_signing.ts";
import type { Bytes, Endorsement } from "../../backends/mod.ts";
import type { Certificate } from "../../backends/x509/mod.ts";
import { pem } from "./intel_der.ts";

export interface PeerCollateral {
  readonly pck_crl_issuer_chain: string;
  readonly root_ca_crl: string;
  readonly pck_crl: string;
  readonly tcb_info_issuer_chain: string;
  readonly tcb_info: string;
  readonly tcb_info_signature: string;
  readonly qe_identity_issuer_chain: string;
  readonly qe_identity: string;
  readonly qe_identity_signature: string;
}

export type PeerVerdict =
  | { readonly accepted: true; readonly status: string; readonly advisories: readonly string[] }
  | { readonly accepted: false; readonly reason: string };

const Accepted = v.looseObject({ status: v.string(), advisory_ids: v.array(v.string()) });

/** undefined where an item is missing that the peer cannot do without. */
export function peerCollateral(endorsements: readonly Endorsement[]): PeerCollateral | undefined {
  const { tcbInfos, qeIdentities, crls, chains } = collectCollateral(endorsements);
  const [tcbInfo] = tcbInfos;
  const [qeIdentity] = qeIdentities;
  const rootCrl = crls.find(({ issuerName }) => issuerName.includes("Root"));
  const pckCrl = crls.find(({ issuerName }) => issuerName.includes("PCK"));
  if (
    tcbInfo === undefined || qeIdentity === undefined || rootCrl === undefined ||
    pckCrl === undefined
  ) return undefined;
  const text = (bytes: Bytes) => new TextDecoder().decode(bytes);
  const toPem = (chain: readonly Certificate[] | undefined) =>
    (chain?.map(({ raw }) => raw) ??
      [INTEL_TCB_SIGNING[0]?.der, INTEL_SGX_ROOT_CA.der].map((der) =>
        Uint8Array.fromBase64(der ?? "")
      )).map((der) => pem("CERTIFICATE", der)).join("");
  const loose = chains.find(([leaf]) => leaf?.subjectCommonName?.includes("TCB Signing"));
  return {
    pck_crl_issuer_chain: "",
    root_ca_crl: rootCrl.raw.toHex(),
    pck_crl: pckCrl.raw.toHex(),
    tcb_info_issuer_chain: toPem(tcbInfo.chain ?? loose),
    tcb_info: text(tcbInfo.text),
    tcb_info_signature: tcbInfo.signature.toHex(),
    qe_identity_issuer_chain: toPem(qeIdentity.chain ?? loose),
    qe_identity: text(qeIdentity.text),
    qe_identity_signature: qeIdentity.signature.toHex(),
  };
}

/**
 * @param root DER.
 * @param now milliseconds since the epoch.
 */
export function peerVerify(
  quote: Bytes,
  collateral: PeerCollateral,
  root: Bytes | undefined,
  now: number,
): PeerVerdict {
  const verifier = root === undefined
    ? peer.QuoteVerifier.newProd()
    : peer.QuoteVerifier.newWithRootCa(Buffer.from(root));
  try {
    const report: unknown = verifier.verify(quote, collateral, Math.floor(now / 1000));
    const { status, advisory_ids } = v.parse(Accepted, report);
    return { accepted: true, status, advisories: [...new Set(advisory_ids)].sort() };
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error
      ? `: ${error.cause.message}`
      : "";
    return { accepted: false, reason: `${error instanceof Error ? error.message : error}${cause}` };
  }
}
