/** A platform under the test hierarchy: quotes it makes, collateral that judges it. */
import { sha256 } from "@noble/hashes/sha2.js";
import type { Bytes, Endorsement } from "../../backends/mod.ts";
import { concat } from "./intel_der.ts";
import {
  type IntelPki,
  type KeyPair,
  makeCrl,
  makeIntelPki,
  makeKey,
  makePck,
  NAMES,
  type PckAuthority,
  pemChain,
  sign,
} from "./intel_pki.ts";

const DAY_MS = 86_400_000;
/** Every platform is made valid around this clock. */
export const TEST_NOW = Date.UTC(2026, 5, 15, 12);

const QE_SIGNER: Readonly<Record<"SGX" | "TDX", string>> = {
  SGX: "8c4f5775d796503e96137f77c68a829a0056ac8ded70140b081b094490c57bff",
  TDX: "dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5",
};

/** Everything that a test may want otherwise. */
export interface PlatformSpec {
  readonly tee: "SGX" | "TDX";
  /** SGX 3, 4 or 5; TDX 4 or 5. */
  readonly quoteVersion: 3 | 4 | 5;
  /** TDX body: 2 (1.0) or 3 (1.5, quote version 5 only). */
  readonly bodyType: 1 | 2 | 3;
  readonly authority: PckAuthority;
  readonly fmspc: string;
  readonly components: readonly number[];
  readonly pceSvn: number;
  readonly qeIsvSvn: number;
  /** Overwrites bytes of the report body: offset to hex. */
  readonly body: Readonly<Record<number, string>>;
  readonly qeBody: Readonly<Record<number, string>>;
  readonly tcbInfo: (info: TcbInfoJson) => TcbInfoJson;
  readonly qeIdentity: (identity: QeIdentityJson) => QeIdentityJson;
  /** Serials on the PCK CA's and the root's list. */
  readonly revokedByAuthority: readonly (keyof typeof NAMES)[];
  readonly revokedByRoot: readonly (keyof typeof NAMES)[];
  readonly crlDates: { readonly thisUpdate: number; readonly nextUpdate: number };
  readonly pckDates: { readonly notBefore?: number; readonly notAfter?: number };
}

type Json = string | number | readonly Json[] | { readonly [name: string]: Json };
export type TcbInfoJson = { readonly [name: string]: Json };
export type QeIdentityJson = { readonly [name: string]: Json };

export const DEFAULT_SPEC: Omit<PlatformSpec, "tee" | "quoteVersion" | "bodyType"> = {
  authority: "platform",
  fmspc: "00a0b1c2d3e4",
  components: [5, 5, 2, 2, 3, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0],
  pceSvn: 11,
  qeIsvSvn: 6,
  body: {},
  qeBody: {},
  tcbInfo: (info) => info,
  qeIdentity: (identity) => identity,
  revokedByAuthority: [],
  revokedByRoot: [],
  crlDates: { thisUpdate: TEST_NOW - DAY_MS, nextUpdate: TEST_NOW + 29 * DAY_MS },
  pckDates: {},
};

/** The pieces of a version 3 quote that do not depend on who is quoted. */
export interface QuotingParts {
  /** 48 bytes. */
  readonly header: Bytes;
  /** Signs header and report body; DER of PKCS #8. */
  readonly attestationKey: Bytes;
  /** 64 bytes, x then y. */
  readonly attestationXy: Bytes;
  /** What stands behind the attestation key: the QE's report, its signature, the PCK chain. */
  readonly certified: Bytes;
}

export interface Platform {
  readonly pki: IntelPki;
  readonly quote: Bytes;
  /** PEM chain inside the quote. */
  readonly pckChain: Bytes;
  /** What a quoting enclave of this platform brings to its quotes. */
  readonly quoting: QuotingParts;
  /** What a relying party would be given. */
  readonly endorsements: readonly Endorsement[];
  readonly parts: {
    readonly tcbInfo: Bytes;
    readonly qeIdentity: Bytes;
    readonly tcbSigningChain: Bytes;
    readonly rootCrl: Bytes;
    readonly pckCrl: Bytes;
  };
}

const isoDate = (ms: number) => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
const zeros = (bytes: number) => "00".repeat(bytes);

