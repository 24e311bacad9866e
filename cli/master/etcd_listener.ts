/** The etcd interface of the master: the socket in the runtime directory, and TCP with mutual TLS. */
import type { Logger } from "@logtape/logtape";
import {
  type AutoCompaction,
  createEtcdServer,
  type EtcdAuthority,
  type EtcdServer,
  type ListenSpec,
  openEtcdAuthority,
} from "../../api/etcd/mod.ts";
import { type Config, ConfigError } from "../../config.ts";
import type { Store } from "../../store/mod.ts";
import { type EtcdCertificates, openEtcdCertificates } from "./etcd_certificates.ts";
import type { OpenNode } from "../node/node.ts";
import { systemRandom } from "../random.ts";

export interface EtcdListener {
  readonly server: EtcdServer;
  /** `host:port` of the TCP listener; undefined where it is off. */
  readonly address: { readonly host: string; readonly port: number } | undefined;
  /** Shows a renewed certificate where it is time for one; cheap to ask often. */
  renewCertificate(): Promise<void>;
}

/** Who lets clients of the etcd interface in, and names this server to them. */
export function openMasterAuthority(store: Store, config: Config): Promise<EtcdAuthority> {
  return openEtcdAuthority({
    store,
    clock: Date.now,
    random: systemRandom,
    names: [
      config.nodeId,
      ...(config.etcdListen ? [config.etcdListen.host] : []),
      ...config.tlsNames,
    ],
  });
}

/**
 * Opens what the configuration and the TEE allow; undefined where that is nothing. The socket goes
 * where plain HTTP may: into the simulation, or where the kernel itself is inside the TEE.
 * @throws {ConfigError | ListenError}
 */
export async function openEtcdListener(options: {
  readonly config: Config;
  readonly node: Pick<OpenNode, "tee" | "store">;
  readonly log: Logger;
  /** Exists, 0700. */
  readonly runtimeDir: string;
  readonly authority: EtcdAuthority;
  readonly maxConnections: number;
}): Promise<EtcdListener | undefined> {
  const { config, node, authority } = options;
  const { tee, store } = node;
  const listeners: ListenSpec[] = [];
  let certificates: EtcdCertificates | undefined;
  if (tee.kind === "SIMULATION" || tee.covers === "image") {
    listeners.push({ kind: "unix", path: `${options.runtimeDir}/etcd.sock` });
  }
  if (config.etcdListen !== undefined) {
    certificates = await openEtcdCertificates(config, authority, Date.now);
    listeners.push({ kind: "tls", ...config.etcdListen, tls: certificates.first });
  }
  if (listeners.length === 0) return undefined;
  const server = await createEtcdServer({
    store,
    log: options.log,
    // Lease times must not follow a clock that the host sets.
    clock: () => performance.now(),
    random: systemRandom,
    listeners,
    memberName: config.nodeId,
    limits: { quotaBytes: config.etcdQuotaBackendBytes },
    autoCompaction: autoCompactionOf(config),
    maxConnections: options.maxConnections,
  });
  return {
    server,
    address: server.addresses.find((address) => address.kind === "tls"),
    async renewCertificate() {
      try {
        const files = await certificates?.renewed();
        if (files === undefined) return;
        server.renewTls(files);
        options.log.info("the certificate of the etcd listener was renewed");
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        options.log.error("the etcd listener keeps its certificate: {error}", { error });
      }
    },
  };
}

/** etcd's meaning of the two settings: a bare number is hours, or revisions. */
function autoCompactionOf(config: Config): AutoCompaction {
  const { etcdAutoCompactionMode: mode, etcdAutoCompactionRetention: kept } = config;
  if (kept.kind === "count" && kept.count === 0) return { mode: "off" };
  if (kept.kind === "duration") return { mode: "periodic", retentionMs: kept.ms };
  return mode === "revision"
    ? { mode, retention: kept.count }
    : { mode, retentionMs: kept.count * 3_600_000 };
}
