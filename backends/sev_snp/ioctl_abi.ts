/**
 * The guest device's bytes: ioctls of `/dev/sev-guest` (linux/sev-guest.h) and the messages they
 * carry (AMD 56860, SEV Secure Nested Paging Firmware ABI, 7.1 to 7.3). Pure; little-endian.
 * ioctl_abi_test.ts compares sizes and offsets with the header.
 */
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";
import { REPORT_BYTES } from "./abi.ts";

export const SNP_GET_REPORT = 0xc0205300;
export const SNP_GET_DERIVED_KEY = 0xc0205301;
export const SNP_GET_EXT_REPORT = 0xc0205302;

/** struct snp_guest_request_ioctl: msg_version u8@0, req_data u64@8, resp_data u64@16, exitinfo2 u64@24. */
export const GUEST_REQUEST = { length: 32, requestAt: 8, responseAt: 16, errorAt: 24 } as const;
/** struct snp_report_req: user_data@0, vmpl u32@64. */
export const REPORT_REQUEST = { length: 96, userDataLength: 64, vmplAt: 64 } as const;
/** struct snp_ext_report_req: the above, certs_address u64@96, certs_len u32@104. */
export const EXT_REPORT_REQUEST = { length: 112, certsAt: 96, certsLengthAt: 104 } as const;
/** struct snp_derived_key_req. */
export const DERIVED_KEY_REQUEST = {
  length: 32,
  rootKeyAt: 0,
  fieldsAt: 8,
  vmplAt: 16,
  guestSvnAt: 20,
  tcbAt: 24,
} as const;
export const REPORT_RESPONSE_LENGTH = 4000;
export const DERIVED_KEY_RESPONSE_LENGTH = 64;
/** What the kernel takes for a certificate buffer: whole pages, 16 KiB at most. */
export const CERTIFICATE_BUFFER_LENGTH = 16384;

/** vmm_error of an extended report whose certificate buffer is too small. */
export const VMM_INVALID_LENGTH = 1;
/** vmm_error of a host that throttles. */
export const VMM_BUSY = 2;
/** fw_error where the firmware was never asked. */
export const NO_FIRMWARE_CALL = 0xffffffff;

/** GUEST_FIELD_SELECT: what is mixed into a derived key. */
export const FIELD = {
  policy: 1n << 0n,
  imageId: 1n << 1n,
  familyId: 1n << 2n,
  measurement: 1n << 3n,
  guestSvn: 1n << 4n,
  tcbVersion: 1n << 5n,
} as const;

/** Status codes of the firmware (56860, table 6) that a guest may meet. */
const FIRMWARE_STATUS: Readonly<Record<number, string>> = {
  0x00: "SUCCESS",
  0x01: "INVALID_PLATFORM_STATE",
  0x02: "INVALID_GUEST_STATE",
  0x03: "INVALID_CONFIG",
  0x04: "INVALID_LENGTH",
  0x05: "ALREADY_OWNED",
  0x06: "INVALID_CERTIFICATE",
  0x07: "POLICY_FAILURE",
  0x08: "INACTIVE",
  0x09: "INVALID_ADDRESS",
  0x0a: "BAD_SIGNATURE",
  0x0b: "BAD_MEASUREMENT",
  0x0c: "ASID_OWNED",
  0x0d: "INVALID_ASID",
  0x0e: "WBINVD_REQUIRED",
  0x0f: "DFFLUSH_REQUIRED",
  0x10: "INVALID_GUEST",
  0x11: "INVALID_COMMAND",
  0x12: "ACTIVE",
  0x13: "HWERROR_PLATFORM",
  0x14: "HWERROR_UNSAFE",
  0x15: "UNSUPPORTED",
  0x16: "INVALID_PARAM",
  0x17: "RESOURCE_LIMIT",
  0x18: "SECURE_DATA_INVALID",
  0x19: "INVALID_PAGE_SIZE",
  0x1a: "INVALID_PAGE_STATE",
  0x1b: "INVALID_MDATA_ENTRY",
  0x1c: "INVALID_PAGE_OWNER",
  0x1d: "AEAD_OFLOW",
  0x20: "RMP_INITIALIZATION_FAILED",
  0x23: "SHUTDOWN_REQUIRED",
  0x27: "INVALID_KEY",
};

