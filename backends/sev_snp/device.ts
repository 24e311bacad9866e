/** `/dev/sev-guest`: reports and derived keys, each failure with the firmware's own status. */
import { BackendError } from "../errors.ts";
import type { IoctlAnswer, IoctlDevice } from "../ffi/device.ts";
import { errnoName } from "../ffi/errno.ts";
import type { BufferLink } from "../ffi/libc.ts";
import type { Bytes } from "../mod.ts";
import {
  CERTIFICATE_BUFFER_LENGTH,
  decodeCertificatesLength,
  decodeDerivedKeyResponse,
  decodeGuestRequest,
  decodeReportResponse,
  DERIVED_KEY_RESPONSE_LENGTH,
  type DerivedKeyRequest,
  encodeDerivedKeyRequest,
  encodeExtReportRequest,
  encodeGuestRequest,
  encodeReportRequest,
  EXT_REPORT_REQUEST,
  firmwareStatusName,
  GUEST_REQUEST,
  NO_FIRMWARE_CALL,
  REPORT_RESPONSE_LENGTH,
  SNP_GET_DERIVED_KEY,
  SNP_GET_EXT_REPORT,
  SNP_GET_REPORT,
  VMM_BUSY,
  VMM_INVALID_LENGTH,
} from "./ioctl_abi.ts";

/** A report, and the certificate table that the host gave along (empty where it gave none). */
export interface SnpGuestReport {
  /** 1184 bytes. */
  readonly report: Bytes;
  readonly certificateTable: Bytes;
}

export interface SnpGuestDevice extends AsyncDisposable {
  /** @param userData 64 bytes */
  report(userData: Bytes, vmpl: number): Promise<SnpGuestReport>;
  /** 32 bytes; the caller wipes them. */
  derivedKey(request: DerivedKeyRequest): Promise<Bytes>;
}

const HINTS: Readonly<Record<string, string>> = {
  ENOTTY: "the guest's message key is used up or was wiped: restart the guest",
  ENODEV: "the device went away: restart the guest",
  ENXIO: "the device went away: restart the guest",
  EIO: "the host's firmware did not answer as it should: see the host's kernel log",
  EINVAL: "the kernel refuses the request: is the VMPL below the guest's?",
  ETIMEDOUT: "the security processor is busy: try again later",
};

/** What a failed call means. @param answer whose errno or status is not 0 */
function failure(what: string, errno: number, fwError: number, vmmError: number): BackendError {
  const name = errnoName(errno);
  if (vmmError === VMM_BUSY || name === "EAGAIN" || name === "ETIMEDOUT" || name === "EBUSY") {
    return new BackendError("throttled", `${what}: the host throttles requests (${name})`, {
      kind: "SEV",
      nativeStatus: vmmError === 0
        ? { name, value: errno }
        : { name: "vmm_error", value: vmmError },
      hint: "the security processor serves all guests of the host: try again later",
    });
  }
  if (fwError !== 0 && fwError !== NO_FIRMWARE_CALL) {
    return new BackendError(
      "firmware",
      `${what}: the firmware answered ${firmwareStatusName(fwError)}` +
        (errno === 0 ? "" : ` (${name})`),
      {
        kind: "SEV",
        nativeStatus: { name: "fw_error", value: fwError },
        hint: fwError === 0x16
          ? "a VMPL, security version or TCB version beyond what this guest may use"
          : fwError === 0x27
          ? "the key that was asked for is not there, or the policy forbids it"
          : "see AMD's SEV-SNP firmware ABI for the status",
      },
    );
  }
  const lost = name === "ENOTTY" || name === "ENODEV" || name === "ENXIO";
  const hint = HINTS[name];
  return new BackendError(
    lost ? "device_lost" : vmmError !== 0 ? "firmware" : "io",
    `${what}: ${name}${vmmError === 0 ? "" : `, vmm_error ${vmmError}`}`,
    {
      kind: "SEV",
      nativeStatus: vmmError === 0
        ? { name, value: errno }
        : { name: "vmm_error", value: vmmError },
      ...(hint === undefined ? {} : { hint }),
    },
  );
}

function refusedBy(what: string, status: number): BackendError {
  return failure(what, 0, status, 0);
}

