/** What a running master leaves on disk for its clients: where it listens, and a way in. */
import { adminKubeconfig } from "../client/kubeconfig.ts";
import { replaceFile } from "../files/written.ts";
import { type Endpoints, formatListen } from "../runtime_files.ts";
import type { NodeTls } from "../node/node.ts";
import type { EtcdListener } from "./etcd_listener.ts";
import type { Listeners } from "./listeners.ts";

/** Paths. */
export interface PublishedFiles {
  readonly endpoints: string;
  /** The simulation only. */
  readonly kubeconfig: string | undefined;
}

/**
 * @param directory for `endpoints.json`; exists, 0700
 * @param kubeconfig where it goes and the token it holds; undefined: none is written
 */
export async function publishFiles(
  directory: string,
  kubeconfig: { readonly path: string; readonly adminToken: string } | undefined,
  { plain, tls, main }: Pick<Listeners, "plain" | "tls" | "main">,
  nodeTls: NodeTls | undefined,
  etcd: Pick<EtcdListener, "address"> | undefined,
): Promise<PublishedFiles> {
  const endpoints: Endpoints = {
    pid: Deno.pid,
    url: (plain ?? main).url,
    listen: plain === undefined ? null : formatListen(plain),
    tls_listen: tls === undefined ? null : formatListen(tls),
    etcd_listen: etcd?.address === undefined ? null : formatListen(etcd.address),
  };
  const path = `${directory}/endpoints.json`;
  await replaceFile(path, JSON.stringify(endpoints, null, 2) + "\n");
  if (kubeconfig !== undefined) {
    await replaceFile(
      kubeconfig.path,
      adminKubeconfig({
        server: main.url,
        token: kubeconfig.adminToken,
        certificateAuthority: tls === undefined ? undefined : nodeTls?.identity.caPem,
      }),
    );
  }
  return { endpoints: path, kubeconfig: kubeconfig?.path };
}