/** `INVALID_PARAM` for 0x16; `status 0x99` for what has no name here. */
export function firmwareStatusName(status: number): string {
  return FIRMWARE_STATUS[status] ?? `status 0x${status.toString(16)}`;
}

function malformed(what: string): BackendError {
  return new BackendError("malformed", `the SEV-SNP device answered ${what}`, { kind: "SEV" });
}

/** The ioctl's argument, message version 1, error fields zero (the kernel leaves them so on success). */
export function encodeGuestRequest(): Bytes {
  const out = new Uint8Array(GUEST_REQUEST.length);
  out[0] = 1;
  return out;
}

/** What firmware and hypervisor said; both 0 on success. */
export function decodeGuestRequest(bytes: Bytes): { fwError: number; vmmError: number } {
  if (bytes.length !== GUEST_REQUEST.length) throw malformed("with an argument of another length");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    fwError: view.getUint32(GUEST_REQUEST.errorAt, true),
    vmmError: view.getUint32(GUEST_REQUEST.errorAt + 4, true),
  };
}

/** @param userData 64 bytes */
export function encodeReportRequest(userData: Bytes, vmpl: number): Bytes {
  if (userData.length !== REPORT_REQUEST.userDataLength) {
    throw new RangeError("64 bytes are wanted");
  }
  const out = new Uint8Array(REPORT_REQUEST.length);
  out.set(userData);
  new DataView(out.buffer).setUint32(REPORT_REQUEST.vmplAt, vmpl, true);
  return out;
}

/** @param certsLength of the buffer for certificates, whole pages; its address is linked in */
export function encodeExtReportRequest(
  userData: Bytes,
  vmpl: number,
  certsLength: number,
): Bytes {
  const out = new Uint8Array(EXT_REPORT_REQUEST.length);
  out.set(encodeReportRequest(userData, vmpl));
  new DataView(out.buffer).setUint32(EXT_REPORT_REQUEST.certsLengthAt, certsLength, true);
  return out;
}

/** How large the certificate buffer was, or should have been. */
export function decodeCertificatesLength(bytes: Bytes): number {
  if (bytes.length !== EXT_REPORT_REQUEST.length) throw malformed("a request of another length");
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    .getUint32(EXT_REPORT_REQUEST.certsLengthAt, true);
}

/** MSG_REPORT_RSP: status u32@0, size u32@4, report@32. */
export function decodeReportResponse(bytes: Bytes): { status: number; report: Bytes } {
  if (bytes.length !== REPORT_RESPONSE_LENGTH) throw malformed(`${bytes.length} bytes of report`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const status = view.getUint32(0, true);
  if (status !== 0) return { status, report: new Uint8Array(0) };
  const size = view.getUint32(4, true);
  if (size !== REPORT_BYTES) {
    throw malformed(`a report of ${size} bytes, ${REPORT_BYTES} are wanted`);
  }
  return { status, report: bytes.slice(32, 32 + size) };
}

export interface DerivedKeyRequest {
  /** OR of FIELD. */
  readonly fields: bigint;
  readonly vmpl: number;
  readonly guestSvn: number;
  /** 8 bytes as they stand in a report. */
  readonly tcbVersion: Bytes;
}

/** Derives from the VCEK (root key 0; a VLEK where the host loaded one). */
export function encodeDerivedKeyRequest(request: DerivedKeyRequest): Bytes {
  const { length, fieldsAt, vmplAt, guestSvnAt, tcbAt } = DERIVED_KEY_REQUEST;
  if (request.tcbVersion.length !== 8) throw new RangeError("a TCB version is 8 bytes");
  const out = new Uint8Array(length);
  const view = new DataView(out.buffer);
  view.setBigUint64(fieldsAt, request.fields, true);
  view.setUint32(vmplAt, request.vmpl, true);
  view.setUint32(guestSvnAt, request.guestSvn, true);
  out.set(request.tcbVersion, tcbAt);
  return out;
}

/** MSG_KEY_RSP: status u32@0, key@32. The caller wipes the key, and `bytes`. */
export function decodeDerivedKeyResponse(bytes: Bytes): { status: number; key: Bytes } {
  if (bytes.length !== DERIVED_KEY_RESPONSE_LENGTH) throw malformed(`${bytes.length} bytes of key`);
  const status = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
  return { status, key: bytes.slice(32, 64) };
}
