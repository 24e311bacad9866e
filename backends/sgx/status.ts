/**
 * What Intel's libraries and our enclave answer, by number: the name, the code that a caller branches
 * on, and what an operator can do (sgx_error.h, sgx_ql_lib_common.h, native/sgx/nautilus_sgx.h).
 */
import { BackendError, type BackendErrorCode } from "../errors.ts";
import type { SgxResult } from "../ffi/sgx_library.ts";

type Known = readonly [name: string, code: BackendErrorCode, hint?: string];

const RESTART = "restart the master; see the host's kernel log where this stays";
const INSTALL = "install the enclave and libnautilus_sgx.so of this release in /usr/lib/nautilus";
const BUSY = "try again later; other enclaves of the host may use up what there is";
const AESM = "start the AESM service (aesmd) and check its log";
const UPDATE = "update the platform's microcode and Intel's SGX runtime";
const PROVISION = "provision the platform: PCK certificates by the quote provider library " +
  "(/etc/sgx_default_qcnl.conf), and read access to /dev/sgx_provision";
const OLDER = "microcode or enclave are older than what sealed this: put the newer back, or " +
  "recover with a recovery key";

/** sgx_status_t. */
export const SGX_STATUS: Readonly<Record<number, Known>> = {
  0x0001: ["SGX_ERROR_UNEXPECTED", "firmware", RESTART],
  0x0002: ["SGX_ERROR_INVALID_PARAMETER", "firmware", INSTALL],
  0x0003: ["SGX_ERROR_OUT_OF_MEMORY", "throttled", BUSY],
  0x0004: ["SGX_ERROR_ENCLAVE_LOST", "device_lost", RESTART],
  0x0005: ["SGX_ERROR_INVALID_STATE", "firmware", RESTART],
  0x0008: ["SGX_ERROR_FEATURE_NOT_SUPPORTED", "unavailable", UPDATE],
  0x0009: ["SGX_PTHREAD_EXIT", "device_lost", RESTART],
  0x000a: ["SGX_ERROR_MEMORY_MAP_FAILURE", "throttled", BUSY],
  0x1001: ["SGX_ERROR_INVALID_FUNCTION", "unavailable", INSTALL],
  0x1003: ["SGX_ERROR_OUT_OF_TCS", "throttled", BUSY],
  0x1006: ["SGX_ERROR_ENCLAVE_CRASHED", "device_lost", RESTART],
  0x1007: ["SGX_ERROR_ECALL_NOT_ALLOWED", "firmware", RESTART],
  0x1008: ["SGX_ERROR_OCALL_NOT_ALLOWED", "firmware", RESTART],
  0x1009: ["SGX_ERROR_STACK_OVERRUN", "device_lost", RESTART],
  0x2000: ["SGX_ERROR_UNDEFINED_SYMBOL", "unavailable", INSTALL],
  0x2001: ["SGX_ERROR_INVALID_ENCLAVE", "unavailable", INSTALL],
  0x2002: ["SGX_ERROR_INVALID_ENCLAVE_ID", "device_lost", RESTART],
  0x2003: ["SGX_ERROR_INVALID_SIGNATURE", "unavailable", INSTALL],
  0x2004: ["SGX_ERROR_NDEBUG_ENCLAVE", "unavailable", INSTALL],
  0x2005: ["SGX_ERROR_OUT_OF_EPC", "throttled", BUSY],
  0x2006: ["SGX_ERROR_NO_DEVICE", "unavailable", "enable SGX in the firmware; /dev/sgx_enclave"],
  0x2007: ["SGX_ERROR_MEMORY_MAP_CONFLICT", "firmware", RESTART],
  0x2009: ["SGX_ERROR_INVALID_METADATA", "unavailable", INSTALL],
  0x200c: ["SGX_ERROR_DEVICE_BUSY", "throttled", BUSY],
  0x200d: ["SGX_ERROR_INVALID_VERSION", "unavailable", UPDATE],
  0x200e: ["SGX_ERROR_MODE_INCOMPATIBLE", "unavailable", INSTALL],
  0x200f: ["SGX_ERROR_ENCLAVE_FILE_ACCESS", "unavailable", INSTALL],
  0x2010: ["SGX_ERROR_INVALID_MISC", "unavailable", INSTALL],
  0x2011: ["SGX_ERROR_INVALID_LAUNCH_TOKEN", "unavailable", AESM],
  0x3001: ["SGX_ERROR_MAC_MISMATCH", "tampered"],
  0x3002: ["SGX_ERROR_INVALID_ATTRIBUTE", "firmware", INSTALL],
  0x3003: ["SGX_ERROR_INVALID_CPUSVN", "foreign_device", OLDER],
  0x3004: ["SGX_ERROR_INVALID_ISVSVN", "foreign_device", OLDER],
  0x3005: ["SGX_ERROR_INVALID_KEYNAME", "firmware", INSTALL],
  0x4001: ["SGX_ERROR_SERVICE_UNAVAILABLE", "unavailable", AESM],
  0x4002: ["SGX_ERROR_SERVICE_TIMEOUT", "throttled", AESM],
  0x4003: ["SGX_ERROR_AE_INVALID_EPIDBLOB", "firmware", AESM],
  0x4004: ["SGX_ERROR_SERVICE_INVALID_PRIVILEGE", "unavailable", PROVISION],
  0x4005: ["SGX_ERROR_EPID_MEMBER_REVOKED", "firmware", UPDATE],
  0x4006: ["SGX_ERROR_UPDATE_NEEDED", "unavailable", UPDATE],
  0x4007: ["SGX_ERROR_NETWORK_FAILURE", "throttled", PROVISION],
  0x4008: ["SGX_ERROR_AE_SESSION_INVALID", "firmware", AESM],
  0x400a: ["SGX_ERROR_BUSY", "throttled", BUSY],
  0x400c: ["SGX_ERROR_MC_NOT_FOUND", "firmware", AESM],
  0x400d: ["SGX_ERROR_MC_NO_ACCESS_RIGHT", "firmware", AESM],
  0x400e: ["SGX_ERROR_MC_USED_UP", "firmware", AESM],
  0x400f: ["SGX_ERROR_MC_OVER_QUOTA", "throttled", AESM],
  0x4011: ["SGX_ERROR_KDF_MISMATCH", "firmware", INSTALL],
  0x4012: ["SGX_ERROR_UNRECOGNIZED_PLATFORM", "unavailable", PROVISION],
  0x4013: ["SGX_ERROR_UNSUPPORTED_CONFIG", "unavailable", PROVISION],
  0x5002: ["SGX_ERROR_NO_PRIVILEGE", "unavailable", "let the master's user open /dev/sgx_enclave"],
  0x6001: ["SGX_ERROR_PCL_ENCRYPTED", "unavailable", INSTALL],
  0x6002: ["SGX_ERROR_PCL_NOT_ENCRYPTED", "unavailable", INSTALL],
  0x6003: ["SGX_ERROR_PCL_MAC_MISMATCH", "unavailable", INSTALL],
  0x6004: ["SGX_ERROR_PCL_SHA_MISMATCH", "unavailable", INSTALL],
  0x6005: ["SGX_ERROR_PCL_GUID_MISMATCH", "unavailable", INSTALL],
  0x7001: ["SGX_ERROR_FILE_BAD_STATUS", "io", RESTART],
  0x7002: ["SGX_ERROR_FILE_NO_KEY_ID", "io", RESTART],
  0x7003: ["SGX_ERROR_FILE_NAME_MISMATCH", "io", RESTART],
  0x7004: ["SGX_ERROR_FILE_NOT_SGX_FILE", "io", RESTART],
  0x7005: ["SGX_ERROR_FILE_CANT_OPEN_RECOVERY_FILE", "io", RESTART],
  0x7006: ["SGX_ERROR_FILE_CANT_WRITE_RECOVERY_FILE", "io", RESTART],
  0x7007: ["SGX_ERROR_FILE_RECOVERY_NEEDED", "io", RESTART],
  0x7008: ["SGX_ERROR_FILE_FLUSH_FAILED", "io", RESTART],
  0x7009: ["SGX_ERROR_FILE_CLOSE_FAILED", "io", RESTART],
  0x8001: ["SGX_ERROR_UNSUPPORTED_ATT_KEY_ID", "unavailable", PROVISION],
  0x8002: ["SGX_ERROR_ATT_KEY_CERTIFICATION_FAILURE", "unavailable", PROVISION],
  0x8003: ["SGX_ERROR_ATT_KEY_UNINITIALIZED", "unavailable", PROVISION],
  0x8004: ["SGX_ERROR_INVALID_ATT_KEY_CERT_DATA", "unavailable", PROVISION],
  0x8005: ["SGX_ERROR_PLATFORM_CERT_UNAVAILABLE", "unavailable", PROVISION],
  0x9001: ["SGX_ERROR_TLS_X509_INVALID_EXTENSION", "firmware", INSTALL],
  0xf001: ["SGX_INTERNAL_ERROR_ENCLAVE_CREATE_INTERRUPTED", "throttled", BUSY],
};

