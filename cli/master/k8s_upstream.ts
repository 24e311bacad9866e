/** The kube-apiserver that Kubernetes paths are proxied to, with the sealed credential of the master. */
import type { KubernetesUpstream } from "../../api/k8s/upstream.ts";
import type { Bytes } from "../../backends/mod.ts";
import { ConfigError } from "../../config.ts";
import type { Store } from "../../store/mod.ts";
import {
  fingerprint,
  parseCredential,
  readCredential,
  type SealedUpstream,
  type UpstreamSettings,
} from "../node/k8s_credential.ts";

const IDLE_TIMEOUT_MS = 30_000;
const KEY = new TextEncoder().encode("/nautilus/k8s-api-credential");

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
      // Over HTTP/2 all requests share one connection: kube-apiserver takes 100 streams on it, so that as
      // many watches stop everybody, and one that nobody reads fills the window of all.
      http2: false,
      // Sooner than kube-apiserver closes an idle connection (90 s), which may meet a request on its way.
      poolIdleTimeout: IDLE_TIMEOUT_MS,
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
