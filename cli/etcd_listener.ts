/** The etcd interface of the master: the socket in the runtime directory, and TCP with mutual TLS. */
import type { Logger } from "@logtape/logtape";
import {
  createEtcdServer,
  type EtcdAuthority,
  type EtcdServer,
  type ListenSpec,
  type TlsFiles,
} from "../api/etcd/mod.ts";
import { type Config, ConfigError } from "../config.ts";
import { type OpenNode, systemRandom } from "./node.ts";

export interface EtcdListener {
  readonly server: EtcdServer;
  /** `host:port` of the TCP listener; undefined where it is off. */
  readonly address: { readonly host: string; readonly port: number } | undefined;
}

/**
 * Opens what the configuration and the TEE allow; undefined where that is nothing. The socket goes
 * where plain HTTP may: into the simulation, or where the kernel itself is inside the TEE.
 * @throws {ConfigError | ListenError}
 */
export async function openEtcdListener(options: {
  readonly config: Config;
  readonly node: Pick<OpenNode, "tee" | "store" | "sizeBytes">;
  readonly log: Logger;
  /** Exists, 0700. */
  readonly runtimeDir: string;
  readonly authority: EtcdAuthority;
  readonly maxConnections: number;
}): Promise<EtcdListener | undefined> {
  const { config, node, authority } = options;
  const { tee, store } = node;
  const listeners: ListenSpec[] = [];
  if (tee.kind === "SIMULATION" || tee.covers === "image") {
    listeners.push({ kind: "unix", path: `${options.runtimeDir}/etcd.sock` });
  }
  if (config.etcdListen !== undefined) {
    const tls = await readTlsFiles(config) ?? authority.listenerFiles();
    listeners.push({ kind: "tls", ...config.etcdListen, tls });
  }
  if (listeners.length === 0) return undefined;
  const server = await createEtcdServer({
    store,
    log: options.log,
    // Lease times must not follow a clock that the host sets.
    clock: () => performance.now(),
    random: systemRandom,
    listeners,
    storage: { sizeBytes: node.sizeBytes },
    memberName: config.nodeId,
    maxConnections: options.maxConnections,
  });
  return { server, address: server.addresses.find((address) => address.kind === "tls") };
}

/** Certificates of the operator's own; all three files or none. */
async function readTlsFiles(config: Config): Promise<TlsFiles | undefined> {
  const { etcdCertFile, etcdKeyFile, etcdClientCaFile } = config;
  const paths = [etcdCertFile, etcdKeyFile, etcdClientCaFile];
  if (paths.every((path) => path === undefined)) return undefined;
  const [certificate, key, clientAuthorities] = await Promise.all(paths.map(async (path) => {
    if (path === undefined) {
      throw new ConfigError(
        "--etcd-cert-file, --etcd-key-file and --etcd-client-ca-file go together",
      );
    }
    try {
      return await Deno.readTextFile(path);
    } catch (cause) {
      throw new ConfigError(`etcd TLS file ${path}: ${(cause as Error).message}`, { cause });
    }
  }));
  if (certificate === undefined || key === undefined || clientAuthorities === undefined) {
    throw new TypeError("three paths give three texts");
  }
  return { certificate, key, clientAuthorities };
}