/** quote3_error_t, those of making quotes. */
export const QUOTE3_ERROR: Readonly<Record<number, Known>> = {
  0xe001: ["SGX_QL_ERROR_UNEXPECTED", "firmware", AESM],
  0xe002: ["SGX_QL_ERROR_INVALID_PARAMETER", "firmware", UPDATE],
  0xe003: ["SGX_QL_ERROR_OUT_OF_MEMORY", "throttled", BUSY],
  0xe004: ["SGX_QL_ERROR_ECDSA_ID_MISMATCH", "firmware", AESM],
  0xe005: ["SGX_QL_PATHNAME_BUFFER_OVERFLOW_ERROR", "firmware", AESM],
  0xe006: ["SGX_QL_FILE_ACCESS_ERROR", "io", AESM],
  0xe007: ["SGX_QL_ERROR_STORED_KEY", "firmware", AESM],
  0xe008: ["SGX_QL_ERROR_PUB_KEY_ID_MISMATCH", "firmware", AESM],
  0xe009: ["SGX_QL_ERROR_INVALID_PCE_SIG_SCHEME", "firmware", UPDATE],
  0xe00a: ["SGX_QL_ATT_KEY_BLOB_ERROR", "firmware", AESM],
  0xe00b: ["SGX_QL_UNSUPPORTED_ATT_KEY_ID", "unavailable", UPDATE],
  0xe00c: ["SGX_QL_UNSUPPORTED_LOADING_POLICY", "firmware", AESM],
  0xe00d: ["SGX_QL_INTERFACE_UNAVAILABLE", "unavailable", AESM],
  0xe00e: ["SGX_QL_PLATFORM_LIB_UNAVAILABLE", "unavailable", PROVISION],
  0xe00f: ["SGX_QL_ATT_KEY_NOT_INITIALIZED", "unavailable", PROVISION],
  0xe010: ["SGX_QL_ATT_KEY_CERT_DATA_INVALID", "unavailable", PROVISION],
  0xe011: ["SGX_QL_NO_PLATFORM_CERT_DATA", "unavailable", PROVISION],
  0xe012: ["SGX_QL_OUT_OF_EPC", "throttled", BUSY],
  0xe013: ["SGX_QL_ERROR_REPORT", "firmware", RESTART],
  0xe014: ["SGX_QL_ENCLAVE_LOST", "device_lost", RESTART],
  0xe015: ["SGX_QL_INVALID_REPORT", "firmware", "the report is of another processor"],
  0xe016: ["SGX_QL_ENCLAVE_LOAD_ERROR", "unavailable", PROVISION],
  0xe017: ["SGX_QL_UNABLE_TO_GENERATE_QE_REPORT", "firmware", UPDATE],
  0xe018: ["SGX_QL_KEY_CERTIFCATION_ERROR", "unavailable", PROVISION],
  0xe019: ["SGX_QL_NETWORK_ERROR", "throttled", PROVISION],
  0xe01a: ["SGX_QL_MESSAGE_ERROR", "unavailable", PROVISION],
};

