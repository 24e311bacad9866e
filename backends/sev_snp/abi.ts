/**
 * SEV-SNP's bytes: ATTESTATION_REPORT, TCB_VERSION, guest policy, the certificate table of an
 * extended report. Source: AMD 56860, SEV Secure Nested Paging Firmware ABI, 1.58, tables 3, 9, 23;
 * 56421, GHCB, 4.1.8.1 (certificate table). Pure; integers are little-endian.
 */
import { BackendError, type Bytes } from "../mod.ts";

export const REPORT_BYTES = 1184;
/** The signature covers the bytes before this offset. */
export const SIGNED_BYTES = 0x2a0;
export const SIGNATURE_BYTES = 0x200;
/** r and s are little-endian in fields of this size, of which P-384 fills 48. */
export const SCALAR_FIELD_BYTES = 72;

/** Security versions of the firmware's parts. `fmc` exists from Turin (family 1Ah) on. */
export interface TcbVersion {
  readonly fmc: number | undefined;
  readonly bootloader: number;
  readonly tee: number;
  readonly snp: number;
  readonly microcode: number;
  /** Reserved bytes that are not zero. */
  readonly reservedClear: boolean;
}

export interface FirmwareVersion {
  readonly major: number;
  readonly minor: number;
  readonly build: number;
}

export interface GuestPolicy {
  readonly raw: bigint;
  readonly abiMinor: number;
  readonly abiMajor: number;
  readonly smt: boolean;
  /** Bit 17, which must be one. */
  readonly reservedOne: boolean;
  readonly migrationAgent: boolean;
  readonly debug: boolean;
  readonly singleSocket: boolean;
  readonly cxl: boolean;
  readonly aes256Xts: boolean;
  readonly raplDisabled: boolean;
  readonly ciphertextHiding: boolean;
  readonly pageSwapDisabled: boolean;
  /** Bits 26 to 63, which no known version gives a meaning. */
  readonly reservedClear: boolean;
}

export type SigningKey = "VCEK" | "VLEK" | "none" | "reserved";

/** A TCB's eight bytes; which layout they have depends on the product. */
export type RawTcb = Bytes;

export interface SnpReport {
  readonly raw: Bytes;
  readonly version: number;
  readonly guestSvn: number;
  readonly policy: GuestPolicy;
  readonly familyId: Bytes;
  readonly imageId: Bytes;
  readonly vmpl: number;
  /** 1: ECDSA P-384 with SHA-384. */
  readonly signatureAlgorithm: number;
  readonly currentTcb: RawTcb;
  readonly platformInfo: bigint;
  readonly keyInfo: number;
  readonly authorKeyEnabled: boolean;
  readonly maskChipKey: boolean;
  readonly signingKey: SigningKey;
  readonly reportData: Bytes;
  readonly measurement: Bytes;
  readonly hostData: Bytes;
  readonly idKeyDigest: Bytes;
  readonly authorKeyDigest: Bytes;
  readonly reportId: Bytes;
  readonly reportIdMa: Bytes;
  readonly reportedTcb: RawTcb;
  /** CPUID family, model and stepping; undefined below version 3, which has no such field. */
  readonly cpuid:
    | { readonly family: number; readonly model: number; readonly stepping: number }
    | undefined;
  readonly chipId: Bytes;
  readonly committedTcb: RawTcb;
  readonly currentFirmware: FirmwareVersion;
  readonly committedFirmware: FirmwareVersion;
  readonly launchTcb: RawTcb;
  /** From version 5 on. */
  readonly launchMitigations: bigint | undefined;
  readonly currentMitigations: bigint | undefined;
  /** Names of must-be-zero ranges (of the report's own version) that are not zero. */
  readonly reservedSet: readonly string[];
  /** r ‖ s, big-endian, 96 bytes; undefined where the upper field bytes are not zero. */
  readonly signature: Bytes | undefined;
  readonly signed: Bytes;
}

/** Must-be-zero ranges by the versions they are reserved in; later versions may give them a meaning. */
const RESERVED: readonly { name: string; start: number; end: number; from: number; to: number }[] =
  [
    { name: "0x04C", start: 0x4c, end: 0x50, from: 2, to: Infinity },
    { name: "0x188", start: 0x188, end: 0x1a0, from: 2, to: 2 },
    { name: "0x18B", start: 0x18b, end: 0x1a0, from: 3, to: 5 },
    { name: "0x1EB", start: 0x1eb, end: 0x1ec, from: 2, to: 5 },
    { name: "0x1EF", start: 0x1ef, end: 0x1f0, from: 2, to: 5 },
    { name: "0x1F8", start: 0x1f8, end: 0x2a0, from: 2, to: 4 },
    { name: "0x208", start: 0x208, end: 0x2a0, from: 5, to: 5 },
    // The signature's fields; unsigned, so anything here would be a hiding place.
    { name: "0x330", start: 0x330, end: 0x4a0, from: 2, to: Infinity },
  ];

