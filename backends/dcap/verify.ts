/**
 * What is true of a DCAP quote, without any policy: signatures, chains, and where the platform
 * stands according to Intel's signed documents. Every negative answer is a value.
 */
import { createHash } from "node:crypto";
import { BackendError } from "../errors.ts";
import { ecSpki } from "../signatures.ts";
import { buildPath, type Certificate } from "../x509/mod.ts";
import {
  type DcapCollateral,
  parseChain,
  rememberingParser,
  type SignedJson,
} from "./collateral.ts";
import {
  type DcapChain,
  type DcapContext,
  INTEL_NAMES,
  isSignedBy,
  verifyDcapChain,
} from "./context.ts";
import { decodePckExtension, type PckExtension, SGX_EXTENSION_OID } from "./pck_extension.ts";
import { CERTIFICATION_DATA, type DcapQuote } from "./quote.ts";
import { allZero, equalBytes } from "./reader.ts";
import type { QeIdentity, TcbInfo } from "./tcb_info.ts";
import {
  evaluateQe,
  evaluateTcb,
  findTdxModuleIdentity,
  type TcbEvaluation,
  tdxModuleId,
  type TeeTcb,
} from "./tcb.ts";

/** The part of a TD report that collateral says something about. */
export interface TdxModuleReport extends TeeTcb {
  /** 48 bytes. */
  readonly mrSignerSeam: Uint8Array;
  /** 8 bytes. */
  readonly seamAttributes: Uint8Array;
}

export interface PckFacts {
  readonly source: "quote" | "collateral";
  readonly chain: DcapChain;
  readonly extension: PckExtension | undefined;
  /** Why there is no extension. */
  readonly extensionProblem: string | undefined;
}

/** A signed document that was chosen, and whether it is Intel's. */
export interface DocumentFacts<Value> {
  readonly document: SignedJson<Value>;
  readonly signature: boolean;
  /** Signed, under a chain with no problem but perhaps its dates. */
  readonly authentic: boolean;
  readonly chain: DcapChain;
  readonly chainSource: "given" | "built-in";
}

export interface DcapFacts {
  readonly pck: PckFacts | undefined;
  /** Why there is no chain to look at. */
  readonly pckProblem: { readonly code: string; readonly text: string } | undefined;
  readonly qeReportSignature: boolean;
  /** The QE report's data is SHA-256 of attestation key and authentication data. */
  readonly keyBinding: boolean;
  readonly quoteSignature: boolean;
  /** For this TEE and, where there is one, this platform's FMSPC. */
  readonly tcbInfo: DocumentFacts<TcbInfo> | undefined;
  readonly qeIdentity: DocumentFacts<QeIdentity> | undefined;
  /** Fields of the QE report that differ from the identity; undefined without one. */
  readonly qeMismatches: readonly string[] | undefined;
  /**
   * Fields of the TDX module that differ from the TCB info, or without one from what every module of
   * Intel's has; undefined for SGX.
   */
  readonly moduleMismatches: readonly string[] | undefined;
  /** undefined: no authentic TCB info for this TEE and platform, or no PCK to tell. */
  readonly tcb: TcbEvaluation | undefined;
}

