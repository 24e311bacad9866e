/**
 * A vendor hierarchy for the fake SEV-SNP firmware, drawn anew for every run: ARK and ASK (RSA-PSS,
 * SHA-384), VCEK (P-384) with AMD's extensions. No production policy ever trusts it.
 */
import type { Bytes } from "../../../backends/mod.ts";
import type { SevSnpRoots } from "../../../backends/sev_snp/roots.ts";
import {
  bits,
  boolean,
  extension,
  integer,
  oid,
  sequence,
  set,
  time,
  tlv,
  utf8,
} from "../../pki/intel_der.ts";

const SHA384 = sequence(oid("2.16.840.1.101.3.4.2.2"), tlv(0x05));
const RSA_PSS_SHA384 = sequence(
  oid("1.2.840.113549.1.1.10"),
  sequence(
    tlv(0xa0, SHA384),
    tlv(0xa1, sequence(oid("1.2.840.113549.1.1.8"), SHA384)),
    tlv(0xa2, integer(48)),
  ),
);
const PSS = { name: "RSA-PSS", saltLength: 48 };
const AMD = "1.3.6.1.4.1.3704.1";

/** Of the VCEK: what its certificate says about chip and firmware. */
export interface ChipSpec {
  /** 64 bytes. */
  readonly chipId: Bytes;
  readonly bootloader: number;
  readonly tee: number;
  readonly snp: number;
  readonly microcode: number;
}

export interface AmdTestPki {
  /** For a verifier that trusts this hierarchy alone. */
  readonly roots: SevSnpRoots;
  readonly ark: Bytes;
  readonly ask: Bytes;
  /** DER of the certificate, and the key that signs reports: ECDSA P-384 with SHA-384. */
  vcek(chip: ChipSpec): Promise<{ certificate: Bytes; key: CryptoKey }>;
}

function name(commonName: string): Bytes {
  const part = (id: string, value: string): Bytes => set(sequence(oid(id), utf8(value)));
  return sequence(
    part("2.5.4.11", "Engineering"),
    part("2.5.4.6", "US"),
    part("2.5.4.7", "Santa Clara"),
    part("2.5.4.8", "CA"),
    part("2.5.4.10", "A test of nobody's"),
    part("2.5.4.3", commonName),
  );
}

async function spkiOf(key: CryptoKey): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.exportKey("spki", key));
}

async function certificate(spec: {
  subject: string;
  issuer: string;
  publicKey: CryptoKey;
  issuerKey: CryptoKey;
  serial: number;
  now: number;
  extensions: readonly Uint8Array[];
}): Promise<Bytes> {
  const year = 365 * 86_400_000;
  const tbs = sequence(
    tlv(0xa0, integer(2)),
    integer(spec.serial),
    RSA_PSS_SHA384,
    name(spec.issuer),
    sequence(time(spec.now - 86_400_000), time(spec.now + year)),
    name(spec.subject),
    await spkiOf(spec.publicKey),
    ...(spec.extensions.length === 0 ? [] : [tlv(0xa3, sequence(...spec.extensions))]),
  );
  const signature = await crypto.subtle.sign(PSS, spec.issuerKey, tbs);
  return sequence(tbs, RSA_PSS_SHA384, bits(new Uint8Array(signature)));
}

function authority(): Uint8Array[] {
  return [
    extension("2.5.29.19", true, sequence(boolean(true))),
    extension("2.5.29.15", true, tlv(0x03, Uint8Array.of(1, 6))),
  ];
}

function rsaKey(): Promise<CryptoKeyPair> {
  const algorithm = {
    name: "RSA-PSS",
    modulusLength: 2048, // AMD's have 4096; 2048 are drawn in a tenth of the time
    publicExponent: Uint8Array.of(1, 0, 1),
    hash: "SHA-384",
  };
  return crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
}

/** @param now milliseconds since the epoch; certificates are valid from a day before, for a year */
export async function makeAmdTestPki(now: number): Promise<AmdTestPki> {
  const [arkKey, askKey] = await Promise.all([rsaKey(), rsaKey()]);
  const ark = await certificate({
    subject: "ARK-Milan",
    issuer: "ARK-Milan",
    publicKey: arkKey.publicKey,
    issuerKey: arkKey.privateKey,
    serial: 65536,
    now,
    extensions: authority(),
  });
  const ask = await certificate({
    subject: "SEV-Milan",
    issuer: "ARK-Milan",
    publicKey: askKey.publicKey,
    issuerKey: arkKey.privateKey,
    serial: 65537,
    now,
    extensions: authority(),
  });
  const line = { ark, ask, asvk: ask };
  return {
    roots: { Milan: line, Genoa: line, Turin: line },
    ark,
    ask,
    async vcek(chip) {
      const algorithm = { name: "ECDSA", namedCurve: "P-384" };
      const pair = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
      const svn = (arc: string, value: number): Uint8Array =>
        extension(`${AMD}.${arc}`, false, integer(value));
      return {
        key: pair.privateKey,
        certificate: await certificate({
          subject: "SEV-VCEK",
          issuer: "SEV-Milan",
          publicKey: pair.publicKey,
          issuerKey: askKey.privateKey,
          serial: 0, // as AMD's leaves have
          now,
          extensions: [
            svn("1", 0),
            extension(`${AMD}.2`, false, tlv(0x16, new TextEncoder().encode("Milan-B0"))),
            svn("3.1", chip.bootloader),
            svn("3.2", chip.tee),
            svn("3.3", chip.snp),
            svn("3.8", chip.microcode),
            extension(`${AMD}.4`, false, chip.chipId),
          ],
        }),
      };
    },
  };
}