/** enum nautilus_sgx_result. */
export const HELPER_RESULT: Readonly<Record<number, Known>> = {
  0x4e540001: ["NAUTILUS_SGX_BUFFER_TOO_SMALL", "io", INSTALL],
  0x4e540002: ["NAUTILUS_SGX_MALFORMED", "malformed"],
  0x4e540003: ["NAUTILUS_SGX_TAMPERED", "tampered", "the file is damaged, changed, or another one"],
  0x4e540004: [
    "NAUTILUS_SGX_OTHER_KEY",
    "foreign_device",
    "another processor sealed this: recover with a recovery key (docs/KEYS.md)",
  ],
  0x4e540005: ["NAUTILUS_SGX_BAD_POLICY", "policy_unsupported"],
};

/** The failure of a call whose status is not 0. A number that is in no table is `firmware`. */
export function sgxFailure({ origin, call, status }: SgxResult): BackendError {
  const table = origin === "dcap" ? "quote3_error_t" : "sgx_status_t";
  const known = origin === "dcap"
    ? QUOTE3_ERROR[status]
    : SGX_STATUS[status] ?? (origin === "enclave" ? HELPER_RESULT[status] : undefined);
  const hex = `0x${status.toString(16).padStart(4, "0")}`;
  const [name, code, hint] = known ?? [hex, "firmware", "see Intel's SGX documentation"] as const;
  return new BackendError(code, `SGX, ${call}: ${name}${known === undefined ? "" : ` (${hex})`}`, {
    kind: "SGX",
    nativeStatus: { name: table, value: status },
    ...(hint === undefined ? {} : { hint }),
  });
}
