/**
 * What a sealing key of SEV-SNP hangs on, and the notes a blob carries to make it again.
 *
 * Policy `measurement` mixes guest policy and launch measurement; `signer` mixes guest policy,
 * family id, image id and guest SVN. Both mix a TCB version: the one that was committed when the
 * blob was sealed. The firmware derives for any TCB up to its committed one, so an update keeps old
 * blobs and a roll back below the blob's TCB loses them: whoever downgrades the firmware to a
 * vulnerable one does not get the keys of the good one.
 */
import { BackendError } from "../errors.ts";
import type { Bytes, SealPolicy } from "../mod.ts";
import type { SnpReport } from "./abi.ts";
import { type DerivedKeyRequest, FIELD } from "./ioctl_abi.ts";

/** version u8 (1), vmpl u8, guest SVN u32 little-endian, TCB version 8 bytes as in a report. */
const PARAMETERS_LENGTH = 14;
const PARAMETERS_VERSION = 1;

const FIELDS: Readonly<Record<SealPolicy, bigint>> = {
  measurement: FIELD.policy | FIELD.measurement | FIELD.tcbVersion,
  signer: FIELD.policy | FIELD.imageId | FIELD.familyId | FIELD.guestSvn | FIELD.tcbVersion,
};

/** The request for new blobs of a guest whose report is `report`. */
export function keyRequest(
  policy: SealPolicy,
  report: SnpReport,
  vmpl: number,
): DerivedKeyRequest {
  return {
    fields: FIELDS[policy],
    vmpl,
    guestSvn: policy === "signer" ? report.guestSvn : 0,
    tcbVersion: report.committedTcb.slice(),
  };
}

export function encodeParameters(request: DerivedKeyRequest): Bytes {
  const out = new Uint8Array(PARAMETERS_LENGTH);
  out[0] = PARAMETERS_VERSION;
  out[1] = request.vmpl;
  new DataView(out.buffer).setUint32(2, request.guestSvn, true);
  out.set(request.tcbVersion, 6);
  return out;
}

/**
 * The request that makes a blob's key again.
 *
 * @throws {BackendError} `malformed`; `foreign_device` where the blob wants a TCB or guest SVN above
 * what this guest may derive for, which the firmware would refuse without saying why.
 */
export function keyRequestAgain(
  policy: SealPolicy,
  parameters: Bytes,
  report: SnpReport,
): DerivedKeyRequest {
  const [version, vmpl = 0] = parameters;
  if (parameters.length !== PARAMETERS_LENGTH || version !== PARAMETERS_VERSION || vmpl > 3) {
    throw new BackendError("malformed", "not the parameters of an SEV-SNP sealing key", {
      kind: "SEV",
    });
  }
  const guestSvn = new DataView(parameters.buffer, parameters.byteOffset).getUint32(2, true);
  const tcbVersion = parameters.slice(6);
  // Every component has its byte in both layouts of a TCB version, so bytes compare one by one.
  if (tcbVersion.some((byte, index) => byte > (report.committedTcb[index] ?? 0))) {
    throw new BackendError(
      "foreign_device",
      `sealed under firmware ${tcbVersion.toHex()}, this host has committed to ` +
        report.committedTcb.toHex(),
      {
        kind: "SEV",
        hint: "the firmware was rolled back, or this is another host: update it, or recover " +
          "with a recovery key",
      },
    );
  }
  if (policy === "signer" && guestSvn > report.guestSvn) {
    throw new BackendError(
      "foreign_device",
      `sealed by guest SVN ${guestSvn}, this guest has ${report.guestSvn}`,
      { kind: "SEV", hint: "start an image with an ID block of that SVN or a higher one" },
    );
  }
  return { fields: FIELDS[policy], vmpl, guestSvn, tcbVersion };
}