export interface DcapInput {
  readonly quote: DcapQuote;
  /** undefined for SGX. */
  readonly tdx: TdxModuleReport | undefined;
  readonly collateral: DcapCollateral;
  readonly context: DcapContext;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** @throws {BackendError} `config_invalid` when the clock is no number: every date would pass. */
export async function verifyDcap(input: DcapInput): Promise<DcapFacts> {
  const { quote, tdx, collateral, context } = input;
  if (!Number.isFinite(input.now)) {
    throw new BackendError("config_invalid", `the clock is ${input.now}`, { kind: quote.tee });
  }
  const attestationSpki = ecSpki("P-256", quote.attestationKey);
  const quoteSignature = await isSignedBy(
    context,
    attestationSpki,
    quote.signature,
    quote.signedBytes,
    false,
  );
  const bound = createHash("sha256").update(quote.attestationKey).update(quote.qeAuthData).digest();
  const found = await pckFacts(input);
  const pck = "chain" in found ? found : undefined;
  const leaf = pck?.chain.leaf;
  const qeReportSignature = leaf !== undefined && leaf.key.kind === "ec" &&
    leaf.key.curve === "P-256" &&
    await isSignedBy(context, leaf.spki, quote.qeReportSignature, quote.qeReportBytes, true);
  const chains = new Map<string, DcapChain>();
  const tcbInfo = await documentFacts(
    input,
    chains,
    chooseTcbInfo(collateral.tcbInfos, quote.tee, pck?.extension?.fmspc, input.now),
  );
  const qeIdentity = await documentFacts(
    input,
    chains,
    newest(collateral.qeIdentities, input.now, ({ id }) => id === expectedQeId(quote.tee)),
  );
  const info = tcbInfo?.document.value;
  const identity = qeIdentity?.document.value;
  return {
    pck,
    pckProblem: "chain" in found ? undefined : found,
    qeReportSignature,
    // The upper half is zero in what Intel's QE writes, and covered by the PCK's signature.
    keyBinding: equalBytes(quote.qeReport.reportData.subarray(0, 32), bound),
    quoteSignature,
    tcbInfo,
    qeIdentity,
    qeMismatches: identity === undefined ? undefined : qeMismatches(quote, identity),
    moduleMismatches: tdx === undefined ? undefined : moduleMismatches(info, tdx),
    tcb: info === undefined || pck?.extension === undefined ||
        !isFor(info, quote.tee, pck.extension) || tcbInfo?.authentic !== true ||
        qeIdentity?.authentic === false
      ? undefined
      : evaluateTcb(
        info,
        pck.extension,
        tdx,
        identity === undefined ? undefined : evaluateQe(identity, quote.qeReport.isvSvn),
      ),
  };
}

function isFor(info: TcbInfo, tee: DcapQuote["tee"], pck: PckExtension): boolean {
  return info.id === tee && equalBytes(info.fmspc, pck.fmspc) && equalBytes(info.pceId, pck.pceId);
}

export function expectedQeId(tee: "SGX" | "TDX"): QeIdentity["id"] {
  return tee === "SGX" ? "QE" : "TD_QE";
}

async function pckFacts(
  input: DcapInput,
): Promise<PckFacts | { readonly code: string; readonly text: string }> {
  const { quote, collateral, context, now } = input;
  const { type, data } = quote.certificationData;
  let chain: readonly Certificate[] | undefined;
  let source: PckFacts["source"] = "quote";
  if (type === CERTIFICATION_DATA.PCK_CHAIN || type === CERTIFICATION_DATA.PCK_LEAF) {
    try {
      chain = context.cache?.chain(data) ??
        parseChain(data, rememberingParser([context.root, ...allCertificates(collateral)]));
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      return { code: "malformed", text: `the quote's PCK certificates: ${error.message}` };
    }
    const [leaf, ...more] = chain;
    if (type === CERTIFICATION_DATA.PCK_LEAF && leaf !== undefined && more.length === 0) {
      chain = pathOf(leaf, collateral, context);
    }
  } else {
    source = "collateral";
    const leaf = await chooseLeaf(input);
    if (leaf !== undefined) chain = pathOf(leaf, collateral, context);
  }
  if (chain === undefined) {
    return {
      code: "pck_missing",
      text: `certification data of type ${type} has no PCK certificate, and none was given`,
    };
  }
  const verified = await verifyDcapChain(
    context,
    chain,
    [INTEL_NAMES.pck, INTEL_NAMES.pckAuthority],
    collateral.crls,
    now,
  );
  return { source, chain: verified, ...extensionOf(context, verified.leaf) };
}

function allCertificates({ chains, tcbInfos, qeIdentities }: DcapCollateral): Certificate[] {
  return [...chains, ...[...tcbInfos, ...qeIdentities].map(({ chain }) => chain ?? [])].flat();
}

/** A PCK certificate from the collateral; of several the one that signed the QE report. */
async function chooseLeaf(
  { quote, collateral, context }: DcapInput,
): Promise<Certificate | undefined> {
  const leaves = collateral.chains.flat().filter(({ subjectCommonName }) =>
    INTEL_NAMES.pck.some((name) => name === subjectCommonName)
  );
  for (const leaf of leaves) {
    const { qeReportSignature, qeReportBytes } = quote;
    if (await isSignedBy(context, leaf.spki, qeReportSignature, qeReportBytes, true)) return leaf;
  }
  return leaves[0];
}

/** Leaf and intermediates out of whatever was given; a leaf alone where there is no path. */
function pathOf(
  leaf: Certificate,
  collateral: DcapCollateral,
  { root }: DcapContext,
): readonly Certificate[] {
  return [leaf, ...buildPath(leaf, collateral.chains.flat(), root) ?? []];
}

function extensionOf(
  { cache }: DcapContext,
  leaf: Certificate | undefined,
): Pick<PckFacts, "extension" | "extensionProblem"> {
  const extension = leaf?.extensions.get(SGX_EXTENSION_OID);
  if (leaf === undefined || extension === undefined) {
    return { extension: undefined, extensionProblem: "the PCK certificate has no SGX extension" };
  }
  try {
    const decoded = cache?.pckExtension(leaf, extension.value) ??
      decodePckExtension(extension.value);
    return { extension: decoded, extensionProblem: undefined };
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    return { extension: undefined, extensionProblem: error.message };
  }
}

interface Dated {
  readonly issueDate: number;
  readonly nextUpdate: number;
}

/** Of those that fit, one that is valid now, and of these the one issued last. */
function newest<Value extends Dated>(
  documents: readonly SignedJson<Value>[],
  now: number,
  fits: (value: Value) => boolean,
): SignedJson<Value> | undefined {
  const current = ({ value }: SignedJson<Value>) =>
    value.issueDate <= now && now < value.nextUpdate ? 1 : 0;
  return documents.filter(({ value }) => fits(value)).sort((a, b) =>
    current(b) - current(a) || b.value.issueDate - a.value.issueDate
  )[0];
}

/** For this TEE and FMSPC; else one for this TEE, else any, so that the mismatch can be named. */
function chooseTcbInfo(
  documents: readonly SignedJson<TcbInfo>[],
  tee: "SGX" | "TDX",
  fmspc: Uint8Array | undefined,
  now: number,
): SignedJson<TcbInfo> | undefined {
  return newest(
    documents,
    now,
    (info) => info.id === tee && fmspc !== undefined && equalBytes(info.fmspc, fmspc),
  ) ?? newest(documents, now, (info) => info.id === tee) ?? newest(documents, now, () => true);
}

/** @param chains what was verified already in this run: both documents mostly share a chain. */
async function documentFacts<Value>(
  input: DcapInput,
  chains: Map<string, DcapChain>,
  document: SignedJson<Value> | undefined,
): Promise<DocumentFacts<Value> | undefined> {
  if (document === undefined) return undefined;
  const { context, collateral, now } = input;
  const verify = async (chain: readonly Certificate[]) => {
    const key = chain.map(({ fingerprint }) => fingerprint).join();
    const verified = chains.get(key) ??
      await verifyDcapChain(context, chain, [INTEL_NAMES.tcbSigning], collateral.crls, now);
    chains.set(key, verified);
    return verified;
  };
  const given = document.chain !== undefined
    ? [document.chain]
    : collateral.chains.filter(([leaf]) =>
      INTEL_NAMES.tcbSigning.some((name) => name === leaf?.subjectCommonName)
    );
  const candidates = given.length > 0 ? given : builtInChains(context, now);
  let chosen: DcapChain | undefined;
  for (const candidate of candidates) {
    const verified = await verify(candidate);
    chosen ??= verified;
    if (verified.problems.length === 0) {
      chosen = verified;
      break;
    }
  }
  if (chosen === undefined) chosen = await verify([]);
  const { leaf } = chosen;
  const signature = leaf !== undefined && leaf.key.kind === "ec" && leaf.key.curve === "P-256" &&
    await isSignedBy(context, leaf.spki, document.signature, document.text, true);
  return {
    document,
    signature,
    authentic: signature &&
      chosen.problems.every(({ code }) => code === "expired" || code === "not_yet_valid"),
    chain: chosen,
    chainSource: given.length > 0 ? "given" : "built-in",
  };
}

function builtInChains({ tcbSigning }: DcapContext, now: number): readonly Certificate[][] {
  const current = tcbSigning.filter(({ notBefore, notAfter }) =>
    notBefore <= now && now <= notAfter
  );
  return (current.length > 0 ? current : tcbSigning).map((certificate) => [certificate]);
}

/** QVL 4.1.2.9: the QE report against the identity, masks applied to the report. */
function qeMismatches({ qeReport }: DcapQuote, identity: QeIdentity): string[] {
  const mismatches: string[] = [];
  const miscSelect = new Uint8Array(4);
  new DataView(miscSelect.buffer).setUint32(0, qeReport.miscSelect, true);
  if (!equalsMasked(miscSelect, identity.miscSelectMask, identity.miscSelect)) {
    mismatches.push("miscselect");
  }
  if (!equalsMasked(qeReport.attributes, identity.attributesMask, identity.attributes)) {
    mismatches.push("attributes");
  }
  if (!equalBytes(qeReport.mrSigner, identity.mrSigner)) mismatches.push("mrsigner");
  if (qeReport.isvProdId !== identity.isvProdId) mismatches.push("isvprodid");
  return mismatches;
}

function equalsMasked(value: Uint8Array, mask: Uint8Array, expected: Uint8Array): boolean {
  return value.every((byte, i) => (byte & (mask[i] ?? 0)) === expected[i]);
}

/** What every module signed by Intel reports; also what TCB info has said so far. */
const INTEL_MODULE = { mrSigner: new Uint8Array(48), attributes: new Uint8Array(8) };

/** QVL 4.1.2.4.11: signer and attributes of the TDX module against TCB info. */
function moduleMismatches(info: TcbInfo | undefined, tdx: TdxModuleReport): string[] {
  const version = tdx.teeTcbSvn[1] ?? 0;
  const expected = info === undefined
    ? INTEL_MODULE
    : version === 0
    ? info.tdxModule
    : findTdxModuleIdentity(info, version);
  if (expected === undefined) return [`no identity ${tdxModuleId(version)}`];
  const mismatches: string[] = [];
  if (!equalBytes(tdx.mrSignerSeam, expected.mrSigner)) mismatches.push("mr_signer_seam");
  if (!allZero(tdx.seamAttributes) || !equalBytes(tdx.seamAttributes, expected.attributes)) {
    mismatches.push("seam_attributes");
  }
  return mismatches;
}