/**
 * Decodes a report. Field rules are by version, not by equality; what is judged is appraise.ts.
 * @throws {BackendError} `malformed`: not 1184 bytes
 */
export function parseReport(bytes: Uint8Array): SnpReport {
  if (bytes.length !== REPORT_BYTES) {
    throw new BackendError(
      "malformed",
      `SNP report: ${bytes.length} bytes, ${REPORT_BYTES} are wanted`,
      { kind: "SEV" },
    );
  }
  const raw = new Uint8Array(bytes);
  const view = new DataView(raw.buffer);
  const at = (offset: number, length: number): Bytes => raw.subarray(offset, offset + length);
  const u8 = (offset: number): number => view.getUint8(offset);
  const version = view.getUint32(0, true);
  const keyInfo = view.getUint32(0x48, true);
  const reservedSet = RESERVED
    .filter(({ from, to, start, end }) =>
      version >= from && version <= to && raw.subarray(start, end).some((byte) => byte !== 0)
    )
    .map(({ name }) => name);
  if (keyInfo >>> 5 !== 0) reservedSet.push("key info 31:5");
  return {
    raw,
    version,
    guestSvn: view.getUint32(0x04, true),
    policy: guestPolicy(view.getBigUint64(0x08, true)),
    familyId: at(0x10, 16),
    imageId: at(0x20, 16),
    vmpl: view.getUint32(0x30, true),
    signatureAlgorithm: view.getUint32(0x34, true),
    currentTcb: at(0x38, 8),
    platformInfo: view.getBigUint64(0x40, true),
    keyInfo,
    authorKeyEnabled: (keyInfo & 1) !== 0,
    maskChipKey: (keyInfo & 2) !== 0,
    signingKey: signingKey((keyInfo >>> 2) & 7),
    reportData: at(0x50, 64),
    measurement: at(0x90, 48),
    hostData: at(0xc0, 32),
    idKeyDigest: at(0xe0, 48),
    authorKeyDigest: at(0x110, 48),
    reportId: at(0x140, 32),
    reportIdMa: at(0x160, 32),
    reportedTcb: at(0x180, 8),
    cpuid: version >= 3 ? { family: u8(0x188), model: u8(0x189), stepping: u8(0x18a) } : undefined,
    chipId: at(0x1a0, 64),
    committedTcb: at(0x1e0, 8),
    currentFirmware: { build: u8(0x1e8), minor: u8(0x1e9), major: u8(0x1ea) },
    committedFirmware: { build: u8(0x1ec), minor: u8(0x1ed), major: u8(0x1ee) },
    launchTcb: at(0x1f0, 8),
    launchMitigations: version >= 5 ? view.getBigUint64(0x1f8, true) : undefined,
    currentMitigations: version >= 5 ? view.getBigUint64(0x200, true) : undefined,
    reservedSet,
    signature: signature(raw),
    signed: at(0, SIGNED_BYTES),
  };
}

/** POLICY (56860, table 9). */
export function guestPolicy(raw: bigint): GuestPolicy {
  const bit = (n: bigint) => ((raw >> n) & 1n) === 1n;
  return {
    raw,
    abiMinor: Number(raw & 0xffn),
    abiMajor: Number((raw >> 8n) & 0xffn),
    smt: bit(16n),
    reservedOne: bit(17n),
    migrationAgent: bit(18n),
    debug: bit(19n),
    singleSocket: bit(20n),
    cxl: bit(21n),
    aes256Xts: bit(22n),
    raplDisabled: bit(23n),
    ciphertextHiding: bit(24n),
    pageSwapDisabled: bit(25n),
    reservedClear: raw >> 26n === 0n,
  };
}

/** Which bytes of a TCB_VERSION are what: family 19h, or Turin's with FMC first. */
export type TcbLayout = "family19" | "turin";

/** TCB_VERSION (56860, table 3). */
export function tcbVersion(raw: RawTcb, layout: TcbLayout): TcbVersion {
  const byte = (i: number) => raw[i] ?? 0;
  return layout === "turin"
    ? {
      fmc: byte(0),
      bootloader: byte(1),
      tee: byte(2),
      snp: byte(3),
      microcode: byte(7),
      reservedClear: byte(4) === 0 && byte(5) === 0 && byte(6) === 0,
    }
    : {
      fmc: undefined,
      bootloader: byte(0),
      tee: byte(1),
      snp: byte(6),
      microcode: byte(7),
      reservedClear: byte(2) === 0 && byte(3) === 0 && byte(4) === 0 && byte(5) === 0,
    };
}

export const TCB_COMPONENTS = ["fmc", "bootloader", "tee", "snp", "microcode"] as const;

/** The components of `a` that are below those of `b`; `fmc` counts as 0 where there is none. */
export function tcbBelow(
  a: Partial<Record<(typeof TCB_COMPONENTS)[number], number | undefined>>,
  b: Partial<Record<(typeof TCB_COMPONENTS)[number], number | undefined>>,
): string[] {
  return TCB_COMPONENTS.filter((name) => (a[name] ?? 0) < (b[name] ?? 0));
}

