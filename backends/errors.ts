import type { TeeType } from "./mod.ts";

export type BackendErrorCode =
  | "unavailable" // the TEE, its device or its library is not there
  | "not_landed" // this build does not contain the backend yet
  | "config_invalid"
  | "closed"
  | "policy_unsupported"
  | "measurement_mismatch"
  | "foreign_device"
  | "tampered"
  | "malformed"
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
