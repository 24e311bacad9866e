/**
 * The TLS side of the node: one server key, which the attestation binds, and certificates for it by a
 * CA that lives as long as the store. kubeconfigs hold the CA; relying parties trust the attestation.
 */
import type { Bytes } from "../../backends/mod.ts";
import type { Store } from "../../store/mod.ts";
import type { Clock } from "../deps.ts";
import type { TlsCredentials } from "../server.ts";
import { makeCertificate } from "./certificate.ts";
import { deriveTlsKey, type TlsKey } from "./keys.ts";

const DAY_MS = 86_400_000;
const CA_DAYS = 3650;
const SERVER_DAYS = 30;
/** A clock that runs a little behind ours still takes the certificate. */
const BACKDATE_MS = 5 * 60_000;
const CA_SUBJECT = "nautilus-tee CA";
const SERVER_SUBJECT = "nautilus-tee";

const CA_KEY = new TextEncoder().encode("/tls/ca");

export interface TlsIdentityOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: (length: number) => Bytes;
  /** Host names and addresses beside localhost, 127.0.0.1 and ::1. */
  readonly names: readonly string[];
}

export interface IssuedCertificate {
  /** DER. */
  readonly certificate: Bytes;
  readonly credentials: TlsCredentials;
  /** Milliseconds since the epoch: time for the next one, well before this one ends. */
  readonly renewAtMs: number;
  readonly notAfterMs: number;
}

export interface TlsIdentity {
  /** PEM: what clients trust, the same after every restart. */
  readonly caPem: string;
  /** DER SubjectPublicKeyInfo of the server key: what the attestation binds. */
  readonly spki: Bytes;
  /** A new certificate for the same key. */
  issue(): IssuedCertificate;
}

/** Derives the keys, and makes the CA's certificate where the store has none yet. */
export async function openTlsIdentity(options: TlsIdentityOptions): Promise<TlsIdentity> {
  const { store, clock, random } = options;
  const secret = await store.secret("tls");
  const caKey = deriveTlsKey(secret, "ca");
  const serverKey = deriveTlsKey(secret, "server");
  secret.fill(0);
  const ca = await caCertificate(store, caKey, clock(), random);
  const caPem = pem(ca);
  const names = [...new Set(["localhost", "127.0.0.1", "::1", ...options.names])];
  return {
    caPem,
    spki: serverKey.spki,
    issue() {
      const now = clock();
      const notAfterMs = now + SERVER_DAYS * DAY_MS;
      const certificate = makeCertificate({
        serial: random(16),
        subject: SERVER_SUBJECT,
        issuer: CA_SUBJECT,
        spki: serverKey.spki,
        issuerKey: caKey,
        notBeforeMs: now - BACKDATE_MS,
        notAfterMs,
        serverNames: names,
      });
      return {
        certificate,
        credentials: { key: serverKey.pem(), certificateChain: pem(certificate) + caPem },
        renewAtMs: now + SERVER_DAYS * DAY_MS * 2 / 3,
        notAfterMs,
      };
    },
  };
}

/** The stored one, if it is of this key (after a recovery it is not) and has a year to go. */
async function caCertificate(
  store: Store,
  key: TlsKey,
  now: number,
  random: (length: number) => Bytes,
): Promise<Bytes> {
  const [kv] = (await store.range("system", { key: CA_KEY })).kvs;
  if (kv !== undefined) {
    const record = decodeCa(kv.value);
    if (
      record !== undefined && equal(record.spki, key.spki) && now < record.notAfterMs - 365 * DAY_MS
    ) {
      return record.certificate;
    }
  }
  const notAfterMs = now + CA_DAYS * DAY_MS;
  const certificate = makeCertificate({
    serial: random(16),
    subject: CA_SUBJECT,
    issuer: CA_SUBJECT,
    spki: key.spki,
    issuerKey: key,
    notBeforeMs: now - BACKDATE_MS,
    notAfterMs,
    serverNames: undefined,
  });
  const value = new TextEncoder().encode(JSON.stringify({
    v: 1,
    certificate: certificate.toBase64(),
    spki: key.spki.toBase64(),
    not_after_ms: notAfterMs,
  }));
  await store.txn({
    compare: [],
    success: [{ type: "put", keyspace: "system", key: CA_KEY, value }],
    failure: [],
  });
  return certificate;
}

function decodeCa(
  value: Bytes,
): { certificate: Bytes; spki: Bytes; notAfterMs: number } | undefined {
  const record: unknown = JSON.parse(new TextDecoder().decode(value));
  if (typeof record !== "object" || record === null) return undefined;
  const { v, certificate, spki, not_after_ms } = record as Readonly<Record<string, unknown>>;
  if (v !== 1 || typeof certificate !== "string" || typeof spki !== "string") return undefined;
  if (typeof not_after_ms !== "number") return undefined;
  return {
    certificate: Uint8Array.fromBase64(certificate),
    spki: Uint8Array.fromBase64(spki),
    notAfterMs: not_after_ms,
  };
}

function equal(a: Bytes, b: Bytes): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function pem(der: Bytes): string {
  const lines = der.toBase64().match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}
