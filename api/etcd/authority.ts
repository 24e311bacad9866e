/**
 * The etcd listener's own certificate authority, made in the TEE: it signs the listener and the
 * clients that may connect, and nothing else. Its key comes of the store's `etcd-ca` secret.
 */
import { Buffer } from "node:buffer";
import { createPublicKey, verify } from "node:crypto";
import type { Bytes } from "../../backends/mod.ts";
import type { Store } from "../../store/mod.ts";
import { makeCertificate } from "../tls/certificate.ts";
import { deriveTlsKey, type TlsKey } from "../tls/keys.ts";
import type { TlsFiles } from "./listener.ts";

const DAY_MS = 86_400_000;
const CA_DAYS = 3650;
const SERVER_DAYS = 365;
const CLIENT_DAYS = 365;
/** A clock that runs a little behind ours still takes the certificate. */
const BACKDATE_MS = 5 * 60_000;
const CA_SUBJECT = "nautilus-tee etcd CA";
const CA_RECORD: Bytes = new TextEncoder().encode("etcd/ca");
/** What a client's key signs to show that it is there. */
export const PROOF_CONTEXT = "nautilus-tee/etcd-client-certificate/v1\n";

export interface ClientCertificateRequest {
  /** Becomes the common name: 1 to 64 of letters, digits and `._:@-`. */
  readonly name: string;
  /** DER SubjectPublicKeyInfo of a P-256 key. */
  readonly spki: Bytes;
  /** ECDSA with SHA-256 (DER) by that key over PROOF_CONTEXT and the name. */
  readonly proof: Bytes;
}

export class ClientRequestError extends Error {
  override readonly name = "ClientRequestError";
  readonly code = "client_request";
  readonly field: "name" | "public_key" | "proof";
  constructor(field: ClientRequestError["field"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.field = field;
  }
}

export interface IssuedTlsFiles extends TlsFiles {
  /** Milliseconds since the epoch: time for the next one, well before this one ends. */
  readonly renewAtMs: number;
}

export interface EtcdAuthority {
  /** What clients and server trust. */
  readonly caPem: string;
  /** For the listener: a new certificate for its names, and this CA for its clients. */
  listenerFiles(): IssuedTlsFiles;
  /** @returns PEM @throws {ClientRequestError} naming the field */
  issueClient(request: ClientCertificateRequest): string;
}

export interface EtcdAuthorityOptions {
  readonly store: Store;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  readonly random: (length: number) => Bytes;
  /** Host names and addresses beside localhost, 127.0.0.1 and ::1. */
  readonly names: readonly string[];
}

/** Derives the keys, and makes the CA's certificate where the store has none for this key. */
export async function openEtcdAuthority(options: EtcdAuthorityOptions): Promise<EtcdAuthority> {
  const { clock, random } = options;
  const secret = await options.store.secret("etcd-ca");
  const ca = deriveTlsKey(secret, "ca");
  const server = deriveTlsKey(secret, "server");
  secret.fill(0);
  const caPem = pem(await caCertificate(options, ca));
  const names = [...new Set(["localhost", "127.0.0.1", "::1", ...options.names])];
  const issue = (
    subject: string,
    spki: Bytes,
    days: number,
    usage: "server" | "client",
    serverNames: readonly string[],
  ) => {
    const now = clock();
    return pem(makeCertificate({
      serial: random(16),
      subject,
      issuer: CA_SUBJECT,
      spki,
      issuerKey: ca,
      notBeforeMs: now - BACKDATE_MS,
      notAfterMs: now + days * DAY_MS,
      serverNames,
      usage,
    }));
  };
  return {
    caPem,
    listenerFiles: () => ({
      certificate: issue("nautilus-tee etcd", server.spki, SERVER_DAYS, "server", names) + caPem,
      key: server.pem(),
      clientAuthorities: caPem,
      renewAtMs: clock() + SERVER_DAYS * DAY_MS * 2 / 3,
    }),
    issueClient(request) {
      checkClientRequest(request);
      return issue(request.name, request.spki, CLIENT_DAYS, "client", []);
    },
  };
}

function checkClientRequest({ name, spki, proof }: ClientCertificateRequest): void {
  if (!/^[A-Za-z0-9._:@-]{1,64}$/.test(name)) {
    throw new ClientRequestError("name", "must be 1 to 64 of letters, digits and ._:@-");
  }
  let key;
  try {
    key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  } catch (cause) {
    throw new ClientRequestError("public_key", "is no DER SubjectPublicKeyInfo", { cause });
  }
  const curve = key.asymmetricKeyDetails?.namedCurve;
  if (key.asymmetricKeyType !== "ec" || (curve !== "prime256v1" && curve !== "P-256")) {
    throw new ClientRequestError("public_key", "must be a P-256 key");
  }
  const signed = new TextEncoder().encode(PROOF_CONTEXT + name);
  let holds = false;
  try {
    holds = verify("sha256", signed, { key, dsaEncoding: "der" }, proof);
  } catch (cause) {
    throw new ClientRequestError("proof", "is no signature", { cause });
  }
  if (!holds) throw new ClientRequestError("proof", "is not the key's signature over the name");
}

/** The stored one, where it is of this key (after a recovery it may not be). */
async function caCertificate(options: EtcdAuthorityOptions, key: TlsKey): Promise<Bytes> {
  const { store, clock, random } = options;
  const [kv] = (await store.range("system", { key: CA_RECORD })).kvs;
  // The record: the key's SubjectPublicKeyInfo (91 bytes), then the certificate.
  if (kv !== undefined && kv.value.subarray(0, key.spki.length).toHex() === key.spki.toHex()) {
    return kv.value.slice(key.spki.length);
  }
  const now = clock();
  const certificate = makeCertificate({
    serial: random(16),
    subject: CA_SUBJECT,
    issuer: CA_SUBJECT,
    spki: key.spki,
    issuerKey: key,
    notBeforeMs: now - BACKDATE_MS,
    notAfterMs: now + CA_DAYS * DAY_MS,
    serverNames: undefined,
  });
  const value = new Uint8Array(key.spki.length + certificate.length);
  value.set(key.spki);
  value.set(certificate, key.spki.length);
  await store.txn({
    compare: [],
    success: [{ type: "put", keyspace: "system", key: CA_RECORD, value }],
    failure: [],
  });
  return certificate;
}

function pem(der: Bytes): string {
  const lines = der.toBase64().match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}
