/** An SEV-SNP platform made for tests: AMD's hierarchy anew, reports signed by its chip's key. */
import type { Bytes } from "../../backends/mod.ts";
import type { LineRoots, SevSnpRoots } from "../../backends/sev_snp/roots.ts";
import { extension, integer, tlv } from "./intel_der.ts";
import { makeCertificate, makeCrl, makeKey, sign, type TestKey } from "./pki.ts";

export const SNP_NOW: number = Date.UTC(2026, 5, 1);
const DAY = 86_400_000;
const SPAN = { notBefore: SNP_NOW - 400 * DAY, notAfter: SNP_NOW + 400 * DAY };

export type Line = "Milan" | "Genoa" | "Turin";

export interface TestTcb {
  readonly fmc?: number;
  readonly bootloader: number;
  readonly tee: number;
  readonly snp: number;
  readonly microcode: number;
}

/** One product line's authorities, and the keys behind them. */
export interface SnpAuthorities {
  readonly line: Line;
  readonly roots: LineRoots;
  readonly arkKey: TestKey;
  readonly askKey: TestKey;
  readonly askSerial: Bytes;
}

/** RSA keys take most of a test's time to make, so a few go round; neighbours never share one. */
const rsaKeys: Promise<TestKey>[] = [];
const RSA_KEYS = 6;
let nextRsaKey = 0;

function rsaKey(): Promise<TestKey> {
  const index = nextRsaKey++ % RSA_KEYS;
  return rsaKeys[index] ??= makeKey("RSA-PSS");
}

/** ASK and ASVK share a key here: their names tell them apart. Two in a row have nothing in common. */
export async function makeAuthorities(
  line: Line,
  span: { readonly notBefore: number; readonly notAfter: number } = SPAN,
): Promise<SnpAuthorities> {
  const arkKey = await rsaKey();
  const askKey = await rsaKey();
  const askSerial = Uint8Array.of(1, 0, 1);
  const ark = `ARK-${line}`;
  const intermediate = (subject: string, serial: Bytes) =>
    makeCertificate({
      subject,
      issuer: ark,
      key: askKey,
      issuerKey: arkKey,
      serial,
      ca: { pathLength: 0 },
      ...span,
    });
  return {
    line,
    arkKey,
    askKey,
    askSerial,
    roots: {
      ark: await makeCertificate({
        subject: ark,
        issuer: ark,
        key: arkKey,
        issuerKey: arkKey,
        ca: {},
        ...span,
      }),
      ask: await intermediate(`SEV-${line}`, askSerial),
      asvk: await intermediate(`SEV-VLEK-${line}`, Uint8Array.of(1, 1, 1)),
    },
  };
}

/** Every line under the same authorities' roots of one line; the others are unusable on purpose. */
export function rootsOf(authorities: SnpAuthorities): SevSnpRoots {
  const { roots } = authorities;
  return { Milan: roots, Genoa: roots, Turin: roots };
}

export interface LeafSpec {
  readonly kind?: "VCEK" | "VLEK";
  readonly tcb?: TestTcb;
  readonly productName?: string;
  readonly hwId?: Bytes;
  readonly serial?: Bytes;
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly issuer?: string;
  readonly extensions?: readonly Uint8Array[];
}

const AMD = "1.3.6.1.4.1.3704.1";
export const TEST_TCB: TestTcb = { bootloader: 4, tee: 0, snp: 22, microcode: 200 };
export const TURIN_TCB: TestTcb = { fmc: 1, bootloader: 3, tee: 2, snp: 5, microcode: 97 };
export const CHIP_ID: Bytes = Uint8Array.from({ length: 64 }, (_, i) => i + 1);

export async function makeLeaf(
  authorities: SnpAuthorities,
  key: TestKey,
  spec: LeafSpec = {},
): Promise<Bytes> {
  const { line, askKey } = authorities;
  const kind = spec.kind ?? "VCEK";
  const turin = line === "Turin";
  const tcb = spec.tcb ?? (turin ? TURIN_TCB : TEST_TCB);
  const ia5 = (text: string) => tlv(0x16, new TextEncoder().encode(text));
  const field = (arc: string, value: Uint8Array) => extension(`${AMD}.${arc}`, false, value);
  const hwId = spec.hwId ?? (turin ? CHIP_ID.slice(0, 8) : CHIP_ID);
  return await makeCertificate({
    subject: `SEV-${kind}`,
    issuer: spec.issuer ?? (kind === "VCEK" ? `SEV-${line}` : `SEV-VLEK-${line}`),
    key,
    issuerKey: askKey,
    serial: spec.serial ?? Uint8Array.of(0),
    notBefore: spec.notBefore ?? SPAN.notBefore,
    notAfter: spec.notAfter ?? SPAN.notAfter,
    keyUsage: "none",
    extensions: [
      field("1", integer(turin ? 1 : 0)),
      field("2", ia5(spec.productName ?? line)),
      ...(tcb.fmc === undefined ? [] : [field("3.9", integer(tcb.fmc))]),
      field("3.1", integer(tcb.bootloader)),
      field("3.2", integer(tcb.tee)),
      field("3.3", integer(tcb.snp)),
      field("3.8", integer(tcb.microcode)),
      kind === "VCEK" ? field("4", hwId) : field("5", ia5("CN=cloud.example")),
      ...spec.extensions ?? [],
    ],
  });
}