export function tcbLevel(
  spec: Pick<PlatformSpec, "tee" | "components" | "pceSvn">,
  status: string,
  lower = 0,
  tdx: readonly number[] = [3, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
): Json {
  const svns = (values: readonly number[]) =>
    values.map((svn) => ({ svn: Math.max(0, svn - lower) }));
  return {
    tcb: {
      sgxtcbcomponents: svns(spec.components),
      pcesvn: spec.pceSvn,
      ...(spec.tee === "TDX" ? { tdxtcbcomponents: svns(tdx) } : {}),
    },
    tcbDate: isoDate(TEST_NOW - 100 * DAY_MS),
    tcbStatus: status,
    ...(status === "UpToDate" ? {} : { advisoryIDs: ["INTEL-SA-00001"] }),
  };
}

export function moduleIdentity(id: string, levels: readonly (readonly [number, string])[]): Json {
  return {
    id,
    mrsigner: zeros(48),
    attributes: zeros(8),
    attributesMask: "ff".repeat(8),
    tcbLevels: levels.map(([isvsvn, tcbStatus]) => ({
      tcb: { isvsvn },
      tcbDate: isoDate(TEST_NOW - 100 * DAY_MS),
      tcbStatus,
    })),
  };
}

function tcbInfoJson(spec: PlatformSpec): TcbInfoJson {
  const tdx: TcbInfoJson = spec.tee === "SGX" ? {} : {
    tdxModule: { mrsigner: zeros(48), attributes: zeros(8), attributesMask: "ff".repeat(8) },
    tdxModuleIdentities: [moduleIdentity("TDX_01", [[3, "UpToDate"], [1, "OutOfDate"]])],
  };
  return {
    id: spec.tee,
    version: 3,
    issueDate: isoDate(TEST_NOW - DAY_MS),
    nextUpdate: isoDate(TEST_NOW + 29 * DAY_MS),
    fmspc: spec.fmspc.toUpperCase(),
    pceId: "0000",
    tcbType: 0,
    tcbEvaluationDataNumber: 18,
    ...tdx,
    tcbLevels: [tcbLevel(spec, "UpToDate"), tcbLevel(spec, "OutOfDate", 1)],
  };
}

function qeIdentityJson(spec: PlatformSpec): QeIdentityJson {
  return {
    id: spec.tee === "SGX" ? "QE" : "TD_QE",
    version: 2,
    issueDate: isoDate(TEST_NOW - DAY_MS),
    nextUpdate: isoDate(TEST_NOW + 29 * DAY_MS),
    tcbEvaluationDataNumber: 18,
    miscselect: "00000000",
    miscselectMask: "FFFFFFFF",
    attributes: "11000000000000000000000000000000",
    attributesMask: "FBFFFFFFFFFFFFFF0000000000000000",
    mrsigner: QE_SIGNER[spec.tee].toUpperCase(),
    isvprodid: spec.tee === "SGX" ? 1 : 2,
    tcbLevels: [6, 5].map((isvsvn, i) => ({
      tcb: { isvsvn },
      tcbDate: isoDate(TEST_NOW - 100 * DAY_MS),
      tcbStatus: i === 0 ? "UpToDate" : "OutOfDate",
    })),
  };
}

function overwrite(bytes: Bytes, patches: Readonly<Record<number, string>>): Bytes {
  for (const [offset, hex] of Object.entries(patches)) {
    bytes.set(Uint8Array.fromHex(hex), Number(offset));
  }
  return bytes;
}

function enclaveReport(patches: Readonly<Record<number, string>>): Bytes {
  const report = new Uint8Array(384);
  report.set([5, 0, 0, 0, 0, 0, 0, 0, 0xe7], 48);
  report.fill(0x11, 64, 96);
  report.fill(0x22, 128, 160);
  report.fill(0x33, 320, 384);
  return overwrite(report, patches);
}

function tdReport(bodyType: 2 | 3, patches: Readonly<Record<number, string>>): Bytes {
  const report = new Uint8Array(bodyType === 2 ? 584 : 648);
  report.set([3, 1, 5], 0);
  report.fill(0x44, 16, 64);
  report.set([0, 0, 0, 0x10], 120);
  report.set([0xe7, 0x02, 0x06], 128);
  report.fill(0x55, 136, 184);
  report.fill(0x33, 520, 584);
  if (bodyType === 3) report.set([3, 1, 5], 584);
  return overwrite(report, patches);
}

function u16(value: number): Bytes {
  return Uint8Array.of(value & 0xff, value >> 8);
}

function u32(value: number): Bytes {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

function header(spec: PlatformSpec): Bytes {
  return concat(
    u16(spec.quoteVersion),
    u16(2),
    u32(spec.tee === "SGX" ? 0 : 0x81),
    u32(0),
    Uint8Array.fromHex("939a7233f79c4ca9940a0db3957f0607"),
    new Uint8Array(20).fill(0x77),
  );
}

/** The QE's report over the attestation key, signed by the PCK, with the chain. */
async function certified(
  spec: PlatformSpec,
  pki: IntelPki,
  attestation: KeyPair,
  pckChain: Bytes,
): Promise<Bytes> {
  const auth = Uint8Array.from({ length: 32 }, (_, i) => i);
  const qeReport = new Uint8Array(384);
  qeReport.set([0x15, 0, 0, 0, 0, 0, 0, 0, 0xe7], 48);
  qeReport.fill(0x66, 64, 96);
  qeReport.set(Uint8Array.fromHex(QE_SIGNER[spec.tee]), 128);
  qeReport.set(u16(spec.tee === "SGX" ? 1 : 2), 256);
  qeReport.set(u16(spec.qeIsvSvn), 258);
  qeReport.set(sha256(concat(attestation.xy, auth)), 320);
  overwrite(qeReport, spec.qeBody);
  const signature = await sign(pki.keys.pck, qeReport);
  return concat(
    qeReport,
    signature,
    u16(auth.length),
    auth,
    u16(5),
    u32(pckChain.length),
    pckChain,
  );
}

async function quotingParts(
  spec: PlatformSpec,
  attestation: KeyPair,
  certifiedBytes: Bytes,
): Promise<QuotingParts> {
  return {
    header: header(spec),
    attestationKey: new Uint8Array(
      await crypto.subtle.exportKey("pkcs8", attestation.privateKey),
    ),
    attestationXy: attestation.xy,
    certified: certifiedBytes,
  };
}

async function makeQuote(
  spec: PlatformSpec,
  attestation: KeyPair,
  inner: Bytes,
): Promise<Bytes> {
  const body = spec.bodyType === 1 ? enclaveReport(spec.body) : tdReport(spec.bodyType, spec.body);
  const descriptor = spec.quoteVersion === 5
    ? concat(u16(spec.bodyType), u32(body.length))
    : new Uint8Array();
  const signed = concat(header(spec), descriptor, body);
  const data = concat(
    await sign(attestation, signed),
    attestation.xy,
    spec.quoteVersion === 3 ? inner : concat(u16(6), u32(inner.length), inner),
  );
  return concat(signed, u32(data.length), data);
}

/** `{"<member>":…,"signature":"…"}` as Intel's service writes it. */
export async function signedReply(
  pki: IntelPki,
  member: "tcbInfo" | "enclaveIdentity",
  json: TcbInfoJson | QeIdentityJson,
  key: KeyPair = pki.keys.tcbSigning,
): Promise<Bytes> {
  const text = JSON.stringify(json);
  const signature = await sign(key, new TextEncoder().encode(text));
  return new TextEncoder().encode(`{"${member}":${text},"signature":"${signature.toHex()}"}`);
}

export type PlatformOptions =
  & Pick<PlatformSpec, "tee" | "quoteVersion" | "bodyType">
  & Partial<PlatformSpec>;

let sharedPki: Promise<IntelPki> | undefined;

/** One hierarchy for all tests of a run: key generation is what takes time. */
export function testPki(): Promise<IntelPki> {
  return sharedPki ??= makeIntelPki(TEST_NOW - 365 * DAY_MS, TEST_NOW + 3650 * DAY_MS);
}

/** A platform, its quote and its collateral; what is not said is good and up to date. */
export async function makePlatform(
  options: PlatformOptions,
  pki?: IntelPki,
): Promise<Platform> {
  const spec: PlatformSpec = { ...DEFAULT_SPEC, ...options };
  const made = pki ?? await testPki();
  const pck = await makePck(
    made,
    spec.authority,
    {
      fmspc: Uint8Array.fromHex(spec.fmspc),
      pceId: new Uint8Array(2),
      components: spec.components,
      pceSvn: spec.pceSvn,
    },
    spec.pckDates,
  );
  const pckChain = concat(
    pemChain(pck, made.authorities[spec.authority], made.root),
    Uint8Array.of(0),
  );
  const serialsOf = (who: readonly (keyof typeof NAMES)[]) => who.map((name) => made.serials[name]);
  const rootCrl = await makeCrl({
    issuer: NAMES.root,
    issuerKey: made.keys.root,
    revoked: serialsOf(spec.revokedByRoot),
    ...spec.crlDates,
  });
  const pckCrl = await makeCrl({
    issuer: NAMES[spec.authority],
    issuerKey: made.keys[spec.authority],
    revoked: serialsOf(spec.revokedByAuthority),
    ...spec.crlDates,
  });
  const tcbInfo = await signedReply(made, "tcbInfo", spec.tcbInfo(tcbInfoJson(spec)));
  const qeIdentity = await signedReply(
    made,
    "enclaveIdentity",
    spec.qeIdentity(qeIdentityJson(spec)),
  );
  const tcbSigningChain = pemChain(made.tcbSigning, made.root);
  const attestation = await makeKey();
  const inner = await certified(spec, made, attestation, pckChain);
  const parts = { tcbInfo, qeIdentity, tcbSigningChain, rootCrl, pckCrl };
  return {
    pki: made,
    quote: await makeQuote(spec, attestation, inner),
    pckChain,
    quoting: await quotingParts(spec, attestation, inner),
    endorsements: Object.entries(parts).map(([type, data]) => ({ type, data })),
    parts,
  };
}
