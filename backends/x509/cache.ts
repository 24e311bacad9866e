/**
 * What has been parsed and verified before, so that the second piece of evidence from a platform
 * costs one signature. Always passed in; keyed by content, so a hit can only repeat an answer.
 */
import { createHash } from "node:crypto";
import { type Certificate, parseCertificate, parsePemCertificates } from "./certificate.ts";
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
  readonly #chains: BoundedMap<readonly Certificate[]>;
  readonly #pinned = new WeakMap<Uint8Array, Certificate>();

  constructor(limits: { certificates?: number; crls?: number; signatures?: number } = {}) {
    this.#certificates = new BoundedMap(limits.certificates ?? 512);
    this.#crls = new BoundedMap(limits.crls ?? 16);
    this.#signatures = new BoundedMap(limits.signatures ?? 1024);
    this.#chains = new BoundedMap(limits.certificates ?? 512);
  }

  /** As `parseCertificate()`. */
  certificate(der: Uint8Array): Certificate {
    const key = digest(der);
    const known = this.#certificates.get(key);
    if (known !== undefined) return known;
    const parsed = parseCertificate(der);
    this.#certificates.set(key, parsed);
    return parsed;
  }

  /** As `parsePemCertificates()`, of the bytes of a PEM text. */
  pem(bytes: Uint8Array): readonly Certificate[] {
    const key = digest(bytes);
    const known = this.#chains.get(key);
    if (known !== undefined) return known;
    const text = new TextDecoder("latin1").decode(bytes);
    const parsed = parsePemCertificates(text, (der) => this.certificate(der));
    this.#chains.set(key, parsed);
    return parsed;
  }

  /** A pinned certificate, found again by the identity of its bytes: only for those nobody changes. */
  pinned(der: Uint8Array): Certificate {
    const known = this.#pinned.get(der);
    if (known !== undefined) return known;
    const parsed = this.certificate(der);
    this.#pinned.set(der, parsed);
    return parsed;
  }

  /** As `parseCrl()`. */
  crl(bytes: Uint8Array): Crl {
    const key = digest(bytes);
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

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("base64");
}