export function tcbString(tcb: TcbVersion): string {
  const fmc = tcb.fmc === undefined ? "" : `fmc ${tcb.fmc}, `;
  return `${fmc}bootloader ${tcb.bootloader}, tee ${tcb.tee}, snp ${tcb.snp}, microcode ${tcb.microcode}`;
}

export function firmwareString({ major, minor, build }: FirmwareVersion): string {
  return `${major}.${minor}.${build}`;
}

function signingKey(value: number): SigningKey {
  return value === 0 ? "VCEK" : value === 1 ? "VLEK" : value === 7 ? "none" : "reserved";
}

function signature(raw: Bytes): Bytes | undefined {
  const out = new Uint8Array(96);
  for (const [index, start] of [SIGNED_BYTES, SIGNED_BYTES + SCALAR_FIELD_BYTES].entries()) {
    const field = raw.subarray(start, start + SCALAR_FIELD_BYTES);
    if (field.subarray(48).some((byte) => byte !== 0)) return undefined;
    out.set(field.slice(0, 48).reverse(), index * 48);
  }
  return out;
}

/** Certificate kinds of an extended report's table, by GUID (56421, 4.1.8.1). */
const CERTIFICATE_GUIDS: Readonly<Record<string, "vcek" | "vlek" | "ask" | "ark">> = {
  "63da758de6644564adc5f4b93be8accd": "vcek",
  "a8074bc2a25a483eaae639c045a0b8a1": "vlek",
  "4ab7b379bbac4fe4a02f05aef327c782": "ask",
  "c0b406a4a803495297433fb6014cd0ae": "ark",
};

/** Whether 16 bytes are the GUID of a certificate kind known here, as a table begins with. */
export function isCertificateTable(guid: Uint8Array): boolean {
  return CERTIFICATE_GUIDS[guid.toHex()] !== undefined;
}

export interface TableCertificate {
  /** `other` with its GUID in hex: a table may carry what its host likes. */
  readonly kind: "vcek" | "vlek" | "ask" | "ark" | "other";
  readonly guid: string;
  readonly data: Bytes;
}

/** Bytes of certificates a table may hold: what SNP_GET_EXT_REPORT can return at most, and some room. */
export const MAX_TABLE_BYTES = 64 << 10;
const ENTRY_BYTES = 24;
const MAX_ENTRIES = 64;

/**
 * Decodes a certificate table: entries of 24 bytes (GUID, offset u32, length u32), ended by a zero one,
 * then the certificates. Entries must not reach into the entries or beyond the end.
 * @throws {BackendError} `malformed`
 */
export function parseCertificateTable(bytes: Uint8Array): TableCertificate[] {
  const fail = (message: string) =>
    new BackendError("malformed", `certificate table: ${message}`, { kind: "SEV" });
  if (bytes.length > MAX_TABLE_BYTES) {
    throw fail(`${bytes.length} bytes, ${MAX_TABLE_BYTES} at most`);
  }
  const raw = new Uint8Array(bytes);
  const view = new DataView(raw.buffer);
  const entries: { guid: string; offset: number; length: number }[] = [];
  for (let at = 0;; at += ENTRY_BYTES) {
    if (at + ENTRY_BYTES > raw.length) throw fail("has no end");
    const guid = raw.subarray(at, at + 16).toHex();
    const offset = view.getUint32(at + 16, true);
    const length = view.getUint32(at + 20, true);
    if (/^0+$/.test(guid)) {
      if (offset !== 0 || length !== 0) throw fail("its last entry is not zero");
      break;
    }
    if (entries.length >= MAX_ENTRIES) throw fail(`more than ${MAX_ENTRIES} entries`);
    entries.push({ guid, offset, length });
  }
  const dataStart = (entries.length + 1) * ENTRY_BYTES;
  return entries.map(({ guid, offset, length }) => {
    if (length === 0 || offset < dataStart || offset > raw.length || length > raw.length - offset) {
      throw fail(`entry ${guid} points to ${offset}+${length} of ${raw.length}`);
    }
    return {
      kind: CERTIFICATE_GUIDS[guid] ?? "other",
      guid,
      data: raw.subarray(offset, offset + length),
    };
  });
}

/**
 * An extended report: the report, then its certificate table. A bare report gives an empty table.
 * @throws {BackendError} `malformed`
 */
export function splitExtendedReport(
  bytes: Uint8Array,
): { report: Bytes; certificates: TableCertificate[] } {
  if (bytes.length < REPORT_BYTES) {
    throw new BackendError(
      "malformed",
      `SNP report: ${bytes.length} bytes, ${REPORT_BYTES} are wanted`,
      { kind: "SEV" },
    );
  }
  const report = new Uint8Array(bytes.subarray(0, REPORT_BYTES));
  const rest = bytes.subarray(REPORT_BYTES);
  return { report, certificates: rest.length === 0 ? [] : parseCertificateTable(rest) };
}
