export type StoreErrorCode =
  | "locked" // another master holds the data directory
  | "keyring_missing"
  | "keyring_altered"
  | "keyring_sealed_elsewhere" // another measurement or another device: the cause says which
  | "foreign_record" // a record of another store, incarnation or key
  | "record_altered"
  | "record_missing"
  | "head_mismatch"
  | "rollback" // an anchor has seen more than the log shows, or is gone
  | "anchor_conflict" // somebody else advanced the anchor: a second master, or a fork
  | "successor_unsupported" // the TEE cannot seal to another program, or need not
  | "no_recovery_key" // a backup that nobody could restore
  | "backup_altered" // cut, altered, or of another store
  | "newer_store" // a restore would throw away what the backup does not have
  | "format"
  | "io"
  | "closed"
  | "compacted"
  | "future_revision"
  | "duplicate_key"
  | "lease_not_found"
  | "lease_exists"
  | "lease_ttl_too_large"
  | "key_not_found" // ignoreValue or ignoreLease of a key that is not there
  | "watch_overflow"
  | "config_immutable"
  | "invalid_request" // the request itself makes no sense: the message names the field
  | "too_large";

/** Every refusal of the store: what, where, and what an operator can do. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly code: StoreErrorCode;
  readonly hint: string | undefined;
  constructor(
    code: StoreErrorCode,
    message: string,
    options: { cause?: unknown; hint?: string } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
  }
}
