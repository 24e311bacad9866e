/** Join tokens for K3s, where the operator named a server and a kube-apiserver to make them in. */
import type { Logger } from "@logtape/logtape";
import { type K3sJoins, openK3sJoins } from "../../api/k3s_join.ts";
import type { KubernetesUpstream } from "../../api/k8s/upstream.ts";
import type { Workers } from "../../api/workers.ts";
import type { Bytes } from "../../backends/mod.ts";
import { ConfigError } from "../../config.ts";
import type { Store } from "../../store/mod.ts";
import type { SealedConfig } from "../node/sealed_config.ts";

/** @throws {ConfigError} where an honest token cannot be made with what is configured */
export async function openK3s(options: {
  readonly sealed: Pick<SealedConfig, "k3sServerUrl" | "k8sApiCa">;
  readonly upstream: KubernetesUpstream | undefined;
  readonly store: Store;
  readonly workers: Pick<Workers, "liveAdmission" | "get">;
  readonly log: Logger;
  readonly clock: () => number;
  readonly random: (length: number) => Bytes;
}): Promise<K3sJoins | undefined> {
  const { sealed: { k3sServerUrl, k8sApiCa }, upstream, ...rest } = options;
  if (k3sServerUrl === null) return undefined;
  if (upstream === undefined) {
    throw new ConfigError(
      "--k3s-server-url needs --k8s-api-endpoint: tokens are made in that cluster, and none is named",
    );
  }
  if (k8sApiCa === null) {
    throw new ConfigError(
      "--k3s-server-url needs --k8s-api-ca: without the server's CA an agent would trust anybody",
    );
  }
  return await openK3sJoins({
    ...rest,
    upstream,
    serverUrl: k3sServerUrl,
    caHash: await k3sCaHash(k8sApiCa),
  });
}

/**
 * What K3s puts into a secure token for a self-signed CA: SHA-256 of the PEM as it lies on the
 * server's disk (docs.k3s.io/cli/token), hex.
 * @throws {ConfigError} for more than one certificate, whose hash is another one
 */
export async function k3sCaHash(pem: string): Promise<string> {
  if (pem.split("-----BEGIN CERTIFICATE-----").length !== 2) {
    throw new ConfigError(
      "--k8s-api-ca: for K3s join tokens exactly one certificate is wanted, the server-ca.crt of K3s",
    );
  }
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(pem));
  return new Uint8Array(digest).toHex();
}
