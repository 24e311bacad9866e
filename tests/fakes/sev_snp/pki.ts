/**
 * A vendor hierarchy for the fake SEV-SNP firmware, drawn anew for every run. No production policy
 * ever trusts it.
 */
import type { Bytes } from "../../../backends/mod.ts";
import type { SevSnpRoots } from "../../../backends/sev_snp/roots.ts";
import { makeKey } from "../../pki/pki.ts";
import { makeAuthorities, makeLeaf, rootsOf, type TestTcb } from "../../pki/snp.ts";

const DAY_MS = 86_400_000;

/** Of the VCEK: what its certificate says about chip and firmware. */
export interface ChipSpec extends TestTcb {
  /** 64 bytes. */
  readonly chipId: Bytes;
}

export interface AmdTestPki {
  /** For a verifier that trusts this hierarchy alone. */
  readonly roots: SevSnpRoots;
  readonly ark: Bytes;
  readonly ask: Bytes;
  /** DER of the certificate, and the key that signs reports: ECDSA P-384 with SHA-384. */
  vcek(chip: ChipSpec): Promise<{ certificate: Bytes; key: CryptoKey }>;
}

/** @param now milliseconds since the epoch; certificates are valid from a day before, for a year */
export async function makeAmdTestPki(now: number): Promise<AmdTestPki> {
  const span = { notBefore: now - DAY_MS, notAfter: now + 365 * DAY_MS };
  const authorities = await makeAuthorities("Milan", span);
  return {
    roots: rootsOf(authorities),
    ark: new Uint8Array(authorities.roots.ark),
    ask: new Uint8Array(authorities.roots.ask),
    async vcek({ chipId, ...tcb }) {
      const key = await makeKey("P-384");
      const leaf = { tcb, hwId: chipId, productName: "Milan-B0", ...span };
      return { key: key.privateKey, certificate: await makeLeaf(authorities, key, leaf) };
    },
  };
}
