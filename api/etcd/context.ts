/** What every etcd service shares. */
import type { Logger } from "@logtape/logtape";
import type { Store } from "../../store/mod.ts";
import type { Identity, ResponseHeader } from "./messages.ts";

/** etcd's own limits and their defaults. */
export interface EtcdLimits {
  /** `--max-request-bytes`: a write above it is refused with "request is too large". */
  readonly maxRequestBytes: number;
  /** `--max-txn-ops`. */
  readonly maxTxnOps: number;
  /** `--quota-backend-bytes`; 0: none. */
  readonly quotaBytes: number;
  /** `--experimental-watch-progress-notify-interval`. */
  readonly progressNotifyIntervalMs: number;
  /** What a watch may have queued for a slow reader before it goes over to reading the history. */
  readonly watchBufferBytes: number;
}

export const DEFAULT_ETCD_LIMITS: EtcdLimits = {
  maxRequestBytes: 1_572_864,
  maxTxnOps: 128,
  quotaBytes: 2 * 1024 ** 3,
  progressNotifyIntervalMs: 600_000,
  watchBufferBytes: 1_048_576,
};

/** What a request may be longer than `maxRequestBytes` before it is not even read, as in etcd. */
export const REQUEST_OVERHEAD_BYTES = 524_288;

/** The version that is told to clients: the one whose behaviour this server follows. */
export const ETCD_VERSION = "3.5.21";
export const ETCD_CLUSTER_VERSION = "3.5.0";

export interface EtcdContext {
  readonly store: Store;
  readonly log: Logger;
  readonly identity: Identity;
  readonly limits: EtcdLimits;
}

/** The header of an answer; without a revision, the newest one. */
export function headerOf(context: EtcdContext, revision?: number): ResponseHeader {
  return { identity: context.identity, revision: revision ?? context.store.revision("etcd") };
}

/** Cluster and member id are the store's: they stay over restarts and differ between stores. */
export function identityOf(store: Store): Identity {
  const view = new DataView(store.storeId.buffer, store.storeId.byteOffset, 16);
  return {
    clusterId: view.getBigUint64(0) | 1n,
    memberId: view.getBigUint64(8) | 1n,
    raftTerm: 2n,
  };
}
