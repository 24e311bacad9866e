/** The kube-apiserver that Kubernetes paths are proxied to, with the sealed credential of the master. */
import type { KubernetesUpstream } from "../../api/k8s/upstream.ts";
import type { Bytes } from "../../backends/mod.ts";
import { type Config, ConfigError } from "../../config.ts";
import type { Store } from "../../store/mod.ts";
import { readBounded } from "../bounded_read.ts";

const KEY = new TextEncoder().encode("/nautilus/k8s-api-credential");
const MAX_CREDENTIAL_BYTES = 64 * 1024;

/** What of it is sealed with the configuration; the credential itself rests beside it. */
export interface SealedUpstream {
  readonly k8sApiEndpoint: string | null;
  /** PEM */
  readonly k8sApiCa: string | null;
  /** `sha256:` and 64 hex digits of the credential. */
  readonly k8sApiCredential: string | null;
}

type UpstreamSettings = Pick<Config, "k8sApiEndpoint" | "k8sApiCa" | "k8sApiCredential">;

/** @throws {ConfigError} where the credential cannot be read, or one setting lacks the other. */
export async function sealedUpstream(config: UpstreamSettings): Promise<SealedUpstream> {
  const { k8sApiEndpoint, k8sApiCa, k8sApiCredential } = config;
  return {
    k8sApiEndpoint: k8sApiEndpoint ?? null,
    k8sApiCa: k8sApiCa ?? null,
    k8sApiCredential: k8sApiCredential === undefined
      ? null
      : await fingerprint(await readCredential(k8sApiCredential)),
  };
}

/**
 * The upstream in force; undefined where there is none. A credential that is given is kept, so that the
 * file can go.
 * @throws {ConfigError} without a credential or for one that is none
 */
export async function openUpstream(
  store: Store,
  sealed: SealedUpstream,
  config: UpstreamSettings,
): Promise<(KubernetesUpstream & Disposable) | undefined> {
  if (sealed.k8sApiEndpoint === null) {
    if (sealed.k8sApiCredential === null && sealed.k8sApiCa === null) return undefined;
    throw new ConfigError("--k8s-api-endpoint is missing, but its CA or credential is given");
  }
  if (sealed.k8sApiCredential === null) {
    throw new ConfigError(
      "--k8s-api-endpoint needs --k8s-api-credential: a file with a bearer token, or with a certificate and its key in PEM",
    );
  }
  const text = await credentialOf(store, sealed.k8sApiCredential, config.k8sApiCredential);
  const { token, ...certificate } = parseCredential(text);
  let client: Deno.HttpClient;
  try {
    client = Deno.createHttpClient({
      ...certificate,
      ...(sealed.k8sApiCa === null ? {} : { caCerts: [sealed.k8sApiCa] }),
    });
  } catch (cause) {
    throw new ConfigError("--k8s-api-credential or --k8s-api-ca: not usable PEM", { cause });
  }
  return {
    origin: sealed.k8sApiEndpoint,
    fetch(request) {
      if (token !== undefined) request.headers.set("Authorization", `Bearer ${token}`);
      return fetch(request, { client });
    },
    [Symbol.dispose]: () => client.close(),
  };
}

async function credentialOf(
  store: Store,
  wanted: string,
  path: string | undefined,
): Promise<string> {
  const [kept] = (await store.range("system", { key: KEY })).kvs;
  if (path === undefined) {
    const text = kept === undefined ? undefined : new TextDecoder().decode(kept.value);
    if (text === undefined || await fingerprint(text) !== wanted) {
      throw new ConfigError(
        "--k8s-api-credential: the sealed one is not in the store; give it again",
      );
    }
    return text;
  }
  const text = await readCredential(path);
  // Between the two looks somebody may have put another file there.
  if (await fingerprint(text) !== wanted) {
    throw new ConfigError("--k8s-api-credential: the file changed while the master started");
  }
  const value: Bytes = new TextEncoder().encode(text);
  if (kept === undefined || kept.value.toHex() !== value.toHex()) {
    await store.txn({
      compare: [],
      success: [{ type: "put", keyspace: "system", key: KEY, value }],
      failure: [],
    });
  }
  return text;
}

async function readCredential(path: string): Promise<string> {
  let text: string;
  try {
    const bytes = await readBounded(path, MAX_CREDENTIAL_BYTES);
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes).trim();
  } catch (cause) {
    throw new ConfigError(`--k8s-api-credential: "${path}" cannot be read`, { cause });
  }
  parseCredential(text);
  return text;
}

async function fingerprint(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return `sha256:${new Uint8Array(digest).toHex()}`;
}

/** A bearer token, or a certificate chain and its private key. @throws {ConfigError} never quoting it */
function parseCredential(
  text: string,
): { token?: undefined; cert: string; key: string } | { token: string } {
  if (!text.includes("-----BEGIN ")) {
    if (!/^[A-Za-z0-9._~+/-]{16,16384}=*$/.test(text)) {
      throw new ConfigError("--k8s-api-credential: a bearer token on one line, or PEM, is wanted");
    }
    return { token: text };
  }
  const blocks = text.match(/-----BEGIN ([A-Z ]+)-----[\s\S]+?-----END \1-----/g) ?? [];
  const isKey = (block: string) => /BEGIN [A-Z ]*PRIVATE KEY/.test(block);
  const keys = blocks.filter(isKey);
  const certificates = blocks.filter((block) => block.includes("BEGIN CERTIFICATE"));
  const [key] = keys;
  if (key === undefined || keys.length > 1 || certificates.length === 0) {
    throw new ConfigError(
      "--k8s-api-credential: one private key and its certificate in PEM are wanted",
    );
  }
  return { cert: `${certificates.join("\n")}\n`, key: `${key}\n` };
}