export function tcbBytes(tcb: TestTcb, turin: boolean): Uint8Array {
  return turin
    ? Uint8Array.of(tcb.fmc ?? 0, tcb.bootloader, tcb.tee, tcb.snp, 0, 0, 0, tcb.microcode)
    : Uint8Array.of(tcb.bootloader, tcb.tee, 0, 0, 0, 0, tcb.snp, tcb.microcode);
}

export interface ReportSpec {
  readonly version?: number;
  readonly tcb?: TestTcb;
  readonly currentTcb?: TestTcb;
  readonly committedTcb?: TestTcb;
  readonly launchTcb?: TestTcb;
  readonly cpuid?: readonly [family: number, model: number, stepping: number];
  /** Applied to the unsigned bytes before signing: what a field test changes. */
  readonly change?: (bytes: Bytes, view: DataView) => void;
}

const CPUID: Readonly<Record<Line, readonly [number, number, number]>> = {
  Milan: [0x19, 0x01, 1],
  Genoa: [0x19, 0x11, 1],
  Turin: [0x1a, 0x02, 1],
};

/** A report that is well in order but for `change`, signed by the key. */
export async function makeReport(line: Line, key: TestKey, spec: ReportSpec = {}): Promise<Bytes> {
  const turin = line === "Turin";
  const tcb = spec.tcb ?? (turin ? TURIN_TCB : TEST_TCB);
  const version = spec.version ?? 3;
  const bytes = new Uint8Array(1184);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, version, true);
  view.setBigUint64(0x08, 0x30000n, true);
  view.setUint32(0x34, 1, true);
  bytes.set(Uint8Array.from({ length: 64 }, (_, i) => 0x80 + i), 0x50);
  bytes.fill(0x11, 0x90, 0xc0);
  bytes.fill(0x33, 0x140, 0x160);
  bytes.fill(0xff, 0x160, 0x180);
  bytes.set(tcbBytes(spec.currentTcb ?? tcb, turin), 0x38);
  bytes.set(tcbBytes(tcb, turin), 0x180);
  bytes.set(tcbBytes(spec.committedTcb ?? tcb, turin), 0x1e0);
  bytes.set(tcbBytes(spec.launchTcb ?? tcb, turin), 0x1f0);
  bytes.set([40, 55, 1, 0, 40, 55, 1], 0x1e8);
  bytes.set(turin ? CHIP_ID.slice(0, 8) : CHIP_ID, 0x1a0);
  if (version >= 3) bytes.set(spec.cpuid ?? CPUID[line], 0x188);
  spec.change?.(bytes, view);
  await signReport(bytes, key);
  return bytes;
}

/** Writes r and s, little-endian, into their fields. */
export async function signReport(bytes: Bytes, key: TestKey): Promise<void> {
  const raw = await sign(key, bytes.slice(0, 0x2a0));
  bytes.fill(0, 0x2a0, 0x330);
  bytes.set(raw.slice(0, 48).reverse(), 0x2a0);
  bytes.set(raw.slice(48).reverse(), 0x2a0 + 72);
}

/** The ARK's list, and the ASK's with `ask`. */
export async function makeSnpCrl(
  authorities: SnpAuthorities,
  revoked: readonly Bytes[],
  options: {
    readonly by?: "ark" | "ask";
    readonly thisUpdate?: number;
    readonly nextUpdate?: number | "none";
  } = {},
): Promise<Bytes> {
  const { line, arkKey, askKey } = authorities;
  const byAsk = options.by === "ask";
  return await makeCrl({
    issuer: byAsk ? `SEV-${line}` : `ARK-${line}`,
    issuerKey: byAsk ? askKey : arkKey,
    thisUpdate: options.thisUpdate ?? SNP_NOW - DAY,
    nextUpdate: options.nextUpdate ?? SNP_NOW + DAY,
    revoked,
  });
}
