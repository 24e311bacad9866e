/**
 * What the second quote of a platform need not cost again: parsed collateral and chains, and
 * signatures that were good. Always passed in, keyed by content, bounded; dates are never cached,
 * they are judged by the caller's clock every time.
 */
import { createHash } from "node:crypto";
import type { Bytes, Endorsement } from "../mod.ts";
import { BoundedMap, type Certificate, X509Cache } from "../x509/mod.ts";
import { collectCollateral, type DcapCollateral, parseChain } from "./collateral.ts";
import { decodePckExtension, type PckExtension } from "./pck_extension.ts";

export class DcapCache {
  readonly x509: X509Cache;
  readonly #collateral: BoundedMap<DcapCollateral>;
  readonly #chains: BoundedMap<Certificate[]>;
  readonly #extensions: BoundedMap<PckExtension>;
  readonly #signatures: BoundedMap<true>;

  constructor(limits: { collaterals?: number; chains?: number; signatures?: number } = {}) {
    this.x509 = new X509Cache();
    this.#collateral = new BoundedMap(limits.collaterals ?? 16);
    this.#chains = new BoundedMap(limits.chains ?? 256);
    this.#extensions = new BoundedMap(limits.chains ?? 256);
    this.#signatures = new BoundedMap(limits.signatures ?? 1024);
  }

  /** As `collectCollateral()`. */
  collateral(endorsements: readonly Endorsement[]): DcapCollateral {
    const hash = createHash("sha256");
    for (const { type, data } of endorsements) {
      const header = new Uint8Array(8 + type.length * 3);
      const view = new DataView(header.buffer);
      const { written } = new TextEncoder().encodeInto(type, header.subarray(8));
      view.setUint32(0, written);
      view.setUint32(4, data.length);
      hash.update(header.subarray(0, 8 + written)).update(data);
    }
    return remembered(this.#collateral, hash.digest("hex"), () => collectCollateral(endorsements));
  }

  /** As `parseChain()`. */
  chain(data: Bytes): Certificate[] {
    return remembered(this.#chains, digest(data), () => parseChain(data));
  }

  /** As `decodePckExtension()`. */
  pckExtension(certificate: Certificate, der: Bytes): PckExtension {
    return remembered(this.#extensions, certificate.fingerprint, () => decodePckExtension(der));
  }

  /** Whether exactly this signature was found good before under exactly this key. */
  isGood(key: string): boolean {
    return this.#signatures.get(key) === true;
  }

  markGood(key: string): void {
    this.#signatures.set(key, true);
  }
}

/** Length-prefixed, so that no two lists of parts have the same digest. */
export function digest(...parts: readonly Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const part of parts) {
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, part.length);
    hash.update(length).update(part);
  }
  return hash.digest("hex");
}

function remembered<Value>(map: BoundedMap<Value>, key: string, make: () => Value): Value {
  const known = map.get(key);
  if (known !== undefined) return known;
  const value = make();
  map.set(key, value);
  return value;
}