/** The device's three calls over `device`, which is disposed with it. */
export function createSnpGuestDevice(device: IoctlDevice): SnpGuestDevice {
  const EINTR = 4;

  /** One guest request: argument, request, response and what the request points to. */
  async function call(
    request: number,
    message: () => Bytes,
    responseLength: number,
    certificates?: number,
  ): Promise<IoctlAnswer & { fwError: number; vmmError: number }> {
    for (let attempt = 0;; attempt++) {
      const buffers = [encodeGuestRequest(), message(), new Uint8Array(responseLength)];
      const links: BufferLink[] = [
        { from: 0, at: GUEST_REQUEST.requestAt, to: 1 },
        { from: 0, at: GUEST_REQUEST.responseAt, to: 2 },
      ];
      if (certificates !== undefined && certificates > 0) {
        buffers.push(new Uint8Array(certificates));
        links.push({ from: 1, at: EXT_REPORT_REQUEST.certsAt, to: 3 });
      }
      const answer = await device.ioctl({ request, buffers, links });
      if (answer.errno === EINTR && attempt < 16) continue;
      return { ...answer, ...decodeGuestRequest(answer.buffers[0] ?? new Uint8Array(0)) };
    }
  }

  const buffer = (answer: IoctlAnswer, index: number): Bytes =>
    answer.buffers[index] ?? new Uint8Array(0);

  async function extendedReport(userData: Bytes, vmpl: number): Promise<SnpGuestReport> {
    const what = "SNP_GET_EXT_REPORT";
    const request = () => encodeExtReportRequest(userData, vmpl, CERTIFICATE_BUFFER_LENGTH);
    const answer = await call(
      SNP_GET_EXT_REPORT,
      request,
      REPORT_RESPONSE_LENGTH,
      CERTIFICATE_BUFFER_LENGTH,
    );
    if (answer.errno !== 0) {
      if (answer.vmmError === VMM_INVALID_LENGTH) {
        const wanted = decodeCertificatesLength(buffer(answer, 1));
        throw new BackendError(
          "firmware",
          `${what}: the host's certificates need ${wanted} bytes, the kernel takes ` +
            `${CERTIFICATE_BUFFER_LENGTH}`,
          {
            kind: "SEV",
            nativeStatus: { name: "vmm_error", value: answer.vmmError },
            hint: "the host should offer fewer certificates: VCEK, ASK and ARK are enough",
          },
        );
      }
      throw failure(what, answer.errno, answer.fwError, answer.vmmError);
    }
    const { status, report } = decodeReportResponse(buffer(answer, 2));
    if (status !== 0) throw refusedBy(what, status);
    const table = buffer(answer, 3);
    const none = table.subarray(0, 24).every((byte) => byte === 0);
    return { report, certificateTable: none ? new Uint8Array(0) : table };
  }

  async function plainReport(userData: Bytes, vmpl: number): Promise<SnpGuestReport> {
    const what = "SNP_GET_REPORT";
    const answer = await call(
      SNP_GET_REPORT,
      () => encodeReportRequest(userData, vmpl),
      REPORT_RESPONSE_LENGTH,
    );
    if (answer.errno !== 0) {
      throw failure(what, answer.errno, answer.fwError, answer.vmmError);
    }
    const { status, report } = decodeReportResponse(buffer(answer, 2));
    if (status !== 0) throw refusedBy(what, status);
    return { report, certificateTable: new Uint8Array(0) };
  }

  return {
    async report(userData, vmpl) {
      try {
        return await extendedReport(userData, vmpl);
      } catch (error) {
        // Certificates are the host's to give and can come another way; the report is what counts.
        const certificatesOnly = error instanceof BackendError &&
          error.nativeStatus?.name === "vmm_error" && error.code === "firmware";
        if (!certificatesOnly) throw error;
        return await plainReport(userData, vmpl);
      }
    },
    async derivedKey(request) {
      const what = "SNP_GET_DERIVED_KEY";
      const answer = await call(
        SNP_GET_DERIVED_KEY,
        () => encodeDerivedKeyRequest(request),
        DERIVED_KEY_RESPONSE_LENGTH,
      );
      const response = buffer(answer, 2);
      try {
        if (answer.errno !== 0) {
          throw failure(what, answer.errno, answer.fwError, answer.vmmError);
        }
        const { status, key } = decodeDerivedKeyResponse(response);
        if (status !== 0) throw refusedBy(what, status);
        if (key.every((byte) => byte === 0)) {
          throw new BackendError("malformed", `${what}: the firmware gave a key of zeros`, {
            kind: "SEV",
          });
        }
        return key;
      } finally {
        response.fill(0);
      }
    },
    [Symbol.asyncDispose]: () => device[Symbol.asyncDispose](),
  };
}
