/**
 * The sealed store: an etcd-shaped, revisioned key-value state machine whose every record is
 * encrypted and authenticated before it leaves memory. Knows backends (for sealing), no HTTP.
 */
export * from "./types.ts";
export * from "./errors.ts";
export { openStore, type StoreOptions } from "./open.ts";
export { AeadError, type AeadKey, type AeadProvider } from "./aead.ts";
export { webCryptoAead } from "./aead/webcrypto.ts";
export { nodeCryptoAead } from "./aead/node_crypto.ts";
export { type AeadAvailability, libcryptoAead } from "./aead/libcrypto.ts";
export { type AeadChoice, type AeadSelection, selectAead } from "./aead/select.ts";
export type { DurableLog } from "./log.ts";
export { createMemoryLog, createMemoryMedium, type MemoryMedium } from "./logs/memory.ts";
export { openSqliteLog, type SpawnWorker, type SqliteLogOptions } from "./logs/sqlite.ts";
export { SQLITE_WORKER_NAME } from "./logs/sqlite_protocol.ts";
export { runSqliteWorker } from "./logs/sqlite_worker.ts";
export { acquireDataDirLock } from "./lock.ts";
export {
  type LeaseTimeToLive,
  Lessor,
  type LessorOptions,
  MAX_LEASE_TTL_SECONDS,
  MIN_LEASE_TTL_SECONDS,
} from "./lease.ts";
export type { AnchorOptions, FreshnessStatus, RecordAnchor, RollbackProtection } from "./anchor.ts";
export { fileAnchor } from "./file_anchor.ts";
export type { HpkeKeyPair } from "./hpke.ts";
export {
  acceptRecovery,
  createRecoveryKeyPair,
  createRecoveryRequest,
  decodeRecoveryRequest,
  decodeRecoveryResponse,
  recoveryRecipients,
  recoveryReportData,
  type RecoveryRequest,
  type RecoveryResponse,
  rewrapForRecovery,
} from "./recovery.ts";
export {
  type BackupHeader,
  BackupReader,
  type BackupSource,
  type BackupTrailer,
  EtcdFraming,
  scanBackup,
} from "./backup_format.ts";
export {
  hasAllOf,
  type RestoredStore,
  restoreStore,
  type StandingStore,
  standingStore,
} from "./restore.ts";
