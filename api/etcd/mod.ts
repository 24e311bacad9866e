/** The sealed store as an etcd v3 server. See docs/ETCD.md for what of etcd is there. */
export {
  createEtcdServer,
  type EtcdServer,
  type EtcdServerOptions,
  type EtcdServerStats,
} from "./server.ts";
export { type AutoCompaction, AutoCompactor } from "./auto_compaction.ts";
export {
  ClientRequestError,
  type EtcdAuthority,
  type EtcdAuthorityOptions,
  type IssuedTlsFiles,
  openEtcdAuthority,
} from "./authority.ts";
export { CLIENT_CERTIFICATES_PATH, etcdCertificateRoutes } from "./certificate_routes.ts";
export { DEFAULT_ETCD_LIMITS, ETCD_VERSION, type EtcdLimits } from "./context.ts";
export { type BoundAddress, ListenError, type ListenSpec, type TlsFiles } from "./listener.ts";
export type { StorageFacts } from "./maintenance.ts";
