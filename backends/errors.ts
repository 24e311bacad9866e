import type { TeeType } from "./mod.ts";

/** Literal codes: what callers branch on. Texts may change, codes may not. */
export type BackendErrorCode =
  | "unavailable" // the TEE, its device or its library is not there
  | "not_genuine" // its evidence does not lead to the vendor's root
  | "config_invalid"
  | "closed"
  | "policy_unsupported"
  | "measurement_mismatch" // sealed to other code: the message names both measurements
  | "signer_mismatch" // sealed to other code's signer
  | "foreign_device" // sealed by another machine, or this one changed what its keys hang on
  | "tampered"
  | "malformed"
  | "state_invalid" // what the backend keeps on disk cannot be trusted: length, permissions
  | "io" // the disk or the device failed; the cause says how
  | "duplicate" // two registry entries of one kind
  | "firmware" // the TEE answered with an error of its own: see nativeStatus
  | "throttled"
  | "device_lost"
  | "counter_conflict"
  | "report_data_length";

/** A failure of a TEE or of talking to it, with the TEE's own status kept. */
export class BackendError extends Error {
  override readonly name = "BackendError";
  readonly code: BackendErrorCode;
  readonly kind: TeeType | undefined;
  /** errno, fw_error, TEEC_Result, sgx_status_t, as the TEE gave it. */
  readonly nativeStatus: { readonly name: string; readonly value: number | bigint } | undefined;
  /** What an operator can do. */
  readonly hint: string | undefined;

  constructor(code: BackendErrorCode, message: string, options: {
    kind?: TeeType;
    cause?: unknown;
    nativeStatus?: { name: string; value: number | bigint };
    hint?: string;
  } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.kind = options.kind;
    this.nativeStatus = options.nativeStatus;
    this.hint = options.hint;
  }
}
