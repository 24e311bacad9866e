/** What a running master does once a second beside serving: workers, history, memory, certificates. */
import type { Logger } from "@logtape/logtape";
import { AutoCompactor } from "../../api/etcd/mod.ts";
import type { ApiServer } from "../../api/server.ts";
import type { Workers } from "../../api/workers.ts";
import type { K3sJoins } from "../../api/k3s_join.ts";
import type { Store } from "../../store/mod.ts";
import type { EtcdListener } from "./etcd_listener.ts";
import { createMemoryKeeper, trimmer } from "./memory.ts";
import type { NodeTls } from "../node/node.ts";

export interface Housekept {
  readonly store: Store;
  readonly workers: Workers;
  readonly k3s: K3sJoins | undefined;
  readonly tls: NodeTls | undefined;
  /** Shows the certificate of the day. */
  readonly tlsServer: ApiServer | undefined;
  readonly etcd: EtcdListener | undefined;
  readonly env: Readonly<Record<string, string>>;
  readonly log: Logger;
  /** Nothing can be done any more. */
  readonly onStoreFailure: () => void;
}

const INTERVAL_MS = 1_000;
/** As a kube-apiserver compacts its etcd: a watch or a list may go on from five minutes ago. */
const K8S_HISTORY = { mode: "periodic", retentionMs: 300_000 } as const;

/** @returns how to stop it */
export function startHousekeeping(kept: Housekept): () => void {
  const { store, workers, tls, tlsServer, etcd, log } = kept;
  const k8sHistory = new AutoCompactor(store, Date.now, K8S_HISTORY, "k8s");
  const memory = createMemoryKeeper({
    clock: Date.now,
    resident: () => Deno.memoryUsage().rss,
    trim: trimmer(kept.env),
  });
  const timer = setInterval(() => {
    if (store.failure !== undefined) return kept.onStoreFailure();
    sweep(workers, log);
    kept.k3s?.revoke().catch((error: unknown) =>
      log.error("K3s join credentials could not be looked through: {error}", { error })
    );
    memory.tick();
    k8sHistory.tick().catch((error: unknown) =>
      log.error("the history of objects could not be compacted: {error}", { error })
    );
    renewCertificate(tls, tlsServer, log);
    etcd?.renewCertificate().catch((error: unknown) =>
      log.error("the etcd listener keeps its certificate: {error}", { error })
    );
  }, INTERVAL_MS);
  return () => clearInterval(timer);
}

/** Before the certificate ends; open connections keep what they have. */
function renewCertificate(
  tls: NodeTls | undefined,
  server: ApiServer | undefined,
  log: Logger,
): void {
  if (tls === undefined || server === undefined || Date.now() < tls.current.renewAtMs) return;
  tls.current = tls.identity.issue();
  server.renewCertificate(tls.current.credentials);
  log.info("the TLS certificate was renewed", {
    certificate_ends: new Date(tls.current.notAfterMs).toISOString(),
  });
}

/** Failures of one round are told and tried again in the next; the sessions keep their own ends. */
function sweep(workers: Workers, log: Logger): void {
  workers.sweep().then(
    ({ lost, removed, refused }) => {
      for (const worker of lost) log.warn("a worker is lost: no heartbeat", { worker });
      for (const worker of removed) log.warn("a worker is removed with its Node", { worker });
      for (const worker of refused) log.warn("a worker lost its admission", { worker });
    },
    (error: unknown) => log.error("workers could not be looked through: {error}", { error }),
  );
}
