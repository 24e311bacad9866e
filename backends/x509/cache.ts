/**
 * What has been parsed and verified before, so that the second piece of evidence from a platform
 * costs one signature. Always passed in; keyed by content, so a hit can only repeat an answer.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { type Certificate, parseCertificate } from "./certificate.ts";
import { type Crl, parseCrl } from "./crl.ts";

/** A map that forgets its oldest entry beyond `maxEntries`. */
export class BoundedMap<Value> {
  readonly #entries = new Map<string, Value>();
  readonly #maxEntries: number;

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries;
  }

  get(key: string): Value | undefined {
    const value = this.#entries.get(key);
    if (value !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, value);
    }
    return value;
  }

  set(key: string, value: Value): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size > this.#maxEntries) {
      const oldest = this.#entries.keys().next().value;
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
  }

  get size(): number {
    return this.#entries.size;
  }
}

/** Remembers parsed certificates and lists, and which signatures were good. Never remembers a "no". */
export class X509Cache {
  readonly #certificates: BoundedMap<Certificate>;
  readonly #crls: BoundedMap<Crl>;
  readonly #signatures: BoundedMap<true>;

  constructor(limits: { certificates?: number; crls?: number; signatures?: number } = {}) {
    this.#certificates = new BoundedMap(limits.certificates ?? 512);
    this.#crls = new BoundedMap(limits.crls ?? 16);
    this.#signatures = new BoundedMap(limits.signatures ?? 1024);
  }

  /** As `parseCertificate()`. */
  certificate(der: Uint8Array): Certificate {
    const key = sha256(der).toHex();
    const known = this.#certificates.get(key);
    if (known !== undefined) return known;
    const parsed = parseCertificate(der);
    this.#certificates.set(key, parsed);
    return parsed;
  }

  /** As `parseCrl()`. */
  crl(bytes: Uint8Array): Crl {
    const key = sha256(bytes).toHex();
    const known = this.#crls.get(key);
    if (known !== undefined) return known;
    const parsed = parseCrl(bytes);
    this.#crls.set(key, parsed);
    return parsed;
  }

  /** Whether the object of this fingerprint was verified before under exactly this key. */
  isVerified(fingerprint: string, issuerFingerprint: string): boolean {
    return this.#signatures.get(`${fingerprint} ${issuerFingerprint}`) === true;
  }

  markVerified(fingerprint: string, issuerFingerprint: string): void {
    this.#signatures.set(`${fingerprint} ${issuerFingerprint}`, true);
  }
}
